"""The audit log: who did what, from where, and with what result.

Knows `web/` and `usage/`, but no domain. `web/audit_trail.py` writes entries in the transaction of
the change that they describe. In this package, `sealer.py` decides how entries get from Redis into
storage and which are deleted because of their age; `sealing_loop.py` runs it. `checkpoints.py` has
the signed Merkle tree, `stored_log.py` the layout in storage; `search.py`, `export.py` and
`verify.py` read them.
"""
