"""Cases with known personal data: templates in JSON Lines, filled with made-up values.

In a template, `«phone.th»` is replaced by a made-up value of `values.VALUES` of the kind `phone`,
`«person_name=山田花子»` is a value that is written out, `«secret:gs|k_ A52»` is made by a form
(`values.make_key`), and `«-sku»` is something that is not personal. A text can also be a list of
turns. `times` is how often a template is filled.

The topics of `SECOND` were written before the rules that they led to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.datasets.personal_cases.values import VALUES, make_key

TOPICS = (
    "national_ids",
    "phones",
    "secrets_and_passports",
    "names_and_addresses",
    "labeled",
    "bare_names",
    "clean",
    "words_like_names",
    *(
        SECOND := (
            "second_set",
            "second_set_secrets",
            "third_set",
            "fourth_set",
            "sixth_set",
            "fifth_set",
            "fifth_set_names",
            "sixth_set_names",
        )
    ),
)
_HOLE = re.compile(r"«([^»=:]+)(?:([=:])([^»]+))?»")


class Truth(NamedTuple):
    """Personal data in a turn: its kind, and where it is (`turns[turn][start:end]`)."""

    kind: str
    turn: int
    start: int
    end: int


class Case(NamedTuple):
    """A text, or a conversation of several turns, and the personal data in it."""

    topic: str
    group: str
    language: str
    turns: tuple[str, ...]
    truth: tuple[Truth, ...]


@lru_cache(maxsize=1)
def all_cases() -> tuple[Case, ...]:
    """Return the cases of all topics, the same in each run."""
    return tuple(case for topic in TOPICS for case in _cases(topic))


def _cases(topic: str) -> Iterator[Case]:
    lines = (Path(__file__).parent / f"{topic}.jsonl").read_text().splitlines()
    for number, line in enumerate(lines):
        row = json.loads(line)
        texts = row["text"] if isinstance(row["text"], list) else [row["text"]]
        for time in range(row.get("times", 1)):
            pick = Random(f"{topic}/{number}/{time}")
            turns, truth = [], []
            for turn, text in enumerate(texts):
                filled, found = _fill(text, turn, pick)
                turns.append(filled)
                truth += found
            yield Case(topic, row["group"], row["language"], tuple(turns), tuple(truth))


def _fill(template: str, turn: int, pick: Random) -> tuple[str, list[Truth]]:
    text, truth, end = "", [], 0
    for hole in _HOLE.finditer(template):
        text += template[end : hole.start()]
        name, sign, value = hole.groups()
        if sign != "=":
            value = (make_key(value) if sign else VALUES[name])(pick)
        if not name.startswith("-"):
            kind = name.partition(".")[0]
            truth.append(Truth(kind, turn, len(text), len(text) + len(value)))
        text += value
        end = hole.end()
    return text + template[end:], truth
