"""Models: the catalog of base models, the registry of trained ones, sharing, and aliases.

`registry.py` resolves a requested name, also of an alias that splits its traffic. `sources/` adds
base models from folders, bundles, OCI layouts and caches; `aliases/` are names that can be
promoted, split and rolled back. Knows projects, but neither files nor jobs.
"""
