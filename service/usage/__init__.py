"""Rate limits and usage accounting of inference.

Each API process counts in local memory, so that a request costs no round trip. About once per
second, it adds its counts to the totals in Redis and reads those of the other replicas. A limit may
be exceeded by what they admit in between; the excess delays later requests.

`limits.py` decides whether a request exceeds a limit, `limit_queue.py` which waiting request is
admitted next, and `meter.py` applies both and counts responses. `replica_sync.py` writes the counts
to Redis, and `query.py` reads them for the usage API.
"""
