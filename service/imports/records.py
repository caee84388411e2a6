"""What the task of an import stores: its options."""

from __future__ import annotations

import msgspec


class ImportOptions(msgspec.Struct, frozen=True):
    """The base model, the suffix, and the name that the model will have."""

    base_model: str
    suffix: str | None
    model: str
    created_by: str = ""  # see `Principal.identity`
