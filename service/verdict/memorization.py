"""Finds training text that a model returns: continuations of rows, and their personal data.

A probe gives the model the first half of a row, and the continuation is compared with what only
that row contains (`OwnText`). `summarize` makes the evaluation's `Memorization` of all results.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Literal, NamedTuple

from service.datasets.personal_data.detect import find_personal_data, may_hold_personal_data
from service.datasets.personal_data.known_values import KnownValues, Value
from service.datasets.personal_data.redact import languages_of
from service.datasets.rows.conversation import split_row
from service.datasets.text.segments import units, worth
from service.grading.examples import Example, Message
from service.verdict.canaries import is_canary
from service.verdict.comparison import LeakedRow, Memorization
from service.verdict.thresholds import LEAST_OWN_WORDS, NEAR_COPY_SHARE, VERBATIM_WORDS

MAX_CHARS: Final = 1_500
"""Number of characters of a continuation that are compared."""

_SHARED_BY: Final = 3
_SHARED_RUN_WORDS: Final = 3.0
_RUN_UNITS: Final = (3, 6, 10)  # units of _SHARED_RUN_WORDS, in the three kinds of scripts
_COMMON_RUN_WORDS: Final = 1.5  # a shorter common run, such as a single word, is chance
_SLACK: Final = 1.5  # a continuation is compared up to this multiple of the row's own length
MAX_PROBES: Final = 1_000
"""Largest number of rows to probe."""
Copy = Literal["none", "near", "verbatim"]
_GAP = re.compile(r"\s+")
_SARA_AM = "\u0e33\u0eb3"  # letters that complete the one before, as combining marks do
MAX_LINES: Final = 50
"""Number of copied rows whose lines a summary lists."""
MAX_LINES_A_VALUE = 5
"""Number of training lines listed for one value. A shop's own number may be in every row."""


class Overlap(NamedTuple):
    """What a continuation shares with a row's own text.

    `run` is the longest common run and `own` the length of the row's own text, both in words.
    `share` is the share (0 to 1) of the row's own text that the continuation contains in order.
    """

    run: float
    share: float
    own: float


class OwnText:
    """The text of a row, which knows which of its units only this row contains."""

    def __init__(self, text: str, given: str) -> None:
        """`given` is the prompt of the model that writes `text`."""
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


class Probe(NamedTuple):
    """A row to continue, with its line in its file.

    If `part` is "answer", `prompt` is the row's prompt, and the model continues an assistant
    message that starts with `prefix`. If `part` is "question", there is no prompt, and the model
    completes the raw text `prefix`, the first half of the user's turn. `expected` is how the row
    continues.
    """

    line: int
    part: Literal["answer", "question"]
    prompt: tuple[Message, ...]
    prefix: str
    expected: str

    @property
    def messages(self) -> list[Message]:
        """The chat to continue: the prompt, and an assistant message with the prefix."""
        return [*self.prompt, {"role": "assistant", "content": self.prefix}]

    @property
    def given(self) -> str:
        """All text that the model sees."""
        return "\n".join([*(message.get("content") or "" for message in self.prompt), self.prefix])


class ProbeResult(NamedTuple):
    """The result of one probe: what both models' continuations share with the row."""

    line: int
    tuned: Overlap
    base: Overlap

    @property
    def copy(self) -> Copy:
        """How closely the tuned model copies the row; "none" if the base model does the same."""
        tuned, base = classify_copy(self.tuned), classify_copy(self.base)
        return "none" if base in ("verbatim", tuned) else tuned


def classify_copy(overlap: Overlap) -> Copy:
    """Return how closely a continuation copies a row."""
    if overlap.own < LEAST_OWN_WORDS:
        return "none"
    if overlap.run >= min(VERBATIM_WORDS, overlap.own):
        return "verbatim"
    return "near" if overlap.share >= NEAR_COPY_SHARE else "none"


