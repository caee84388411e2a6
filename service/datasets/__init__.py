"""Data sets: what the bytes of a training file mean.

Pure: local paths in, local paths and plain values out. No HTTP, no Redis, no storage, no
torch, and nothing of the other rooms.
"""

from __future__ import annotations

from service.datasets.checks.issues import Issue, Severity
from service.datasets.checks.validate import ValidationReport, validate_chat_file, validate_file
from service.datasets.rows.canonical import CanonicalResult, InvalidRowError, write_canonical

__all__ = [
    "CanonicalResult",
    "InvalidRowError",
    "Issue",
    "Severity",
    "ValidationReport",
    "validate_chat_file",
    "validate_file",
    "write_canonical",
]
