"""The workers of an installation: who is alive and busy, what GPUs they have, and their metrics.

`workers.py` is the registry in Redis, `capacity.py` detects GPUs and memory, and `redis_metrics.py`
reads the metrics that are in Redis, such as counts of ended jobs.
"""
