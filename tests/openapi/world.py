"""A client that calls operations by id, checks the responses and records them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.openapi.description import Json, Operation, description, faults, operations
from tests.openapi.stable import Stable

SHARED = "shared"
"""The name under which answers are kept that every operation has."""


class World:
    """One api and the calls recorded so far."""

    def __init__(self, base_url: str, keys: Mapping[str, str], *, strict: bool = True) -> None:
        self.stable = Stable()
        self.strict = strict
        self.said: dict[str, Json] = {}
        self._keys = keys
        self._http = httpx.AsyncClient(base_url=base_url, timeout=60)

    async def close(self) -> None:
        """Close the client."""
        await self._http.aclose()

    async def call(
        self,
        operation_id: str,
        example: str | None = None,
        summary: str | None = None,
        *,
        expect: int | None = 200,
        key: str | None = "member",
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        file: tuple[str, bytes] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        shared: bool = False,
        cut: Callable[[Any], Any] = lambda shown: shown,
    ) -> httpx.Response:
        """Call an operation and check its response against the description.

        With `example`, request and response become examples with that name; errors are named after
        their code. With `expect=None`, any status will do. `shared` marks a response of every
        operation. `cut` shortens what is shown.
        """
        operation = operations()[operation_id]
        url = operation.path
        for name, value in (path or {}).items():
            url = url.replace(f"{{{name}}}", quote(value, safe=":"))
        part = "data" if operation_id == "createUploadPart" else "file"
        response = await self._http.request(
            operation.method,
            url,
            params=query,
            headers={
                **({} if key is None else {"authorization": f"Bearer {self._keys[key]}"}),
                **({} if content is None else {"content-type": "application/octet-stream"}),
                **(headers or {}),
            },
            json=json,
            data=form,
            files=None if file is None else {part: (*file, "application/octet-stream")},
            content=content,
        )
        got = response.status_code
        assert expect in (got, None), f"{operation_id}: {response.text[:2000]}"
        check(operation, response, strict=self.strict)
        place = SHARED if shared else operation_id
        if response.is_error and example is None:
            self._answered(place, response, response.json()["error"]["code"] or "error", None, cut)
        elif example is not None:
            body = json
            if file is not None:
                body = {**(form or {}), part: file[1].decode()}
            elif isinstance(content, bytes):
                body = content.decode()
            self._asked(place, response.request, example, summary, body)
            self._parameters(place, {**(path or {}), **(query or {}), **(headers or {})})
            self._answered(place, response, example, summary, cut)
        return response

    def write(self, folder: Path) -> None:
        """Write the recorded examples, one file per operation."""
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        for name, said in self.said.items():
            text = json.dumps(said, ensure_ascii=False, indent=1)
            (folder / f"{name}.json").write_text(text + "\n", "utf-8")

    def _asked(
        self, place: str, request: httpx.Request, name: str, summary: str | None, body: Any
    ) -> None:
        if body is None:
            return
        media = request.headers["content-type"].split(";")[0]
        self._keep(("requestBody", media, name), place, summary, body)

    def _parameters(self, place: str, given: Mapping[str, Any]) -> None:
        kept = self.said.setdefault(place, {}).setdefault("parameters", {})
        for name, value in given.items():
            kept.setdefault(name.lower(), self.stable.value(value, name))
        if not kept:
            del self.said[place]["parameters"]

    def _answered(
        self,
        place: str,
        response: httpx.Response,
        name: str,
        summary: str | None,
        cut: Callable[[Any], Any],
    ) -> None:
        media = response.headers.get("content-type", "").split(";")[0]
        value = response.json() if media == "application/json" else response.text
        where = ("responses", str(response.status_code), media, name)
        self._keep(where, place, summary, cut(value))

    def _keep(self, where: tuple[str, ...], place: str, summary: str | None, value: Any) -> None:
        at = self.said.setdefault(place, {})
        for key in where[:-1]:
            at = at.setdefault(key, {})
        told = {} if summary is None else {"summary": summary}
        at.setdefault(where[-1], {**told, "value": self.stable.value(value)})


def check(operation: Operation, response: httpx.Response, *, strict: bool) -> None:
    """Raise AssertionError if a response does not match the description.

    Without `strict`, a status may be new, as before its first example is recorded.
    """
    status = str(response.status_code)
    described = operation.described["responses"]
    if not strict and status not in described:
        return
    assert status in described, f"{operation.id} does not tell of {status}: {response.text[:500]}"
    answer = operation.response(status)
    assert "x-request-id" in response.headers
    known = description()["components"]["headers"].keys()
    untold = known & response.headers.keys() - answer["headers"].keys()
    assert not untold, f"{operation.id} {status} does not tell of {untold}"
    media = response.headers["content-type"].split(";")[0]
    assert media in answer["content"], f"{operation.id} {status}: {media}"
    if media == "application/json":
        schema = answer["content"][media]["schema"]
        assert not (found := faults(response.json(), schema, closed=True)), (
            f"{operation.id} {status}: {found}\n{response.text[:1500]}"
        )
