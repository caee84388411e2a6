"""Exports: the API, the records, and the task that exports a trained model for other software."""
