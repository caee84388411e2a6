"""Pairs of rows that mean the same in other words, as an encoder finds them."""

from __future__ import annotations

from typing import NamedTuple

# With fewer questions, it is not known how similar questions about the same subject are.
MIN_QUESTIONS = 20


class MeaningPair(NamedTuple):
    """Two rows, and the similarity of their questions to the encoder, from 0 to 1."""

    one: int
    other: int
    similarity: float


class Meanings(NamedTuple):
    """Pairs of rows whose questions mean the same.

    `same` rows have answers that say the same, `opposed` rows have answers that do not. `overlap`
    pairs are rows of the validation file and rows of the training file. `questions` is the number
    of different questions that were compared, and `skipped` of those that were not, because they
    are too long or the encoder knows none of their words.
    """

    same: list[MeaningPair]
    opposed: list[MeaningPair]
    overlap: list[MeaningPair]
    questions: int
    skipped: int
