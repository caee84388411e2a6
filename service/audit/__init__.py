"""The audit log: who did what, from where, and with what result.

`web/audit_trail.py` writes entries together with the change that they describe. This package seals
them in storage with signed checkpoints, and finds, exports and verifies them.
"""
