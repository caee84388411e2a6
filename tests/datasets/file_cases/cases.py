"""Cases of uploaded files, each with the rows that must come out of it.

Topics are the modules of this package that `all_cases` names. A case is made in memory;
`rows` is None if the file cannot be read without the user's help, and `remedy` is then a part of
the fix that the error must name.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

Row = dict[str, Any]
Pairs = list[tuple[str, str]]

SHOP: Pairs = [
    ("When do you open?", "At nine, every day but Monday."),
    ("Do you ship abroad?", "Yes, to all of Europe; it takes five days."),
    ("How do I return a lamp?", "Send it back within 30 days, with the receipt."),
    ("Is the red chair in stock?", "It is. We can hold one for you until Friday."),
]


class Case(NamedTuple):
    """A file, its format options, and the truth.

    `finding` is a code that the report must contain, whether the file can be read or not.
    """

    topic: str
    name: str
    data: bytes
    rows: list[Row] | None
    options: dict[str, Any] = {}
    finding: str | None = None
    remedy: str = ""


def chat(*turns: str, system: str | None = None) -> Row:
    """A canonical chat of alternating turns."""
    messages = [{"role": "system", "content": system}] if system else []
    roles = ("user", "assistant")
    messages += [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)]
    return {"messages": messages}


def chats(pairs: Pairs) -> list[Row]:
    """A canonical chat of each pair."""
    return [chat(*pair) for pair in pairs]


def preferences(triples: list[tuple[str, str, str]]) -> list[Row]:
    """A canonical preference of each prompt, better answer and worse answer."""
    return [
        {
            "input": {"messages": [{"role": "user", "content": prompt}]},
            "preferred_output": [{"role": "assistant", "content": better}],
            "non_preferred_output": [{"role": "assistant", "content": worse}],
        }
        for prompt, better, worse in triples
    ]


def labeled(pairs: Pairs, labels: list[bool]) -> list[Row]:
    """A canonical labeled row of each pair."""
    return [row | {"label": label} for row, label in zip(chats(pairs), labels, strict=True)]


def jsonl(rows: list[Any]) -> bytes:
    """JSON Lines in UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@lru_cache(maxsize=1)
def all_cases() -> tuple[Case, ...]:
    """All cases of all topics."""
    from tests.datasets.file_cases import (
        chat_exports,
        documents,
        encodings,
        feedback,
        json_shapes,
        repairs,
        tables,
        tool_exports,
        unnamed_tools,
    )

    modules = (
        *(encodings, tables, json_shapes, tool_exports, chat_exports),
        *(unnamed_tools, documents, feedback, repairs),
    )
    return tuple(case for module in modules for case in module.cases())
