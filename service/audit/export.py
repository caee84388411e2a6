"""Exports the audit log: all entries as JSON lines, or as OpenTelemetry logs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

import aiohttp
import msgspec

from service.audit.search import Filters
from service.audit.stored_log import FOLDER, list_folders, valid_entries
from service.core.redis import Client
from service.core.storage import Storage, StorageMissing
from service.web import audit_trail
from service.web.audit_trail import STREAM, Entry

_AT_ONCE: Final = 500
_TIMEOUT_S: Final = 30.0
_SEVERITY: Final = {
    "applied": (9, "INFO"),
    "accepted": (9, "INFO"),
    "succeeded": (9, "INFO"),
    "refused": (13, "WARN"),
    "failed": (17, "ERROR"),
}


class ExportRejected(Exception):
    """The collector did not accept some entries. The message says why."""


async def entries(storage: Storage, redis: Client, filters: Filters) -> AsyncGenerator[Entry]:
    """Yield the entries that match, oldest first, each once.

    Raises REDIS_ERRORS and StorageError.
    """
    # Redis first: an entry sealed in between is found twice, but none is missed.
    unsealed = [*valid_entries([fields for _, fields in await redis.xrange(STREAM)])]
    recent: set[str] = set()
    for day in await storage.folders(FOLDER):
        folders, _ = list_folders(await storage.keys(f"{FOLDER}/{day}"))
        recent.clear()
        for folder in folders:
            for name in folder.segments:
                try:
                    data = await storage.get_bytes(folder.key(name))
                except StorageMissing:
                    continue
                for line in data.splitlines():
                    entry = audit_trail.decode(line)
                    recent.add(entry.id)
                    if filters.match(entry):
                        yield entry
    for entry, _ in unsealed:
        if entry.id not in recent and filters.match(entry):
            yield entry
        recent.add(entry.id)


async def send(
    found: AsyncIterator[Entry], endpoint: str, headers: dict[str, str], version: str
) -> int:
    """Send entries to an OTLP collector (HTTP with JSON), and return their number.

    Raises ExportRejected.
    """
    url = f"{endpoint.rstrip('/')}/v1/logs"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    count = 0
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        some: list[Entry] = []
        async for entry in found:
            some.append(entry)
            if len(some) == _AT_ONCE:
                await _post(session, url, otlp(some, version))
                count, some = count + len(some), []
        if some:
            await _post(session, url, otlp(some, version))
    return count + len(some)


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> None:
    headers = {"content-type": "application/json"}
    try:
        async with session.post(url, data=msgspec.json.encode(body), headers=headers) as answer:
            if answer.status != 200:
                raise ExportRejected(f"{url} answered {answer.status}")
            partial = (await answer.json(content_type=None) or {}).get("partialSuccess") or {}
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as e:
        raise ExportRejected(f"{url} cannot be reached: {type(e).__name__}") from e
    if int(partial.get("rejectedLogRecords") or 0):
        raise ExportRejected(f"{url} rejected {partial['rejectedLogRecords']} entries")


def otlp(found: Sequence[Entry], version: str) -> dict[str, Any]:
    """Return entries as an OTLP request, in its JSON encoding."""
    resource = {"service.name": "finetuned", "service.version": version}
    scope = {"name": "finetuned.audit", "version": version}
    records = list(map(_record, found))
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeLogs": [{"scope": scope, "logRecords": records}],
            }
        ]
    }


def _record(entry: Entry) -> dict[str, Any]:
    number, text = _SEVERITY[entry.outcome]
    origin, actor = entry.origin, entry.actor
    attributes = {
        "audit.id": entry.id,
        "audit.actor.kind": actor.kind,
        "audit.actor.id": actor.id,
        "audit.actor.project_id": actor.project_id,
        "audit.actor.role": actor.role,
        "audit.project_id": entry.project_id,
        "audit.objects": list(entry.objects),
        "audit.outcome": entry.outcome,
        "audit.operation": origin.operation,
        "audit.request_id": origin.request_id,
        "error.type": entry.code,
        "client.address": origin.address,
        "user_agent.original": origin.user_agent,
        "http.response.status_code": entry.status,
        **{f"audit.counts.{name}": number for name, number in entry.counts.items()},
    }
    at = str(int(entry.at * 1000) * 1_000_000)
    return {
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "severityNumber": number,
        "severityText": text,
        "eventName": entry.type,
        "body": {"stringValue": entry.type},
        "attributes": _attributes({name: value for name, value in attributes.items() if value}),
    }


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": list(map(_value, value))}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
