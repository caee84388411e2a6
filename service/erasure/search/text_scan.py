"""Scans all Redis records and storage objects of a project for a text.

They include requests and answers of batches, generations, evals and evaluations, reports, previews,
parts of uploads, metadata, names and descriptions. The rows of files and stored chats are searched
elsewhere (`task.py`). Weights and training states are skipped, since they contain no text.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from service.core import ids
from service.core.records import PREFIX
from service.core.redis import Client, text
from service.core.storage import Storage, StorageMissing
from service.datasets.contract.tasks import RowMatch
from service.erasure.search.records import FoundPlace


class EncodedText:
    """A text in the encodings that stored bytes may have: plain, JSON, HTML and CSV."""

    def __init__(self, match: RowMatch) -> None:
        plain = match.value
        forms = {plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
        forms |= {html.escape(plain), plain.replace('"', '""')}
        # The digest of a row is in no bytes.
        self._forms = () if match.kind == "row_sha256" else tuple(f.encode() for f in forms)
        self._longest = max(map(len, self._forms), default=0)

    def is_in(self, data: bytes) -> bool:
        """Return whether the bytes contain the text."""
        return any(form in data for form in self._forms)

    async def is_in_stream(self, chunks: AsyncIterator[bytes]) -> bool:
        """Return whether the chunks contain the text, also across their borders."""
        rest = b""
        async for chunk in chunks:
            window = rest + chunk
            if self.is_in(window):
                return True
            rest = window[-(self._longest - 1) :] if self._longest > 1 else b""
        return False


_SCAN_COUNT: Final = 500
_KEYS_PER_READ: Final = 100
_WEIGHTS: Final = (".safetensors", ".pt", ".pth", ".bin", ".gguf", ".tar")
# Keys of searches themselves, of digests and numbers only, and of stored chats.
_SKIPPED: Final = (
    *("erasure-match:", "erasure-searches", "erasures", "usage:", "storage-", "captures"),
)
_OBJECT_TYPES: Final = {
    ids.FILE: "file",
    ids.UPLOAD: "upload",
    ids.JOB: "fine_tuning.job",
    ids.ADVICE: "fine_tuning.advice",
    ids.EVAL: "eval",
    ids.EVAL_RUN: "eval.run",
    ids.BATCH: "batch",
    ids.GENERATION: "dataset.generation",
    ids.EXPORT: "export",
    ids.WEBHOOK: "webhook_endpoint",
    ids.KEY: "api_key",
    ids.SERVICE_ACCOUNT: "service_account",
}
_SCANS: Final = {"hash": "hscan_iter", "set": "sscan_iter", "zset": "zscan_iter"}
_SEPARATORS: Final = re.compile("[:/]")


class TextScan:
    """Finds the objects of a project that contain a text."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self._redis = redis
        self._storage = storage

    async def find(self, project_id: str, match: RowMatch) -> list[FoundPlace]:
        """Return the objects of the project that contain the text."""
        if match.kind == "row_sha256":
            return []
        sought = EncodedText(match)
        records = {owner async for owner in self._in_redis(project_id, sought)}
        objects = {owner async for owner in self._in_storage(project_id, sought)}
        return [
            FoundPlace(
                object=kind,
                id="" if sought.is_in(name.encode()) else name,
                is_in_records=(kind, name) in records,
                is_in_storage=(kind, name) in objects,
            )
            for kind, name in sorted(records | objects)
        ]

    async def _in_redis(
        self, project_id: str, sought: EncodedText
    ) -> AsyncIterator[tuple[str, str]]:
        own = f"{PREFIX}:{project_id}:"
        async for keys in self._keys(own):
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.type(key)
                kinds = [text(kind) for kind in await pipe.execute()]
            strings = [key for key, kind in zip(keys, kinds, strict=True) if kind == "string"]
            values = await self._redis.mget(strings) if strings else []
            records = dict(zip(strings, values, strict=True))
            for key, kind in zip(keys, kinds, strict=True):
                is_found = sought.is_in(key) or sought.is_in(records.get(key) or b"")
                if is_found or await self._contains(key, kind, sought):
                    yield _owner(_SEPARATORS.split(text(key).removeprefix(own)))

    async def _keys(self, own: str) -> AsyncIterator[list[bytes]]:
        """Yield the project's keys in batches."""
        batch: list[bytes] = []
        async for key in self._redis.scan_iter(f"{own}*", count=_SCAN_COUNT):
            if not text(key).removeprefix(own).startswith(_SKIPPED):
                batch.append(key)
            if len(batch) == _KEYS_PER_READ:
                yield batch
                batch = []
        yield batch

    async def _contains(self, key: bytes, kind: str, sought: EncodedText) -> bool:
        async for value in self._values(key, kind):
            if sought.is_in(value):
                return True
        return False

    async def _values(self, key: bytes, kind: str) -> AsyncIterator[bytes]:
        """Yield the values of a list, stream, hash or set."""
        redis: Any = self._redis
        if kind == "list":
            for value in await redis.lrange(key, 0, -1):
                yield value
        elif kind == "stream":
            async for value in self._stream_values(key):
                yield value
        elif kind in _SCANS:
            async for member in getattr(redis, _SCANS[kind])(key, count=_SCAN_COUNT):
                parts = member if isinstance(member, tuple) else (member,)
                yield b"\n".join(part for part in parts if isinstance(part, bytes))

    async def _stream_values(self, key: bytes) -> AsyncIterator[bytes]:
        after = "-"
        while entries := await self._redis.xrange(key, after, "+", count=_SCAN_COUNT):
            for _, fields in entries:
                yield b"\n".join(fields.values())
            after = f"({text(entries[-1][0])}"

    async def _in_storage(
        self, project_id: str, sought: EncodedText
    ) -> AsyncIterator[tuple[str, str]]:
        for stored in await self._storage.objects(f"{project_id}/"):
            parts = stored.key.split("/")[1:]
            if stored.key.endswith(_WEIGHTS) or _is_searched_by_rows(parts):
                continue
            try:
                if await sought.is_in_stream(await self._storage.stream(stored.key)):
                    yield _owner(parts)
            except StorageMissing:
                continue  # deleted during the search


def _is_searched_by_rows(parts: list[str]) -> bool:
    """Return whether an object is the content of a file, or a stored chat."""
    return parts[0] == "captures" or (parts[0] == "files" and len(parts) == 3)


def _owner(parts: Sequence[str]) -> tuple[str, str]:
    """Return the type and ID of the innermost object that a key belongs to."""
    kind, *rest = parts
    found = (kind, ":".join(rest))
    for name in parts:
        for prefix, known in _OBJECT_TYPES.items():
            if ids.is_valid(name, prefix):
                found = (known, name)
    return found
