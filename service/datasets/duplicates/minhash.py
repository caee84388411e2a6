"""Computes MinHash signatures of texts. Near-duplicates share most of their signature values.

A text is split into overlapping character runs: five characters for an alphabet, three for
a script whose characters are syllables or words. The method does not need word boundaries,
so it works in languages that are written without spaces.
"""

from __future__ import annotations

import os
import unicodedata
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

# rensa signs 256 texts or more in threads of its own. If a process starts these and then forks, its
# children wait for them forever.
os.environ["RAYON_NUM_THREADS"] = "1"
import rensa  # type: ignore[import-untyped]

PERMUTATIONS = 128
_SEED = 42
_WIDE_FROM = 0x2E80  # CJK, kana, and Hangul syllables are above this code point
_NARROW_RUN, _WIDE_RUN = 5, 3
MIX = np.uint64(0x9E3779B185EBCA87)
"""An odd factor that spreads the bits of a hash, to combine it with another."""

Signatures = np.ndarray[Any, np.dtype[np.uint32]]


def normalize(text: str) -> str:
    """Normalize a text for comparison: NFKC, case-folded, with single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def signatures(texts: Sequence[str]) -> Signatures:
    """Return one row of PERMUTATIONS numbers for each (normalized) text."""
    result = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    encoded = [text.ljust(_NARROW_RUN).encode("utf-32-le", "surrogatepass") for text in texts]
    wide = _are_wide(encoded)
    for run, chosen in ((_NARROW_RUN, np.flatnonzero(~wide)), (_WIDE_RUN, np.flatnonzero(wide))):
        if len(chosen):
            result[chosen] = _of_one_run([encoded[index] for index in chosen], run)
    return result


def _are_wide(encoded: list[bytes]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return for each text whether most of its characters are wide."""
    if not encoded:
        return np.zeros(0, dtype=bool)
    points, ends = _points(encoded)
    starts = np.concatenate(([0], ends[:-1]))
    counts = np.add.reduceat(points >= _WIDE_FROM, starts, dtype=np.int64)
    return np.asarray(counts * 2 > ends - starts, dtype=bool)


def _points(encoded: list[bytes]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the concatenated code points of all texts, and the end of each text."""
    points = np.frombuffer(b"".join(encoded), dtype=np.uint32)
    lengths = np.fromiter((len(data) // 4 for data in encoded), dtype=np.int64, count=len(encoded))
    return points, np.cumsum(lengths)


def _of_one_run(encoded: list[bytes], run: int) -> Signatures:
    points, ends = _points(encoded)
    points = points.astype(np.uint64)
    hashes = points[: len(points) - run + 1].copy()
    for offset in range(1, run):
        hashes *= MIX
        hashes += points[offset : len(points) - run + 1 + offset]
    hashes ^= hashes >> np.uint64(29)
    hashes *= MIX
    hashes ^= hashes >> np.uint64(32)
    # Exclude runs that start near the end of a text, because they would extend into the next.
    inside = np.ones(len(points), dtype=bool)
    for offset in range(1, run):
        inside[ends - offset] = False
    hashes = hashes[inside[: len(hashes)]]
    runs_before = ends - np.arange(1, len(ends) + 1) * (run - 1)
    offsets = np.concatenate(([0], runs_before)).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets, PERMUTATIONS, _SEED
    )
    flat = array("I")  # converts a list of integers four times as fast as NumPy
    for row in matrix.to_rows():
        flat.fromlist(row)
    return np.frombuffer(flat, dtype=np.uint32).reshape(-1, PERMUTATIONS)


class SignatureStack:
    """Signatures of several files stacked vertically, without copying them."""

    def __init__(self, *parts: Signatures) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def columns(self, first: int, end: int) -> Signatures:
        """Return the columns from `first` up to `end` of every row."""
        return np.concatenate([part[:, first:end] for part in self._parts])

    def take(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Signatures:
        """Return the given rows."""
        if len(self._parts) == 1:
            return np.asarray(self._parts[0][rows])
        result = np.empty((len(rows), PERMUTATIONS), dtype=np.uint32)
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for number, part in enumerate(self._parts):
            mine = owners == number
            result[mine] = part[rows[mine] - self._starts[number]]
        return result
