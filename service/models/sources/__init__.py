"""What `models add` takes a base model from: folders, bundles, OCI layouts, Hugging Face caches."""
