"""MinHash signatures of texts: near-duplicates share most of their numbers.

A text is cut into overlapping runs of characters, five of an alphabet or three of a
script whose characters are syllables or words. No words are needed, so it works in
languages that write none apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import rensa  # type: ignore[import-untyped]

PERMUTATIONS = 128
_SEED = 42
_WIDE_FROM = 0x2E80  # CJK, kana and Hangul lie above
_NARROW_RUN, _WIDE_RUN = 5, 3
_PRIME = np.uint64(0x9E3779B185EBCA87)

Signatures = np.ndarray[Any, np.dtype[np.uint32]]


def normalised(text: str) -> str:
    """The text as duplicates are compared: composed, without case, single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def signatures(texts: Sequence[str]) -> Signatures:
    """One row of PERMUTATIONS numbers for each (normalised) text."""
    made = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    wide = np.fromiter((_is_wide(text) for text in texts), dtype=bool, count=len(texts))
    for run, chosen in ((_NARROW_RUN, np.flatnonzero(~wide)), (_WIDE_RUN, np.flatnonzero(wide))):
        if len(chosen):
            made[chosen] = _of_one_run([texts[index] for index in chosen], run)
    return made


def _is_wide(text: str) -> bool:
    if text.isascii():
        return False
    sample = text[:64]
    return sum(ord(char) >= _WIDE_FROM for char in sample) * 2 > len(sample)


def _of_one_run(texts: list[str], run: int) -> Signatures:
    encoded = [text.ljust(run).encode("utf-32-le", "surrogatepass") for text in texts]
    points = np.frombuffer(b"".join(encoded), dtype=np.uint32).astype(np.uint64)
    lengths = np.fromiter((len(data) // 4 for data in encoded), dtype=np.int64, count=len(texts))
    ends = np.cumsum(lengths)
    hashes = points[: len(points) - run + 1].copy()
    for offset in range(1, run):
        hashes *= _PRIME
        hashes += points[offset : len(points) - run + 1 + offset]
    hashes ^= hashes >> np.uint64(29)
    hashes *= _PRIME
    hashes ^= hashes >> np.uint64(32)
    # A run that begins in the last places of a text would go on in the next one.
    inside = np.ones(len(points), dtype=bool)
    for offset in range(1, run):
        inside[ends - offset] = False
    hashes = hashes[inside[: len(hashes)]]
    offsets = np.concatenate(([0], np.cumsum(lengths - run + 1))).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets, PERMUTATIONS, _SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32)
