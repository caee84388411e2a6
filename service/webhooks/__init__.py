"""Webhooks: signed HTTP requests that report when jobs and other background work end.

Events come from the outbox (`core/outbox.py`). `deliverer.py` creates the deliveries of an event,
and decides when they are retried. `sender.py` decides which hosts may be called, and `schedule.py`
which delivery is due. This package knows no domain but projects.
"""
