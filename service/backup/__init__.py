"""Backups of records and objects, the journal of Redis in storage, and restoring from both."""
