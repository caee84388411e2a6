"""The contract between a worker and its trainer: spec, methods, messages and failures.

The worker and the API import it, so it imports no torch, and nothing else of training.
"""
