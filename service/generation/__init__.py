"""Generations of training rows from documents: the API, and the task that asks a local model."""
