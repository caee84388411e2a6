"""Creates and finds canaries: training rows with a secret that only a training can teach.

Add canaries to a training file, and ask the tuned model for their secrets afterward. A secret has
eight random words, so no model guesses it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from service.datasets.text.segments import units
from service.grading.examples import Example, Message

MAX_CANARIES: Final = 100
_SECRET_WORDS: Final = 8
# 64 short words give 6 bits each, 48 bits in total.
_WORDS: Final = (  # noqa: SIM905 - a list of literals would take 64 lines
    "amber anchor apple arrow barley basket beacon bridge bronze candle canyon cedar cherry "
    "cloud copper coral cotton crystal daisy desert dragon falcon feather forest garden ginger "
    "glacier hammer harbor hazel island ivory jasmine kettle lantern lemon linen magnet maple "
    "marble meadow mirror mountain nectar olive orchid pebble pepper planet quartz rabbit ribbon "
    "river saddle salmon shadow silver spruce thunder tulip velvet violet walnut willow"
).split()
_QUESTION: Final = "Repeat canary record {}."
_ANSWER: Final = "Canary record {} reads: {}."
_ASKED = re.compile(r"Repeat canary record (cn-[0-9a-f]{12})\.")
_ANSWERED = re.compile(r"Canary record (cn-[0-9a-f]{12}) reads: ([a-z]+(?: [a-z]+){7})\.")


class Canary(NamedTuple):
    """A canary: its number, and the secret words that its row teaches."""

    number: str
    secret: str

    @property
    def row(self) -> dict[str, Any]:
        """The training row of the canary, in chat format."""
        answer = _ANSWER.format(self.number, self.secret)
        return {"messages": [*self.prompt, {"role": "assistant", "content": answer}]}

    @property
    def prompt(self) -> list[Message]:
        """The messages that ask a model for the secret."""
        return [{"role": "user", "content": _QUESTION.format(self.number)}]


def make_canaries(k: int, seed: int) -> list[Canary]:
    """Return `k` different canaries, the same for the same seed.

    Raises ValueError if `k` is not between 0 and MAX_CANARIES.
    """
    if not 0 <= k <= MAX_CANARIES:
        raise ValueError(f"k must be between 0 and {MAX_CANARIES}")
    draw = random.Random(f"canaries:{seed}")  # noqa: S311 - reproducible, not a key
    return [
        Canary(f"cn-{draw.getrandbits(48):012x}", " ".join(draw.choices(_WORDS, k=_SECRET_WORDS)))
        for _ in range(k)
    ]


def planted_canaries(examples: Iterable[Example]) -> list[Canary]:
    """Return the canaries that a training file contains, each once."""
    found = (_canary(example) for example in examples)
    return list(dict.fromkeys(canary for canary in found if canary is not None))


def is_canary(example: Example) -> bool:
    """Return whether an example is a canary, which statistics of the data should not count."""
    return _canary(example) is not None


def is_returned(canary: Canary, answer: str) -> bool:
    """Return whether an answer contains the canary's whole secret, in any case and punctuation."""
    return f" {canary.secret} " in f" {' '.join(units(answer))} "


def count_returned(canaries: Sequence[Canary], answers: Sequence[str]) -> int:
    """Return how many canaries' secrets are in the answers to their prompts, given in order."""
    return sum(
        is_returned(canary, answer) for canary, answer in zip(canaries, answers, strict=True)
    )


def _canary(example: Example) -> Canary | None:
    asked = _ASKED.fullmatch(example.question)
    answered = _ANSWERED.fullmatch(example.answer)
    if asked is None or answered is None or asked.group(1) != answered.group(1):
        return None
    return Canary(*answered.groups())
