"""The order in which passages are asked about, and how much is asked about each."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import chain, zip_longest
from typing import Final, NamedTuple

from service.datasets.passages.passage import Passage
from service.generation.records import RowKind

_MOST_QUESTIONS: Final = 5  # about one passage
# A model that refuses every second question helps nobody, so other kinds are more frequent.
_PASSAGES_A_REFUSAL: Final = 4


class Task(NamedTuple):
    """The requests about a passage: questions, with or without rewrites, and a refusal."""

    number: int
    passage: Passage
    questions: int
    rewrites: bool
    refusal: bool


def tasks(
    passages: Sequence[Passage], kinds: Collection[RowKind], n: int, seed: int
) -> tuple[Task, ...]:
    """Return a task for each passage, in an order that depends on the seed alone.

    Documents take turns, and the passages of each are spread over it.
    """
    asks = bool({RowKind.QUESTIONS, RowKind.REWRITES} & set(kinds))
    questions = max(1, min(_MOST_QUESTIONS, -(-2 * n // max(1, len(passages))))) if asks else 0
    return tuple(
        Task(
            number,
            passage,
            questions,
            rewrites=RowKind.REWRITES in kinds,
            refusal=RowKind.REFUSALS in kinds and (not asks or number % _PASSAGES_A_REFUSAL == 0),
        )
        for number, passage in enumerate(_in_turn(passages, seed))
    )


def rows_a_passage(kinds: Collection[RowKind], questions: int) -> float:
    """Return the number of rows that a passage has if nothing is dropped."""
    of_questions = questions * sum(kind in kinds for kind in (RowKind.QUESTIONS, RowKind.REWRITES))
    if RowKind.REFUSALS not in kinds:
        return of_questions
    return of_questions + 1 / _PASSAGES_A_REFUSAL if of_questions else 1


def _in_turn(passages: Sequence[Passage], seed: int) -> list[Passage]:
    by_document: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        by_document[passage.document].append(passage)
    chance = random.Random(f"{seed}")  # noqa: S311
    documents = [by_document[number] for number in sorted(by_document)]
    chance.shuffle(documents)
    spread = [[some[at] for at in _spread(len(some), chance)] for some in documents]
    return [one for one in chain(*zip_longest(*spread)) if one is not None]


def _spread(count: int, chance: random.Random) -> list[int]:
    """Return the places 0 to count - 1 in an order whose every beginning is spread evenly."""
    bits = max(1, (count - 1).bit_length())
    offset = chance.randrange(count)
    reversed_ = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [(place + offset) % count for place in reversed_ if place < count]
