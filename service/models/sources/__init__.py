"""Sources of base models for `models add`: folders, bundles, OCI layouts, Hugging Face caches.

`detect.py` decides what a source is. `files.py` decides which files belong to a model, and
`staging.py` how a folder becomes visible only once it is complete and verified.
"""
