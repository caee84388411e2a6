"""The settings of a project's capture: which of its chats are stored, and for how long."""

from __future__ import annotations

from typing import Literal

from service.core.records import Stored


class Capture(Stored):
    """Settings of the capture of a project."""

    sampling: float
    """Share of the chats to store, from 0 to 1."""
    expires_after_days: int
    redaction: Literal["mask", "pseudonym"] = "mask"
    possible_personal_data: bool = False
    models: tuple[str, ...] | None = None
    """The only models, by name or alias, whose chats are stored; None for all."""
