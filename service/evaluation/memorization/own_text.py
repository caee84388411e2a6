"""The part of a training row's text that is its own, and what a continuation shares with it.

A model that has learned a voice writes the phrases that many answers share, and one that answers
from its prompt repeats the prompt. Neither is memorization of a row. A row's own text is what
remains: runs that fewer than three different texts of the training file contain, and that are not
in the row's prompt.

Lengths are in words. A Chinese or Japanese character counts half a word, a Thai one a third.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from service.datasets.text.segments import units, worth

MAX_CHARS: Final = 1_500
"""Characters of a continuation that are compared."""

_SHARED_BY: Final = 3
_SHARED_RUN_WORDS: Final = 3.0
_RUN_UNITS: Final = (3, 6, 10)  # units of _SHARED_RUN_WORDS, in the three kinds of scripts
_COMMON_RUN_WORDS: Final = 1.5  # a shorter common run, such as a single word, is chance
_SLACK: Final = 1.5  # a continuation is compared up to this multiple of the row's own length


class Overlap(NamedTuple):
    """What a continuation shares with a row's own text.

    `run` is the longest common run and `own` the length of the row's own text, both in words.
    `share` is the share (0 to 1) of the row's own text that the continuation contains in order.
    """

    run: float
    share: float
    own: float


class OwnText:
    """The text of a row with a mark on each unit that only this row contains."""

    def __init__(self, text: str, given: str) -> None:
        """`given` is what a model sees when it is asked to write `text`."""
        self._units = units(text[:MAX_CHARS])
        self.run_units = _run_units(self._units)
        in_prompt = set(runs(units(given), self.run_units))
        self._runs = runs(self._units, self.run_units)
        self._shared = {run for run in self._runs if run in in_prompt}

    @property
    def runs(self) -> set[int]:
        """Hashes of the row's runs, each of `run_units` units."""
        return set(self._runs)

    def share(self, counts: Counter[int]) -> None:
        """Unmark the runs that several texts of the training file contain."""
        self._shared.update(run for run in self._runs if counts[run] >= _SHARED_BY)

    def overlap(self, continuation: str) -> Overlap:
        """Compare a continuation with the row's own text."""
        own = self._own()
        total = _worth(unit for unit, is_own in zip(self._units, own, strict=True) if is_own)
        if not total:
            return Overlap(0.0, 0.0, 0.0)
        said = units(continuation[: int(MAX_CHARS * _SLACK)])[: self._most_units()]
        matcher = SequenceMatcher(None, self._units, said, autojunk=False)
        longest = (
            matcher.find_longest_match(start, end, 0, len(said)) for start, end in _stretches(own)
        )
        run = max(_worth(self._units[match.a : match.a + match.size]) for match in longest)
        covered = 0.0
        for at, _, size in matcher.get_matching_blocks():
            if _worth(self._units[at : at + size]) >= _COMMON_RUN_WORDS:
                covered += _worth(self._units[i] for i in range(at, at + size) if own[i])
        return Overlap(run, covered / total, total)

    def _most_units(self) -> int:
        return int(len(self._units) * _SLACK) + self.run_units

    def _own(self) -> list[bool]:
        own = [True] * len(self._units)
        for at, run in enumerate(self._runs):
            if run in self._shared:
                end = min(at + self.run_units, len(own))
                own[at:end] = [False] * (end - at)
        return own


def mark_shared(rows: Sequence[OwnText], texts: Iterable[str]) -> None:
    """Unmark, in each row, the runs that at least three different texts contain."""
    wanted: dict[int, set[int]] = {}
    for row in rows:
        wanted.setdefault(row.run_units, set()).update(row.runs)
    counts = {length: Counter[int]() for length in wanted}
    seen: set[int] = set()
    for text in texts:
        said = units(text)
        key = hash(tuple(said))
        if key not in seen:
            seen.add(key)
            for length, known in wanted.items():
                counts[length].update(known.intersection(runs(said, length)))
    for row in rows:
        row.share(counts[row.run_units])


def runs(said: Sequence[str], length: int) -> list[int]:
    """Return the hash of each run of `length` units, or of all units if there are fewer."""
    if not said:
        return []
    last = max(len(said) - length, 0)
    return [hash(tuple(said[at : at + length])) for at in range(last + 1)]


def words(text: str) -> float:
    """Return the length of a text in words."""
    return _worth(units(text))


def _worth(said: Iterable[str]) -> float:
    return sum(map(worth, said))


def _run_units(said: Sequence[str]) -> int:
    """Return how many units make a run, by the kind of script that prevails."""
    mean = _worth(said) / len(said) if said else 1.0
    return min(_RUN_UNITS, key=lambda length: abs(length - _SHARED_RUN_WORDS / mean))


def _stretches(own: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of each unbroken stretch of marked units."""
    start = None
    for at, is_own in enumerate([*own, False]):
        if is_own and start is None:
            start = at
        elif not is_own and start is not None:
            yield start, at
            start = None
