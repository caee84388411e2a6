"""One attempt at a job, in a worker: the trainer process, its spec, and the records of its outcome.

The trainer runs in a child process and knows neither Redis nor storage.
"""
