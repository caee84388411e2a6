"""Rows of a generation: parses them strictly, drops near duplicates, and writes the training file.

Until the end, rows are kept in parts (work/parts.py) as lines of that file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np

from service.core import ids
from service.core.storage import Storage
from service.datasets.duplicates.compare import Wording, compare_all, parse_text
from service.datasets.duplicates.minhash import PERMUTATIONS, Signatures, signatures
from service.datasets.limits import NEAR_THRESHOLD
from service.files.records import FileRecord, Files, Purpose, new_record
from service.generation.records import GenerationRecord, RowKind

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
    """A rephrased question."""

    question: str


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outcome of a check."""

    verdict: Literal["yes", "no"]


A = TypeVar("A", Pair, Pairs, Rewrite, Verdict)


def parse_answer(body: dict[str, Any], kind: type[A]) -> A:
    """Return the content of a chat completion. Raises Malformed."""
    try:
        content = body["choices"][0]["message"]["content"]
        return msgspec.json.decode(content, type=kind)
    except (LookupError, TypeError, msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise Malformed from e


def clean_pair(pair: Pair) -> Pair:
    """Return a pair without surrounding white space. Raises Malformed if it cannot be a row."""
    question, answer = pair.question.strip(), pair.answer.strip()
    fits = len(question) <= _MAX_QUESTION_CHARS and len(answer) <= _MAX_ANSWER_CHARS
    if not (question and answer and fits) or "\0" in question + answer:
        raise Malformed
    return Pair(question, answer)


class Row(msgspec.Struct, frozen=True):
    """A row that passed its checks, and the passage that it is about."""

    id: str
    kind: RowKind
    pair: Pair
    file_id: str
    start: int
    end: int
    passage: str
    model: str
    verdict: str
    page: int | None = None
    section: str | None = None

    def line(self) -> bytes:
        """Return the row as a line of a training file."""
        places = {"page": self.page, "section": self.section}
        return msgspec.json.encode(
            {
                "messages": [
                    {"role": "user", "content": self.pair.question},
                    {"role": "assistant", "content": self.pair.answer},
                ],
                "generated": {
                    "id": self.id,
                    "kind": self.kind,
                    "model": self.model,
                    "file_id": self.file_id,
                    "start": self.start,
                    "end": self.end,
                    **{name: value for name, value in places.items() if value is not None},
                    "passage": self.passage,
                    "check": {"facts": "found", "verdict": self.verdict},
                },
            }
        )


class _Message(msgspec.Struct):
    content: str


class _Generated(msgspec.Struct):
    id: str


class _Line(msgspec.Struct):
    messages: list[_Message]
    generated: _Generated


_LINES = msgspec.json.Decoder(_Line)


async def read_lines(
    storage: Storage, record: GenerationRecord, parts: Iterable[str]
) -> list[bytes]:
    """Return the lines of the parts, in the order of the rows. Raises StorageMissing."""
    found: list[bytes] = []
    for name in parts:
        found += (await storage.get_bytes(f"{record.folder}/{name}")).splitlines()
    return sorted(found, key=lambda line: _LINES.decode(line).generated.id)


def pair_of(line: bytes) -> Pair:
    """Return the question and the answer of a line."""
    question, answer = (message.content for message in _LINES.decode(line).messages)
    return Pair(question, answer)


async def write_file(
    files: Files, record: GenerationRecord, lines: Sequence[bytes]
) -> FileRecord | None:
    """Store a training file of the lines. Returns None if there are no lines.

    The file must be registered, or else discarded.
    """
    if not lines:
        return None
    file_id = ids.new(ids.FILE)
    await files.begin(record.project_id, file_id)
    data = b"".join(line + b"\n" for line in lines)
    file = new_record(
        file_id,
        record.project_id,
        filename=f"{record.id}.jsonl",
        purpose=Purpose.FINE_TUNE,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        expires_after_s=None,
        format_=None,
        key_id=record.key_id,
    ).model_copy(update={"generation": record.id, "documents": record.documents})
    try:
        # The parts, which count towards the quota, are deleted at the same time.
        await files.storage.put_bytes(file.content_key, data, is_limited=False)
        await files.put_manifest(file)
    except BaseException:
        await files.discard(file.project_id, file.id)
        raise
    return file


_CANDIDATES: Final = 0.45  # rows with this share of equal signature values are compared


class RowSet:
    """The rows that are kept. A row that means the same as one of them is a duplicate.

    Rows with the same question are duplicates whatever they answer, because a model cannot learn
    two answers to it.
    """

    def __init__(self, rows: Iterable[Pair] = ()) -> None:
        self._texts: list[tuple[Wording, Wording]] = []
        self._asked: set[str] = set()
        self._signatures: Signatures = np.empty((64, PERMUTATIONS), dtype=np.uint32)
        for row in rows:
            self._add(row, _signature(row))

    def add(self, row: Pair) -> bool:
        """Add a row unless it is a duplicate. Returns whether it was added."""
        question, answer = parse_text(row.question), parse_text(row.answer)
        if question.said in self._asked:
            return False
        signature = _signature(row)
        known = self._signatures[: len(self._texts)]
        shares = (known == signature).mean(axis=1)
        for place in np.flatnonzero(shares >= _CANDIDATES):
            found = compare_all((question, answer), self._texts[place], threshold=NEAR_THRESHOLD)
            if found is not None and found.same:
                return False
        self._add(row, signature)
        return True

    def _add(self, row: Pair, signature: Signatures) -> None:
        if len(self._texts) == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
        self._signatures[len(self._texts)] = signature
        self._texts.append((parse_text(row.question), parse_text(row.answer)))
        self._asked.add(self._texts[-1][0].said)


def _signature(row: Pair) -> Signatures:
    first: Signatures = signatures(
        [f"{parse_text(row.question).said} {parse_text(row.answer).said}"]
    )[0]
    return first
