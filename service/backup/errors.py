"""Errors of backups and restores. Their messages are for the operator and contain no user data."""

from __future__ import annotations


class BackupError(Exception):
    """A backup or restore cannot be made. The message says what is wrong and how to fix it."""


class Damaged(BackupError):
    """The bytes of a backup differ from those written."""
