"""Foundations of all packages: records, object storage, queues, leases, metrics, errors.

It knows no domain and no HTTP. `redis/` is the client and its transactions, `storage/` reads and
writes objects, and `encryption/` has keys and signatures.
"""
