"""Checks, reports and cleanings of uploaded files, and imports of uploaded adapters.

`service.datasets` does the actual work in child processes of a worker. This package provides the
HTTP API, queues the tasks and stores their results.
"""
