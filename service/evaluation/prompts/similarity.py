"""Choice of examples by the similarity of their character n-grams, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from service.datasets.duplicates.minhash import normalize

Floats = np.ndarray[Any, np.dtype[np.float32]]

_DIMENSIONS: Final = 4096
_RUNS: Final = (2, 3, 4)  # characters; the short ones serve scripts of syllables and words
_MAX_CHARS: Final = 1_000
_ROUNDS: Final = 12
_STARTS: Final = 8
_PRIME: Final = 0x9E3779B185EBCA87


class TextVectors:
    """TF-IDF vectors of texts, of unit length, over hashed character n-grams."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = np.stack([_counts(text) for text in texts]) if texts else _empty()
        frequency = (counts > 0).sum(axis=0)
        self._idf = np.log((1 + len(texts)) / (1 + frequency)).astype(np.float32) + 1
        self.rows = _unit(counts * self._idf)

    def of(self, text: str) -> Floats:
        """Return the vector of another text, weighted as the first ones."""
        vector: Floats = _unit((_counts(text) * self._idf)[None, :])[0]
        return vector

    def nearest(self, text: str, k: int) -> list[int]:
        """Return the places of the `k` most similar texts, most similar first."""
        similarity = self.rows @ self.of(text)
        return [int(place) for place in np.argsort(-similarity, kind="stable")[:k]]

    def diverse(self, k: int, seed: int) -> list[int]:
        """Return the places of `k` texts that represent all of them.

        Each is the text nearest to the center of one of `k` clusters. The text of the largest
        cluster comes last, where a prompt's examples have the most influence.
        """
        if k >= len(self.rows):
            return list(range(len(self.rows)))
        if k <= 0:
            return []
        draw = np.random.default_rng(seed)
        found = (self._clusters(self._spread_out(k, draw)) for _ in range(_STARTS))
        similarity = max(found, key=lambda similarity: float(similarity.max(axis=1).mean()))
        sizes = np.bincount(similarity.argmax(axis=1), minlength=k)
        chosen: list[int] = []
        for cluster in np.argsort(sizes, kind="stable"):
            order = np.argsort(-similarity[:, cluster], kind="stable")
            chosen.append(next(int(place) for place in order if place not in chosen))
        return chosen

    @cached_property
    def _similarity(self) -> Floats:
        """The similarity of each text to each other one."""
        similarity: Floats = self.rows @ self.rows.T
        return similarity

    def _clusters(self, start: list[int]) -> Floats:
        """Return the similarity of each text to the center of each cluster.

        Spherical k-means from texts to start with. The similarities among the texts are enough to
        compute it.
        """
        similarity = self._similarity[:, start]
        for _ in range(_ROUNDS):
            members = np.zeros_like(similarity)
            members[np.arange(len(members)), similarity.argmax(axis=1)] = 1
            sums = self._similarity @ members
            lengths = np.sqrt((members * sums).sum(axis=0))
            moved = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), similarity)
            if np.allclose(moved, similarity, atol=1e-5):
                break
            similarity = moved
        return similarity

    def _spread_out(self, k: int, draw: np.random.Generator) -> list[int]:
        """Draw `k` texts that differ from each other (the first step of k-means++)."""
        chosen = [int(draw.integers(len(self.rows)))]
        while len(chosen) < k:
            weights = np.clip(1 - self._similarity[:, chosen].max(axis=1), 0, None) ** 2
            weights[chosen] = 0
            total = float(weights.sum())
            if total > 0:
                shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
                chosen.append(int(draw.choice(len(weights), p=shares)))
            else:  # all texts are the same
                chosen.append(next(i for i in range(len(self.rows)) if i not in chosen))
        return chosen


def _counts(text: str) -> Floats:
    """Return the damped counts of the hashed n-grams of a text."""
    points = np.frombuffer(
        f" {normalize(text[:_MAX_CHARS])} ".encode("utf-32-le", "surrogatepass"), dtype=np.uint32
    ).astype(np.uint64)
    counts = np.zeros(_DIMENSIONS, dtype=np.float32)
    for run in _RUNS:
        if len(points) >= run:
            hashes = np.full(len(points) - run + 1, run, dtype=np.uint64)
            for offset in range(run):
                hashes = (
                    hashes * np.uint64(_PRIME) + points[offset : len(points) - run + 1 + offset]
                )
            hashes ^= hashes >> np.uint64(32)
            counts += np.bincount(
                (hashes % np.uint64(_DIMENSIONS)).astype(np.int64), minlength=_DIMENSIONS
            )
    return np.log1p(counts)


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _empty() -> Floats:
    return np.zeros((0, _DIMENSIONS), dtype=np.float32)
