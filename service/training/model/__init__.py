"""Base models and adapters, and the parts of a model that training replaces."""
