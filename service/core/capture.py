"""The settings of a project's capture: which of its chats are stored, and for how long."""

from __future__ import annotations

from typing import Literal, TypeAlias

from service.core.records import Stored

CaptureManager: TypeAlias = Literal["organization", "project"]
"""Whose administrators may switch the capture of a project on. The project's may always end it."""


class Capture(Stored):
    """Settings of the capture of a project."""

    sampling: float
    """Share of the chats to store, from 0 to 1."""
    expires_after_days: int
    redaction: Literal["mask", "pseudonym"] = "mask"
    possible_personal_data: bool = False
    models: tuple[str, ...] | None = None
    """The only models, by name or alias, whose chats are stored; None for all."""
