"""Reads snapshots: the data of one version in Redis and storage, and its answers to requests.

A snapshot is a file of JSON lines. Each is one Redis key, one stored file, or one answer. Keys that
soon expire, such as leases and marks of transactions, are left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.core.redis import Client, reply, text

FOLDER = Path(__file__).parent / "data"
_KEPT_MS = 3600 * 1000  # keys that expire earlier are left out

Json = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """The lines of a snapshot, with the time at which it was taken."""

    taken_at: float
    keys: list[Json]
    files: dict[str, bytes]
    answers: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot."""
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return cls(
            taken_at=next(line["taken_at"] for line in lines if "taken_at" in line),
            keys=[line for line in lines if "key" in line],
            files={
                line["file"]: base64.b64decode(line["base64"]) for line in lines if "file" in line
            },
            answers={line["path"]: line["answer"] for line in lines if "path" in line},
        )

    def write(self, path: Path) -> None:
        """Write the snapshot."""
        lines: Iterable[Json] = [
            {"taken_at": self.taken_at},
            *self.keys,
            *(
                {"file": name, "base64": base64.b64encode(content).decode()}
                for name, content in self.files.items()
            ),
            *({"path": name, "answer": answer} for name, answer in self.answers.items()),
        ]
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    async def load(self, redis: Client, storage: Path) -> None:
        """Write all keys and files to an empty installation."""
        for line in self.keys:
            await _put(redis, line)
        for name, content in self.files.items():
            path = storage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


async def keys_of(redis: Client) -> list[Json]:
    """Return the lines of all keys that stay."""
    names = sorted(text(name) for name in await redis.keys("*"))
    return [await _line(redis, name) for name in names if _stays(await redis.pttl(name))]


def files_of(storage: Path) -> dict[str, bytes]:
    """Return all stored files."""
    paths = (path for path in sorted(storage.rglob("*")) if path.is_file())
    return {str(path.relative_to(storage)): path.read_bytes() for path in paths}


async def answers_to(http: httpx.AsyncClient, *more: str) -> dict[str, Any]:
    """Return the answers to the requests for all lists and objects, and for `more`, by path."""
    answers: dict[str, Any] = {}
    waiting = [*_LISTS, *more]
    while waiting:
        path = waiting.pop(0)
        answers[path] = await answer_to(http, path)
        waiting += _below(path, answers[path])
    return answers


async def answer_to(http: httpx.AsyncClient, path: str) -> Any:
    """Return the answer to a request, which has to succeed."""
    answer = await http.get(path, params={"limit": 100} if _is_list(path) else None)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


_LISTS = (
    "/v1/files",
    "/v1/dataset_cleanings",
    "/v1/model_imports",
    "/v1/fine_tuning/jobs",
    "/v1/models",
    "/v1/aliases",
    "/v1/evals",
    "/v1/model_exports",
    "/v1/webhook_endpoints",
    "/v1/organization/projects",
)
_SUB_LISTS = {
    "/v1/fine_tuning/jobs": ("checkpoints", "events"),
    "/v1/aliases": ("history",),
    "/v1/evals": ("runs",),
    "/v1/webhook_endpoints": ("deliveries",),
}


def _is_list(path: str) -> bool:
    return path in _LISTS or path.rsplit("/", 1)[-1] in {"api_keys", "output_items", "parts"} | {
        name for names in _SUB_LISTS.values() for name in names
    }


def _below(path: str, answer: Json) -> Iterator[str]:
    """Yield the paths of the objects in a list, and of their own lists."""
    ids = [found["id"] for found in answer.get("data", ()) if "id" in found]
    if path in _LISTS:
        for found in ids:
            yield f"{path}/{found}"
            yield from (f"{path}/{found}/{name}" for name in _SUB_LISTS.get(path, ()))
    elif path.endswith("/runs"):
        for found in ids:
            yield f"{path}/{found}"
            yield f"{path}/{found}/output_items"


def _stays(expires_in_ms: int) -> bool:
    return expires_in_ms < 0 or expires_in_ms > _KEPT_MS


async def _line(redis: Client, name: str) -> Json:
    kind = text(await redis.type(name))
    return {"key": name, "type": kind, "value": await _value(redis, name, kind)}


async def _value(redis: Client, name: str, kind: str) -> Any:
    match kind:
        case "string":
            return text(await redis.get(name))
        case "hash":
            found = await reply(redis.hgetall(name))
            return {text(k): text(v) for k, v in sorted(found.items())}
        case "set":
            return sorted(map(text, await reply(redis.smembers(name))))
        case "list":
            return [text(v) for v in await reply(redis.lrange(name, 0, -1))]
        case "zset":
            return {text(k): s for k, s in await redis.zrange(name, 0, -1, withscores=True)}
        case "stream":
            return [
                [text(at), {text(k): text(v) for k, v in fields.items()}]
                for at, fields in await redis.xrange(name)
            ]
    raise ValueError(f"keys of type {kind} are not part of snapshots yet")


async def _put(redis: Client, line: Json) -> None:
    name, value = line["key"], line["value"]
    match line["type"]:
        case "string":
            await redis.set(name, value)
        case "hash":
            await reply(redis.hset(name, mapping=value))
        case "set":
            await reply(redis.sadd(name, *value))
        case "list":
            await reply(redis.rpush(name, *value))
        case "zset":
            await redis.zadd(name, value)
        case "stream":
            for at, fields in value:
                await redis.xadd(name, fields, id=at)
