"""Training files as rows: reading, checks, reports, cleaning, comparison, and search.

A worker runs each task in a child process, `python -m service.datasets`, and both sides share the
types in `contract.py`. This package takes local paths, and returns local paths and plain values. It
uses no HTTP, Redis, storage, or torch, and imports no other domain.
"""
