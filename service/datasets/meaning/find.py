"""Search for rows that mean the same in other words, which comparing words cannot find.

A pair whose texts share many words is left to `service.datasets.duplicates`, which knows whether
they differ in a fact. An encoder does not: to it, two questions about two cities are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.datasets.duplicates.compare import Wording, compare
from service.datasets.duplicates.facts import opposed, terms
from service.datasets.duplicates.texts import RowText, RowTexts
from service.datasets.duplicates.wording import numbers
from service.datasets.limits import NEAR_THRESHOLD
from service.datasets.meaning.encoder import Encoder, open_encoder, unit_vectors
from service.datasets.meaning.neighbors import (
    Neighbors,
    Places,
    close_pairs,
    density,
    nearest,
)
from service.datasets.meaning.pairs import MIN_QUESTIONS, MeaningPair, Meanings
from service.datasets.meaning.tensors import Floats
from service.datasets.parallel import map_ordered
from service.datasets.report.collect import Collected
from service.datasets.report.features import UNLABELED

MAX_CHARS = 2_000
# With multilingual-e5-small, 0.08 finds 27 of 60 reworded questions and 15 wrong pairs, 0.12 finds
# 22 and 10, and 0.2 finds 13 and 5.
MARGIN = 0.12
# Pairs with more words in common are judged by their words.
_FEW_COMMON_WORDS = 0.45
# An answer that is this much nearer to the other than two answers of the file are on average,
# where 1 is equal, says the same. Of 60 pairs of answers, two others reach it.
_SAME_ANSWER = 0.35
_COMPARISONS = 20_000  # of the clearest pairs, at 0.2 ms each
_MAX_PAIRS = 5_000
_ANSWERS_SAMPLED = 256
_TEXTS_AT_ONCE = 512  # of one process


class _Questions(NamedTuple):
    """A row for each different question of a file, with the vectors of the questions."""

    rows: Places
    vectors: Floats
    replies: Any
    skipped: int


class MeaningSearch:
    """Searches a file, and compares another with it."""

    def __init__(self, encoder: Path, prompt: str, *, processes: int = 1) -> None:
        self._encoder: Encoder = open_encoder(encoder)
        self._prompt = prompt
        self._processes = processes

    def find(self, collected: Collected, held: Collected | None, known: set[int]) -> Meanings:
        """Find pairs in a file, and between `held`, without the `known` rows, and the file."""
        with collected.texts() as texts:
            asked = self._questions(collected, texts)
            if len(asked.rows) < MIN_QUESTIONS:
                return Meanings([], [], [], len(asked.rows), asked.skipped)
            center = asked.vectors.mean(axis=0)
            asked = asked._replace(vectors=_centered(asked.vectors, center))
            near = nearest(asked.vectors, processes=self._processes)
            spread = density(near, asked.replies, asked.replies)
            pairs = list(_pairs(near, (asked, texts, spread), (asked, texts, spread)))
            once = {tuple(sorted(pair[:2])): pair for pair in reversed(pairs)}
            chosen = [
                MeaningPair(min(one, other), max(one, other), similarity)
                for one, other, similarity in once.values()
            ]
            likeness = self._answers_alike(chosen, texts, texts)
            same = [pair for pair, alike in zip(chosen, likeness, strict=True) if alike]
            opposing = [
                pair
                for pair, alike in zip(chosen, likeness, strict=True)
                if not alike and texts[pair.one].asks_one_thing and texts[pair.other].asks_one_thing
            ]
            shared = []
            if held is not None:
                shared = self._overlap((asked, texts, spread), held, center, known)
        return Meanings(sorted(same), sorted(opposing), shared, len(asked.rows), asked.skipped)

    def _questions(self, collected: Collected, texts: RowTexts) -> _Questions:
        features = collected.features
        kept = np.flatnonzero((features["question"] != 0) & (features["label"] == UNLABELED))
        _, firsts = np.unique(features["question"][kept], return_index=True)
        rows = kept[np.sort(firsts)]
        written = [_written(texts[int(row)].before_answer) for row in rows]
        short = np.array([len(text) <= MAX_CHARS for text in written], dtype=bool)
        vectors = self._vectors([text for text, fits in zip(written, short, strict=True) if fits])
        known = vectors.any(axis=1)  # without a known word, all questions would be equal
        rows = rows[short][known]
        skipped = len(short) - len(rows)
        return _Questions(rows, vectors[known], features["reply"][rows], skipped)

    def _overlap(
        self,
        train: tuple[_Questions, RowTexts, Floats],
        held: Collected,
        center: Floats,
        known: set[int],
    ) -> list[MeaningPair]:
        with held.texts() as texts:
            asked = self._questions(held, texts)
            unknown = np.array([int(row) not in known for row in asked.rows], dtype=bool)
            vectors = _centered(asked.vectors[unknown], center)
            asked = _Questions(asked.rows[unknown], vectors, asked.replies[unknown], 0)
            near = nearest(asked.vectors, train[0].vectors, processes=self._processes)
            spread = density(near, asked.replies, train[0].replies)
            best: dict[int, MeaningPair] = {}
            for pair in _pairs(near, (asked, texts, spread), train):
                best.setdefault(pair.one, pair)
            chosen = sorted(best.values())
            alike = self._answers_alike(chosen, texts, train[1])
        return [pair for pair, is_same in zip(chosen, alike, strict=True) if is_same]

    def _answers_alike(
        self, pairs: list[MeaningPair], some: RowTexts, others: RowTexts
    ) -> list[bool]:
        """Whether the answers of each pair say the same."""
        answers = [(some[pair.one].answer, others[pair.other].answer) for pair in pairs]
        vectors = self._vectors([one.text[:MAX_CHARS] for pair in answers for one in pair])
        alike = (vectors[::2] * vectors[1::2]).sum(axis=1)
        usual = self._usual_likeness(some)
        return [
            _same_answer(*pair, (float(likeness) - usual) / max(1 - usual, 1e-6))
            for pair, likeness in zip(answers, alike, strict=True)
        ]

    def _usual_likeness(self, texts: RowTexts) -> float:
        """Return the likeness of two answers of the file, on average over a sample."""
        rows = np.unique(np.linspace(0, len(texts) - 1, _ANSWERS_SAMPLED, dtype=np.int64))
        vectors = self._vectors([texts[int(row)].answer.text[:MAX_CHARS] for row in rows])
        if len(vectors) < 2:
            return 0.0
        products = vectors @ vectors.T
        return float((products.sum() - np.trace(products)) / (products.size - len(products)))

    def _vectors(self, texts: list[str]) -> Floats:
        given = [self._prompt + text for text in texts]
        parts = [given[at : at + _TEXTS_AT_ONCE] for at in range(0, len(given), _TEXTS_AT_ONCE)]
        encode = partial(unit_vectors, self._encoder)
        none = np.zeros((0, self._encoder.dimensions), dtype=np.float32)
        return np.concatenate([none, *map_ordered(encode, parts, processes=self._processes)])


def _pairs(
    near: Neighbors,
    mine: tuple[_Questions, RowTexts, Floats],
    theirs: tuple[_Questions, RowTexts, Floats],
) -> Iterator[MeaningPair]:
    """Yield pairs of rows whose questions mean the same in other words, the clearest first."""
    (some, texts, spread), (others, other_texts, other_spread) = mine, theirs
    found = 0
    for compared, (at, other, similarity) in enumerate(
        close_pairs(near, spread, other_spread, MARGIN)
    ):
        if compared == _COMPARISONS or found == _MAX_PAIRS:
            return
        one, two = int(some.rows[at]), int(others.rows[other])
        if _reworded(texts[one].before_answer, other_texts[two].before_answer):
            found += 1
            yield MeaningPair(one, two, round(min(max(similarity, 0.0), 1.0), 2))


def _reworded(one: RowText, other: RowText) -> bool:
    """Whether two questions have few words in common, but the same numbers and no opposites."""
    first, second = _whole(one), _whole(other)
    if numbers(first.said) != numbers(second.said) or opposed(first.said, second.said):
        return False
    return compare(first, second, threshold=_FEW_COMMON_WORDS) is None


def _same_answer(one: Wording, other: Wording, likeness: float) -> bool:
    found = compare(one, other, threshold=NEAR_THRESHOLD)
    if found is not None:
        return found.same
    has_same_facts = (
        numbers(one.said) == numbers(other.said)
        and terms(one.said) == terms(other.said)
        and not opposed(one.said, other.said)
    )
    return has_same_facts and likeness >= _SAME_ANSWER


def _whole(row: RowText) -> Wording:
    return Wording(
        _written(row),
        " ".join(turn.said for turn in row.turns),
        [unit for turn in row.turns for unit in turn.units],
    )


def _written(row: RowText) -> str:
    return "\n".join(turn.text for turn in row.turns)


def _centered(vectors: Floats, center: Floats) -> Floats:
    """Return vectors without what all questions have in common, such as the language."""
    moved = vectors - center
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)
