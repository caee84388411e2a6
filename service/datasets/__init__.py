"""Reading, checking, cleaning, and reporting on training files.

This package is pure: it takes local paths and returns local paths and plain values. It uses
no HTTP, Redis, storage, or torch, and imports no other service package.
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
