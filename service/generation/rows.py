"""Rows of a generation: in parts in storage while it is in progress, and in its file at the end.

{project}/generations/{id}/{part}    rows as JSON Lines, written once and never changed
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from service.core import ids
from service.core.storage import Storage
from service.files.records import FileRecord, Files, Purpose, new_record
from service.generation.answers import Pair
from service.generation.records import GenerationRecord, RowKind


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

    def line(self) -> bytes:
        """Return the row as a line of a training file."""
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


class PartWriter:
    """Writer of the parts of one attempt. The names of its parts are used by no other."""

    def __init__(self, storage: Storage, record: GenerationRecord) -> None:
        self._storage = storage
        self._record = record
        self._prefix = f"{record.attempt_name}-{ids.random_part(8)}"
        self._written = 0

    async def write(self, rows: Sequence[Row]) -> str:
        """Store rows, which may be none. Returns the name of the part."""
        self._written += 1
        name = f"{self._prefix}-{self._written:06d}.jsonl"
        data = b"".join(row.line() + b"\n" for row in rows)
        await self._storage.put_bytes(f"{self._record.folder}/{name}", data)
        return name


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
    """Store a training file of the lines; None if there are none.

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
    ).model_copy(update={"generation": record.id, "documents": record.documents})
    try:
        # The parts, which count towards the quota, are deleted then.
        await files.storage.put_bytes(file.content_key, data, is_limited=False)
        await files.put_manifest(file)
    except BaseException:
        await files.discard(file.project_id, file.id)
        raise
    return file
