"""The audit log: who did what, from where, and with what result.

Entries are written by `core/trail.py` with the change that they describe. This package seals them
in storage with signed checkpoints, and finds, exports and verifies them.
"""
