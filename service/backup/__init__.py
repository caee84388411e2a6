"""Backup and restore of an installation: the records in Redis and the objects in storage."""
