"""What the meter learns of a request when it has ended."""

from __future__ import annotations

from typing import Final

import msgspec

CLIENT_GONE: Final = 499
"""Status of a request whose client disconnected, as in nginx. No client receives it."""


class Served(msgspec.Struct):
    """Outcome of a request. `base_model` is empty if no model was found for it."""

    model: str
    base_model: str
    kind: str
    status: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    first_byte_s: float | None
    seconds: float
    streamed: bool
    batch: bool = False
