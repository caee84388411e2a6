"""A text in bytes of any kind: as it is, and as JSON, HTML or CSV write it."""

from __future__ import annotations

import html
import json
from collections.abc import AsyncIterator

from service.datasets.contract import RowMatch


class Texts:
    """The forms in which bytes may have what a search looks for."""

    def __init__(self, match: RowMatch) -> None:
        text = match.value
        forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {html.escape(text), text.replace('"', '""')}
        self._forms = () if match.kind == "row_sha256" else tuple(f.encode() for f in forms)
        self._longest = max(map(len, self._forms), default=0)

    def are_in(self, data: bytes) -> bool:
        """Whether the bytes have one of the forms."""
        return any(form in data for form in self._forms)

    async def are_in_stream(self, chunks: AsyncIterator[bytes]) -> bool:
        """Whether the chunks have one of the forms, also across their borders."""
        rest = b""
        async for chunk in chunks:
            window = rest + chunk
            if self.are_in(window):
                return True
            rest = window[-(self._longest - 1) :] if self._longest > 1 else b""
        return False
