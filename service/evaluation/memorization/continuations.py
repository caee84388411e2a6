"""Continuation of training rows: whether a model continues as a row does, verbatim or nearly."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from service.evaluation.examples import Example, Message
from service.evaluation.memorization.canaries import is_canary
from service.evaluation.memorization.own_text import (
    MAX_CHARS,
    Overlap,
    OwnText,
    mark_shared,
    words,
)

# In words, as in `own_text`.
VERBATIM_WORDS: Final = 8.0
"""Length of a copied run that counts as verbatim. Less if the row's own text is shorter."""

LEAST_WORDS: Final = 5.0
"""Length of a row's own text below which a match may be chance, and is not judged."""

NEAR_SHARE: Final = 0.8
"""Share of a row's own text that a near copy contains in order."""

MAX_PROBES: Final = 1_000
"""Largest number of rows to probe."""

Copy = Literal["none", "near", "verbatim"]
_GAP = re.compile(r"\s+")
_SARA_AM = "\u0e33\u0eb3"  # letters that complete the one before, as marks do


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


class Continued(NamedTuple):
    """The result of one probe: what both models' continuations share with the row."""

    line: int
    tuned: Overlap
    base: Overlap

    @property
    def copy(self) -> Copy:
        """How closely the tuned model copies the row; "none" if the base model does the same."""
        tuned, base = copy_of(self.tuned), copy_of(self.base)
        return "none" if base in ("verbatim", tuned) else tuned


def copy_of(overlap: Overlap) -> Copy:
    """Return how closely a continuation copies a row."""
    if overlap.own < LEAST_WORDS:
        return "none"
    if overlap.run >= min(VERBATIM_WORDS, overlap.own):
        return "verbatim"
    return "near" if overlap.share >= NEAR_SHARE else "none"


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


def judge(
    probes: Sequence[Probe],
    tuned: Sequence[str],
    base: Sequence[str],
    examples: Sequence[Example],
) -> list[Continued]:
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
        Continued(probe.line, row.overlap(said), row.overlap(baseline))
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
    marks.
    """
    text = text.strip()[: 2 * MAX_CHARS]
    middle = len(text) // 2
    gaps = [gap.start() for gap in _GAP.finditer(text, middle // 2, middle + middle // 2)]
    cut = min(gaps, key=lambda at: abs(at - middle), default=middle)
    while cut < len(text) and _completes_a_letter(text[cut]):
        cut += 1
    before, after = text[:cut], text[cut:]
    return (before, after) if before and words(after) >= LEAST_WORDS else None


def _completes_a_letter(char: str) -> bool:
    return char in _SARA_AM or unicodedata.category(char).startswith("M")
