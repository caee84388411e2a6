"""Where else than in the rows of files a project has a text: everything that it has is searched.

All records of the project in Redis, and all its objects in storage: what batches, generations,
evals and evaluations asked and were answered, reports and previews, parts of uploads, metadata,
names and descriptions. Weights and states of trainings are left out: no text can be read in them.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from service.core import ids
from service.core.records import PREFIX
from service.core.redis import Client, text
from service.core.storage import Storage, StorageMissing
from service.datasets.contract.tasks import RowMatch
from service.erasure.search.records import FoundPlace


class Texts:
    """The forms in which bytes may have what a search looks for."""

    def __init__(self, match: RowMatch) -> None:
        text = match.value
        forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {html.escape(text), text.replace('"', '""')}
        self._forms = () if match.kind == "row_sha256" else tuple(f.encode() for f in forms)
        self._longest = max(map(len, self._forms), default=0)

    def are_in(self, data: bytes) -> bool:
        """Whether the bytes have one of the forms."""
        return any(form in data for form in self._forms)

    async def are_in_stream(self, chunks: AsyncIterator[bytes]) -> bool:
        """Whether the chunks have one of the forms, also across their borders."""
        rest = b""
        async for chunk in chunks:
            window = rest + chunk
            if self.are_in(window):
                return True
            rest = window[-(self._longest - 1) :] if self._longest > 1 else b""
        return False


_SCANNED_AT_ONCE: Final = 500
_READ_AT_ONCE: Final = 100
_WEIGHTS: Final = (".safetensors", ".pt", ".pth", ".bin", ".gguf", ".tar")
# What the search itself has, what has digests and numbers only, and stored chats.
_OTHERS: Final = (
    *("erasure-match:", "erasure-searches", "erasures", "usage:", "storage-", "captures"),
)
_OBJECTS: Final = {
    ids.FILE: "file",
    ids.UPLOAD: "upload",
    ids.JOB: "fine_tuning.job",
    ids.ADVICE: "fine_tuning.advice",
    ids.SWEEP: "fine_tuning.sweep",
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


class PlaceSearch:
    """Searches all that a project has."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self._redis = redis
        self._storage = storage

    async def find(self, project_id: str, match: RowMatch) -> list[FoundPlace]:
        """Return the objects of the project that have the text. A digest of a row is in none."""
        if match.kind == "row_sha256":
            return []
        texts = Texts(match)
        records = {place async for place in self._in_redis(project_id, texts)}
        objects = {place async for place in self._in_storage(project_id, texts)}
        return [
            FoundPlace(
                object=kind,
                id="" if texts.are_in(name.encode()) else name,
                is_in_records=(kind, name) in records,
                is_in_storage=(kind, name) in objects,
            )
            for kind, name in sorted(records | objects)
        ]

    async def _in_redis(self, project_id: str, texts: Texts) -> AsyncIterator[tuple[str, str]]:
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
                has_it = texts.are_in(key) or texts.are_in(records.get(key) or b"")
                if has_it or await self._has(key, kind, texts):
                    yield _place(_SEPARATORS.split(text(key).removeprefix(own)))

    async def _keys(self, own: str) -> AsyncIterator[list[bytes]]:
        """Yield the project's keys, some at a time."""
        some: list[bytes] = []
        async for key in self._redis.scan_iter(f"{own}*", count=_SCANNED_AT_ONCE):
            if not text(key).removeprefix(own).startswith(_OTHERS):
                some.append(key)
            if len(some) == _READ_AT_ONCE:
                yield some
                some = []
        yield some

    async def _has(self, key: bytes, kind: str, texts: Texts) -> bool:
        async for value in self._values(key, kind):
            if texts.are_in(value):
                return True
        return False

    async def _values(self, key: bytes, kind: str) -> AsyncIterator[bytes]:
        """Yield all that a key of Redis has that is no string."""
        redis: Any = self._redis
        if kind == "list":
            for value in await redis.lrange(key, 0, -1):
                yield value
        elif kind == "stream":
            async for value in self._values_of_stream(key):
                yield value
        elif kind in _SCANS:
            async for member in getattr(redis, _SCANS[kind])(key, count=_SCANNED_AT_ONCE):
                parts = member if isinstance(member, tuple) else (member,)
                yield b"\n".join(part for part in parts if isinstance(part, bytes))

    async def _values_of_stream(self, key: bytes) -> AsyncIterator[bytes]:
        after = "-"
        while entries := await self._redis.xrange(key, after, "+", count=_SCANNED_AT_ONCE):
            for _, fields in entries:
                yield b"\n".join(fields.values())
            after = f"({text(entries[-1][0])}"

    async def _in_storage(self, project_id: str, texts: Texts) -> AsyncIterator[tuple[str, str]]:
        for stored in await self._storage.objects(f"{project_id}/"):
            parts = stored.key.split("/")[1:]
            if stored.key.endswith(_WEIGHTS) or _is_searched(parts):
                continue
            try:
                if await texts.are_in_stream(await self._storage.stream(stored.key)):
                    yield _place(parts)
            except StorageMissing:
                continue  # deleted during the search


def _is_searched(parts: list[str]) -> bool:
    """Whether an object is a file's own content or a stored chat, which are searched by rows."""
    return parts[0] == "captures" or (parts[0] == "files" and len(parts) == 3)


def _place(parts: Iterable[str]) -> tuple[str, str]:
    """Return the kind and the ID of the object that a key belongs to: the innermost one."""
    kind, *rest = names = list(parts)
    found = (kind, ":".join(rest))
    for name in names:
        for prefix, known in _OBJECTS.items():
            if ids.is_valid(name, prefix):
                found = (known, name)
    return found
