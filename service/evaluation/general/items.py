"""The items of the general set, read from one JSONL file per language."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Literal

import msgspec

LANGUAGES = ("de", "en", "es", "fr", "id", "ja", "ko", "ms", "th", "tl", "vi", "zh")
"""Languages of the set, as the codes that `items` accepts."""

Kind = Literal["knowledge", "arithmetic", "instruction", "reading", "translation"]
_SAME = {"fil": "tl", "in": "id", "may": "ms", "cmn": "zh"}


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question of the general set. `choices` holds the right answer first, then three wrong."""

    id: str
    kind: Kind
    prompt: str
    choices: tuple[str, str, str, str]

    @property
    def language(self) -> str:
        """The language's code, one of LANGUAGES."""
        return self.id.partition("-")[0]


def items(languages: Iterable[str] | None = None, n: int | None = None) -> list[Item]:
    """Return the first `n` items of each language, or all of them.

    `languages` are BCP-47 tags, such as `th`, `fil` or `zh-Hans`. Languages that the set lacks
    give no items. Every five items in order are of five different kinds. The same arguments give
    the same items.
    """
    if n is not None and n < 0:
        raise ValueError("n must not be negative")
    codes = LANGUAGES if languages is None else [_code(tag) for tag in languages]
    known = [code for code in dict.fromkeys(codes) if code in LANGUAGES]
    return [item for code in known for item in _items_of(code)[:n]]


def _code(tag: str) -> str:
    code = tag.replace("_", "-").partition("-")[0].lower()
    return _SAME.get(code, code)


@lru_cache
def _items_of(language: str) -> tuple[Item, ...]:
    file = resources.files("service.evaluation.general") / "data" / f"{language}.jsonl"
    decode = msgspec.json.Decoder(Item).decode
    return tuple(decode(line) for line in file.read_bytes().splitlines())
