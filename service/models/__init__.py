"""Models: the base-model catalogue and the registry of trained adapters."""
