"""Foundations of all other packages: errors, IDs, records, storage, queue, metrics, logs."""
