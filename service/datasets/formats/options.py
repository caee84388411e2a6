"""What the user may say of a file's format; what is left out is found out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Container = Literal["jsonl", "json", "csv", "parquet", "xlsx"]
Shape = Literal["chat", "preference", "prompt_completion", "alpaca", "sharegpt"]


# A ratio says little of a few rows: text that repeats packs a thousandfold.
_ALLOWANCE_BYTES = 8 * 1024**2


class FormatOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to read a file.

    `columns` maps a field of the shape to the column that holds it, for names that are not
    standard: {"prompt": "Frage", "completion": "Antwort"}. `roles` maps a role in the data
    to one of ours: {"kunde": "user"}. `system` is put before rows that have no system
    message. Sizes are bytes; `limit_bytes` says how the last two bound a file.
    """

    container: Container | None = None
    shape: Shape | None = None
    encoding: str | None = None
    columns: Mapping[str, str] = msgspec.field(default_factory=dict)
    roles: Mapping[str, str] = msgspec.field(default_factory=dict)
    system: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    max_unpacked_bytes: int = 16 * 1024**3
    max_expansion: int = 200

    def limit_bytes(self, size: int) -> int:
        """The most that a file of `size` bytes may become, unpacked or as canonical rows.

        Honest compressed text grows 20 to 50 times. Without a bound relative to its size, a
        file of a few kilobytes could fill the storage.
        """
        return min(self.max_unpacked_bytes, _ALLOWANCE_BYTES + size * self.max_expansion)
