"""Models: the catalog of base models and the registry of trained adapters."""
