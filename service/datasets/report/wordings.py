"""Features of what a row says: form, numbers, question, reply, and exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import xxhash

from service.datasets.duplicates.wording import bare, split_numbers, wording
from service.datasets.rows.conversation import Conversation
from service.datasets.rows.said import Said

# In a shorter exchange, such as "Why?" and "Because.", two conversations have too little in common.
_MIN_EXCHANGE_CHARS = 10


def hash_text(text: str) -> int:
    """Return a 64-bit hash of a text."""
    return hash_bytes(as_bytes(text))


def as_bytes(text: str) -> bytes:
    """Return a text as UTF-8, as it is hashed."""
    return text.encode("utf-8", "surrogatepass")


hash_bytes: Final = xxhash.xxh3_64_intdigest
"""Return a 64-bit hash of bytes."""


def what_is_said(talk: Conversation, normal: list[str]) -> list[Said]:
    """Return what each turn says, given the normalized texts of the turns."""
    return [_said(turn.role, plain) for turn, plain in zip(talk.turns, normal, strict=True)]


def _said(role: str, plain: str) -> Said:
    if role == "system":  # a long text, and the same in many rows
        return Said(role, plain, is_polite_only=False)
    text = wording(plain)
    return Said(role, text or bare(plain) or plain, is_polite_only=not text)


def describe_wording(row: dict[str, int], talk: Conversation, said: list[Said]) -> str:
    """Fill in features of a row. Returns the text to sign: the form without the system."""
    turns = [one for one in said if one.role != "system"]
    form, figures = split_numbers("\0".join([one.text for one in turns]))
    row["form"] = hash_text("\0".join([form, *[one.role for one in turns]]))
    row["figures"] = hash_text(" ".join(figures)) if figures else 0
    last = talk.last_answer
    row["reply"] = hash_text(said[last].text if last < len(said) else "")
    before = said[:last]
    asks = [one for one in before if one.role == "user" and not one.is_polite_only]
    parts = [part for one in before for part in (one.role, one.text)]
    row["question"] = hash_text("\0".join([*parts, talk.tools])) if asks else 0
    return form.replace("\0", " ")


def exchange_hashes(said: list[Said]) -> Iterator[int]:
    """Yield a hash of each question with its answer."""
    for question, answer in pairwise(said):
        if question.role == "user" and answer.role == "assistant" and not question.is_polite_only:
            both = f"{question.text}\0{answer.text}"
            if len(both) > _MIN_EXCHANGE_CHARS:
                yield hash_text(both)
