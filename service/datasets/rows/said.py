"""What a turn of a conversation says, without what is only polite."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """What a turn says. A turn that is only polite is compared as it is."""

    role: str
    text: str
    is_polite_only: bool