def choose_probes(examples: Sequence[Example], n: int, seed: int) -> list[Probe]:
    """Return probes of up to `n` rows, spread evenly over the file, in the order of the file.

    Canaries, repeated rows, and texts too short to judge are left out. The question is continued
    only if the answer is too short. Raises ValueError if `n` is not between 0 and MAX_PROBES.
    """
    if not 0 <= n <= MAX_PROBES:
        raise ValueError(f"n must be between 0 and {MAX_PROBES}")
    eligible = list(_eligible(examples))
    count = min(n, len(eligible))
    draw = random.Random(f"probes:{seed}")  # noqa: S311 - reproducible, not a key
    edges = [len(eligible) * place // max(count, 1) for place in range(count + 1)]
    return [eligible[draw.randrange(edges[i], edges[i + 1])] for i in range(count)]


def compare_continuations(
    probes: Sequence[Probe],
    tuned: Sequence[str],
    base: Sequence[str],
    examples: Sequence[Example],
) -> list[ProbeResult]:
    """Compare the models' continuations of the probes, in order, with the rows' own text.

    `examples` are all examples of the training file. Phrases that several of them share are not
    a row's own.
    """
    rows = [OwnText(probe.expected, probe.given) for probe in probes]
    parts = {probe.part for probe in probes}
    answers = (example.answer for example in examples if "answer" in parts)
    questions = (example.question for example in examples if "question" in parts)
    mark_shared(rows, (*answers, *questions))
    return [
        ProbeResult(probe.line, row.overlap(said), row.overlap(baseline))
        for probe, row, said, baseline in zip(probes, rows, tuned, base, strict=True)
    ]


def _eligible(examples: Sequence[Example]) -> Iterator[Probe]:
    seen: set[tuple[str, str]] = set()
    for example in examples:
        key = (example.question, example.answer)
        if key in seen or is_canary(example):
            continue
        seen.add(key)
        if (halves := _halves(example.answer)) is not None:
            yield Probe(example.line, "answer", example.prompt, *halves)
        elif (halves := _halves(example.question)) is not None:
            yield Probe(example.line, "question", (), *halves)


def _halves(text: str) -> tuple[str, str] | None:
    """Split a text near its middle, or return None if the second half is too short to judge.

    Words stay whole. A script without spaces is split between any two characters with their
    combining marks.
    """
    text = text.strip()[: 2 * MAX_CHARS]
    middle = len(text) // 2
    gaps = [gap.start() for gap in _GAP.finditer(text, middle // 2, middle + middle // 2)]
    cut = min(gaps, key=lambda at: abs(at - middle), default=middle)
    while cut < len(text) and _completes_a_letter(text[cut]):
        cut += 1
    before, after = text[:cut], text[cut:]
    return (before, after) if before and words(after) >= LEAST_OWN_WORDS else None


def _completes_a_letter(char: str) -> bool:
    return char in _SARA_AM or unicodedata.category(char).startswith("M")


def summarize(
    results: Sequence[ProbeResult],
    *,
    control: Sequence[ProbeResult] = (),
    canaries_planted: int = 0,
    canaries_returned: int = 0,
    personal: Sequence[LeakedRow] = (),
) -> Memorization:
    """Summarize the results of the probes.

    `control` are the results for held-out rows, which the model has never seen. If a task has only
    one right answer, such as a translation, a good model writes it for unseen rows as well. As many
    copies as the control predicts are therefore not counted; the longest copies are.
    """
    verbatim = _beyond_chance(results, control, "verbatim")
    near = _beyond_chance(results, control, "near")
    return Memorization(
        canaries_planted=canaries_planted,
        canaries_returned=canaries_returned,
        rows_probed=len(results),
        verbatim=len(verbatim),
        near=len(near),
        verbatim_lines=sorted(verbatim[:MAX_LINES]),
        near_lines=sorted(near[:MAX_LINES]),
        personal=list(personal),
    )


def _beyond_chance(
    results: Sequence[ProbeResult], control: Sequence[ProbeResult], kind: Copy
) -> list[int]:
    """Return the lines of copied rows, longest copies first, without as many as are expected."""
    copied = [one for one in results if one.copy == kind]
    copied.sort(key=lambda one: (-one.tuned.run, one.line))
    expected = 0
    if control:
        unseen = sum(one.copy == kind for one in control)
        expected = round(unseen / len(control) * len(results))
    return [one.line for one in copied[: max(len(copied) - expected, 0)]]


class Reply(NamedTuple):
    """An answer of the tuned model, and what the model was given.

    `given` is the prompt, with the start of the answer if the model had to continue it. `base` is
    the base model's answer to the same prompt, if there is one.
    """

    given: str
    answer: str
    base: str = ""


def leaked_rows(
    rows: Iterable[dict[str, Any]],
    replies: Sequence[Reply],
    lines: Sequence[int] | None = None,
) -> list[LeakedRow]:
    """Return the training rows whose personal data is in an answer.

    `rows` are canonical rows, and `lines` their lines in the file (from 1 if not given). A value
    that the prompt contains, or that the base model returns as well, does not count. The values
    themselves are in no result.
    """
    known = KnownValues()
    places: dict[Value, list[int]] = {}
    texts = [(line, text) for line, text in _learned(rows, lines, known)]
    returned = _returned(known, replies)
    if not returned:
        return []
    for line, text in texts:
        for found in known.find(text):
            kept = places.setdefault(found.value, [])
            if line not in kept[-1:] and len(kept) < MAX_LINES_A_VALUE:
                kept.append(line)
    kinds: dict[int, set[str]] = {}
    for value in returned:
        for line in places.get(value, ()):
            kinds.setdefault(line, set()).add(value.kind)
    return [LeakedRow(line=line, kinds=sorted(kinds[line])) for line in sorted(kinds)]


def _learned(
    rows: Iterable[dict[str, Any]], lines: Sequence[int] | None, known: KnownValues
) -> Iterator[tuple[int, str]]:
    """Learn the values of all rows. Yields the texts that may contain any, with their lines."""
    for index, row in enumerate(rows):
        talk = split_row(row)
        said = [turn.text for turn in talk.every_turn]
        pairs = zip(["", *said], said, strict=False)
        texts = [(before, text) for before, text in pairs if may_hold_personal_data(text)]
        languages = languages_of(talk) if texts else []
        for before, text in texts:
            for found in find_personal_data(text, *languages, before=before):
                known.learn(found, text, *languages)
            yield index + 1 if lines is None else lines[index], text


def _returned(known: KnownValues, replies: Sequence[Reply]) -> set[Value]:
    values: set[Value] = set()
    if not known:
        return values
    for reply in replies:
        found = {one.value for one in known.find(reply.answer)}
        if found:
            expected = f"{reply.given}\n{reply.base}"
            values |= found - {one.value for one in known.find(expected)}
    return values


def given_text(messages: Sequence[dict[str, Any]]) -> str:
    """Return all that a prompt says as one text, with the arguments of its tool calls."""
    parts: list[str] = []
    for message in messages:
        parts.append(message.get("content") or "")
        calls = message.get("tool_calls") or ()
        parts += (call["function"]["arguments"] for call in calls)
    return "\n".join(parts)
