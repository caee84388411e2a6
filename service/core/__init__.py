"""Foundations of all packages, without a domain and without HTTP.

`redis/` is the client and its transactions, `storage/` reads and writes objects, `encryption/` has
keys and signatures. `records.py` stores typed records, `queue.py` tasks, `outbox.py` events,
`claims.py` answers to idempotent requests. `leases.py` decides who works on what, and who leads.
`errors.py` has the errors of the API, `metrics.py` declares all metrics, `startup_checks.py`
decides whether a process may start.
"""
