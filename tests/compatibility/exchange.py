"""Requests and responses of a program, recorded without the values that differ between runs.

A recorded ID is its prefix and a number, as in `file-<3>`: the same number is the same ID in all
exchanges of a recording.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx

_HEADERS: Final = (
    "content-type",
    "content-range",
    "content-disposition",
    "accept-ranges",
    "retry-after",
)
_TIME, _NUMBER, _TEXT, _EACH = "<time>", "<number>", "<text>", "<each>"
_LINES = ".lines"  # of a report's advice, which named none of some kinds
_EPOCH_S: Final = 1_700_000_000  # numbers above are times
# What people read: its words may change between versions.
_PROSE: Final = frozenset(
    {"message", "fix", "title", "text", "sentence", "notes", "stopped", "reasons", "summary"}
)
_INVENTORIES: Final = frozenset({"objects"})  # of storage
_RANDOM: Final = re.compile(
    r"(?P<prefix>(?:\b|(?<=_))(?:[a-z]+[-_])+|\bft:[^:\s]*:[^:\s]*:[^:\s]*:|\b)"
    r"(?P<random>[0-9a-f]{64}\b|[0-9a-f]{32}\b|[0-9a-f]{16}\b|(?<=[-_])[0-9a-z]{24}\b|(?<=:)[0-9a-z]{12}\b)"
)
_PLACEHOLDER: Final = re.compile(r"(?P<prefix>(?:[a-z]+[-_])*)<(?P<number>[0-9]+)>")
# Prefixes of IDs that 0.3 changed.
_NEW_PREFIXES: Final = {"erasuresearch-": "erasure-", "erasure-": "receipt-"}


@dataclass(frozen=True)
class Exchange:
    """A request and its response. `operation` is the method and the path's template."""

    operation: str
    path: Mapping[str, str]
    query: Mapping[str, Any]
    request: Any
    status: int
    headers: Mapping[str, str]
    body: Any

    def __str__(self) -> str:
        """The request in a line, and its status."""
        query = "".join(f" {key}={value}" for key, value in self.query.items())
        body = "" if self.request is None else f" {json.dumps(self.request)[:200]}"
        return f"{self.operation}{query}{body} -> {self.status}"


