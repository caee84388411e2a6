"""Base models and adapters, and the parts of a model that training replaces.

`base_folder` decides which folders can be trained and `models` how they are loaded, `adapters`
which layers are adapted, and `shape` which sizes and dtype a model has, without torch. `head`,
`attention` and `nf4_kernel` replace slow parts with equal results. `probe` scores rows with the
finished adapter, and `dequantize` converts GGUF files.
"""
