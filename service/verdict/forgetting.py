"""Measures what a training made a model forget, by its scores on the general set.

The general set has questions in 12 languages. It was written for this project and copies no
benchmark. Each item has a right answer and three wrong choices, which are scored by their log
probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from statistics import fmean
from typing import Literal, NamedTuple

import msgspec

from service.verdict.comparison import Forgetting, LanguageForgetting
from service.verdict.intervals import Clusters, difference_interval

LANGUAGES = ("de", "en", "es", "fr", "id", "ja", "ko", "ms", "th", "tl", "vi", "zh")
"""Codes of the languages of the general set."""

Kind = Literal["knowledge", "arithmetic", "instruction", "reading", "translation"]
_LEAST = -1e3  # replaces the minus infinity of a token that the model considers impossible
_SAME = {"fil": "tl", "in": "id", "may": "ms", "cmn": "zh"}


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question of the general set. `choices` holds the right answer first, then three wrong."""

    id: str
    kind: Kind
    prompt: str
    choices: tuple[str, str, str, str]

    @property
    def language(self) -> str:
        """The language's code, one of LANGUAGES."""
        return self.id.partition("-")[0]


def general_items(languages: Iterable[str] | None = None, n: int | None = None) -> list[Item]:
    """Return the first `n` items of each language, or all of them.

    `languages` are BCP-47 tags, such as `th`, `fil` or `zh-Hans`. Languages that the set lacks
    give no items. Every five items in order are of five different kinds. The same arguments give
    the same items.
    """
    if n is not None and n < 0:
        raise ValueError("n must not be negative")
    codes = LANGUAGES if languages is None else [_code(tag) for tag in languages]
    known = [code for code in dict.fromkeys(codes) if code in LANGUAGES]
    return [item for code in known for item in _items_of(code)[:n]]


def _code(tag: str) -> str:
    code = tag.replace("_", "-").partition("-")[0].lower()
    return _SAME.get(code, code)


@lru_cache
def _items_of(language: str) -> tuple[Item, ...]:
    file = resources.files("service.verdict") / "general_set" / f"{language}.jsonl"
    decode = msgspec.json.Decoder(Item).decode
    return tuple(decode(line) for line in file.read_bytes().splitlines())


class ChoiceScore(NamedTuple):
    """The probability (0 to 1) of the right choice among all, and whether it is the highest."""

    probability: float
    is_right: bool


def score_choices(logprobs: Sequence[Sequence[float]]) -> ChoiceScore:
    """Score an item by the log probabilities of its choices' tokens, in the order of the choices.

    The tokens of a choice are those of its text as the assistant's answer, with the token that
    ends the turn. The mean per token is compared, since choices differ in length. Of choices with
    the same mean, the right one does not count as the highest. Raises ValueError if a choice has
    no tokens.
    """
    if len(logprobs) < 2 or not all(logprobs):
        raise ValueError("each of at least two choices needs a token")
    means = [fmean(map(_finite, choice)) for choice in logprobs]
    highest = max(means)
    weights = [math.exp(mean - highest) for mean in means]
    return ChoiceScore(weights[0] / sum(weights), means[0] > max(means[1:]))


def _finite(value: float) -> float:
    return max(value, _LEAST) if math.isfinite(value) else _LEAST


def summarize_forgetting(
    items: Sequence[Item], base: Sequence[float], tuned: Sequence[float]
) -> Forgetting:
    """Compare the scores of the base and the tuned model, given by item.

    The scores, from 0 to 1, are the probabilities of the right choices. Raises ValueError if there
    are no items, or not one score each per item.
    """
    if not items:
        raise ValueError("at least one item is needed")
    rows = list(zip(items, base, tuned, strict=True))
    differences = Clusters.group(
        [after - before for _, before, after in rows], [i.id for i in items]
    )
    low, high = difference_interval(differences, fmean(base))
    return Forgetting(
        languages=[
            LanguageForgetting(
                language=language,
                rows=len(chosen),
                base=fmean(before for _, before, _ in chosen),
                tuned=fmean(after for _, _, after in chosen),
            )
            for language in dict.fromkeys(item.language for item in items)
            if (chosen := [row for row in rows if row[0].language == language])
        ],
        rows=len(rows),
        change=differences.mean,
        low=low,
        high=high,
    )
