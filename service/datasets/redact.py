"""Personal data replaced by labels: one for each kind, or one for each value."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from typing import Literal

from service.datasets.personal_data import find_personal_data

RedactMode = Literal["keep", "mask", "pseudonym"]


class Redactor:
    """Replaces what `find_personal_data` finds.

    `mask` writes [EMAIL]. `pseudonym` writes [EMAIL_1], the same for the same value all
    through the file and another for another, so that what is said of a person stays
    together. Numbers are given in the order of first appearance: nothing of the value, not
    even a digest that could be guessed at, is in them.
    """

    def __init__(self, mode: RedactMode) -> None:
        self.mode = mode
        self._numbers: dict[bytes, int] = {}
        self._used: Counter[str] = Counter()

    def redact(self, text: str, language: str, counts: Counter[str]) -> str:
        """The text with labels in it; `counts` is raised by kind."""
        if self.mode == "keep":
            return text
        parts: list[str] = []
        end = 0
        for found in find_personal_data(text, language):
            parts += (
                text[end : found.start],
                self._label(found.kind, text[found.start : found.end]),
            )
            end = found.end
            counts[found.kind] += 1
        return "".join((*parts, text[end:])) if parts else text

    def _label(self, kind: str, value: str) -> str:
        if self.mode == "mask":
            return f"[{kind.upper()}]"
        plain = "".join(c for c in unicodedata.normalize("NFKC", value).casefold() if c.isalnum())
        key = hashlib.blake2b(f"{kind}\0{plain}".encode(), digest_size=16).digest()
        if key not in self._numbers:
            self._used[kind] += 1
            self._numbers[key] = self._used[kind]
        return f"[{kind.upper()}_{self._numbers[key]}]"