class Recorder:
    """A client of an API that keeps its exchanges."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.exchanges: list[Exchange] = []
        self._http = http

    async def call(
        self,
        operation: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        is_recorded: bool = True,
        **path: str,
    ) -> httpx.Response:
        """Send a request, such as `call("GET /v1/exports/{export_id}", export_id="export-1")`."""
        method, _, template = operation.partition(" ")
        response = await self._http.request(
            method, template.format(**path), params=query, headers=headers, json=json
        )
        if is_recorded:
            self.keep(operation, response, query=query, json=json, **path)
        return response

    def keep(
        self,
        operation: str,
        response: httpx.Response,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        **path: str,
    ) -> None:
        """Add an exchange to the recording."""
        headers = dict(response.headers)
        sent = Exchange(operation, path, query or {}, json, response.status_code, headers, None)
        self.exchanges.append(replace(sent, body=_content(response)))


def _content(response: httpx.Response) -> Any:
    media = response.headers.get("content-type", "").split(";")[0]
    if media == "application/json":
        return response.json()
    if media.startswith("text/"):
        return response.text.partition("\n")[0]
    return f"{len(response.content)} bytes"


def read(file: Path) -> list[Exchange]:
    """Return the exchanges of a recording."""
    return [Exchange(**one) for one in json.loads(file.read_text("utf-8"))]


def write(file: Path, exchanges: list[Exchange]) -> None:
    """Write a recording."""
    names: dict[str, int] = {}
    kept = [
        asdict(replace(one, headers={h: one.headers[h] for h in _HEADERS if h in one.headers}))
        for one in exchanges
    ]
    text = json.dumps(_placeheld(kept, names), ensure_ascii=False, indent=1)
    file.write_text(text + "\n", "utf-8")


def _placeheld(value: Any, names: dict[str, int], key: str = "") -> Any:
    """Return a value with placeholders for what differs between runs."""

    def placeholder(match: re.Match[str]) -> str:
        return f"{match['prefix']}<{names.setdefault(match['random'], len(names) + 1)}>"

    match value:
        case dict():
            return {name: _placeheld(part, names, name) for name, part in value.items()}
        case [first, *_] if key in _INVENTORIES:
            return [_EACH, {name: _type(part) for name, part in first.items()}]
        case list():
            return [_placeheld(part, names, key) for part in value]
        case str() if key in _PROSE or value.endswith("="):  # keys and signatures are in Base64
            return _TEXT
        case str():
            return _RANDOM.sub(placeholder, value)
        case int() if value > _EPOCH_S and not isinstance(value, bool):
            return _TIME
    return value


def _type(value: Any) -> str:
    return _TEXT if isinstance(value, str) else _NUMBER


class Comparison:
    """Finds what differs between recorded and present exchanges. Fields may have been added."""

    def __init__(self, codes: Mapping[tuple[str, str | None], tuple[str, int]]) -> None:
        """`codes` has errors that changed: code and parameter before, code and status now."""
        self._codes = codes
        self._ids: dict[str, str] = {}

    def differences(self, before: Exchange, after: Exchange) -> Iterator[str]:
        """Yield what a client of the recorded version would notice."""
        if before.operation != after.operation:
            yield f"{before} is now {after}"
            return
        code, param = _code(before.body)
        now, _ = _code(after.body)
        if code != now and self._codes.get((str(code), param)) == (now, after.status):
            return
        if before.status != after.status:
            yield f"{before} is now {after.status}: {json.dumps(after.body)[:500]}"
            return
        for name, value in before.headers.items():
            yield from self._values(value, after.headers.get(name), f"{before}: header {name}")
        yield from self._values(before.body, after.body, str(before))

    def _values(self, before: Any, after: Any, where: str) -> Iterator[str]:
        if isinstance(before, dict) and isinstance(after, dict):
            for name in before:
                if name in after:
                    yield from self._values(before[name], after[name], f"{where}.{name}")
                else:
                    yield f"{where}.{name} is missing"
        elif before == [] and where.endswith(_LINES) and isinstance(after, list):
            return
        elif isinstance(before, list) and before[:1] == [_EACH] and after:
            for number, one in enumerate(after):
                yield from self._values(before[1], one, f"{where}[{number}]")
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for number, pair in enumerate(zip(before, after, strict=True)):
                yield from self._values(*pair, f"{where}[{number}]")
        elif not self._is_same(before, after):
            yield f"{where}: {before!r} is now {after!r}"

    def _is_same(self, before: Any, after: Any) -> bool:
        if before == _TEXT:
            return isinstance(after, str)
        if before in (_TIME, _NUMBER):
            return isinstance(after, int)
        if isinstance(before, str) and isinstance(after, str):
            return self._is_same_text(before, after)
        return type(before) is type(after) and before == after

    def _is_same_text(self, before: str, after: str) -> bool:
        """Return whether a text is a recorded one, with an ID of its own for each placeholder."""
        names: list[str] = []

        def pattern(match: re.Match[str]) -> str:
            names.append(match["number"])
            prefix = match["prefix"]
            return rf"(?:{prefix}|{_NEW_PREFIXES.get(prefix, prefix)})(\w+)"

        escaped = re.escape(before).replace(r"\-", "-")
        match = re.fullmatch(_PLACEHOLDER.sub(pattern, escaped), after, re.DOTALL)
        if match is None:
            return False
        return all(
            self._ids.setdefault(name, found) == found
            for name, found in zip(names, match.groups(), strict=True)
        )


def _code(body: Any) -> tuple[str | None, str | None]:
    """Return the code and the parameter of a response to a request that failed."""
    error = body.get("error") if isinstance(body, dict) else None
    return (error["code"], error.get("param")) if error else (None, None)
