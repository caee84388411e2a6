"""Webhooks: signed HTTP requests that report when jobs and other background work end.

Events come from the outbox (`core/outbox.py`); a worker delivers them to the hosts that the
operator allows. Knows no domain but projects.
"""
