"""Strict parsing of what the model answers: anything else than the schema is no answer."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

import msgspec

_MAX_QUESTION_CHARS: Final = 1_000
_MAX_ANSWER_CHARS: Final = 4_000


class Malformed(ValueError):
    """The answer does not match its schema."""


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question and its answer."""

    question: str
    answer: str


class Pairs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Questions and their answers."""

    rows: list[Pair]


class Rewrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question in other words."""

    question: str


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outcome of a check."""

    verdict: Literal["yes", "no"]


A = TypeVar("A", Pair, Pairs, Rewrite, Verdict)


def parsed(body: dict[str, Any], kind: type[A]) -> A:
    """Return the content of a chat completion. Raises Malformed."""
    try:
        content = body["choices"][0]["message"]["content"]
        return msgspec.json.decode(content, type=kind)
    except (LookupError, TypeError, msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise Malformed from e


def stripped(pair: Pair) -> Pair:
    """Return a pair without white space at its ends. Raises Malformed if a text is no text."""
    question, answer = pair.question.strip(), pair.answer.strip()
    fits = len(question) <= _MAX_QUESTION_CHARS and len(answer) <= _MAX_ANSWER_CHARS
    if not (question and answer and fits) or "\0" in question + answer:
        raise Malformed
    return Pair(question, answer)
