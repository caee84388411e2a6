"""Upload bodies: a multipart form, or raw bytes with the fields in the query string."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request

from service.core.errors import BadRequest, UnsupportedMedia
from service.files.multipart import Form, declared_bytes

_KNOWN = re.compile(r"purpose|expires_after\[(?:anchor|seconds)\]|format(?:\[.*)?", re.DOTALL)

BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
_FILENAME = {"type": "string", "description": "Name of the file."}
_FIELDS: dict[str, dict[str, Any]] = {
    "purpose": {
        "type": "string",
        "enum": ["fine-tune", "evals", "batch", "user_data", "model-import"],
        "description": "Purpose of the file. `fine-tune` and `evals` files are checked, `batch` "
        "files when a batch is created. `model-import`, an extension, is for archives of adapters.",
    },
    "expires_after[anchor]": {
        "type": "string",
        "enum": ["created_at"],
        "description": "Event from which the lifetime is counted.",
    },
    "expires_after[seconds]": {
        "type": "integer",
        "minimum": 3600,
        "maximum": 2592000,
        "description": "Lifetime of the file in seconds. If omitted, the file never expires.",
    },
    "format": {
        "type": "string",
        "description": "`FormatFields` as a JSON object, or as flattened fields such as "
        "`format[columns][prompt]=Frage`.",
    },
}


def described(part: str, fields: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """The request body for openapi.json: the form with its fields, or raw bytes."""
    form = {
        "type": "object",
        "required": [part, *required],
        "properties": {part: BYTES, **fields},
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/octet-stream": {"schema": BYTES},
        },
    }


FILE_BODY: dict[str, Any] = {
    "requestBody": described("file", _FIELDS, "purpose"),
    "parameters": [
        {
            "name": name,
            "in": "query",
            "description": f"{schema['description']} Used for raw-byte uploads only.",
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in {"filename": _FILENAME, **_FIELDS}.items()
    ],
}


class Body(Protocol):
    """The body of an upload. `fields` and `filename` are complete once `chunks` is exhausted."""

    filename: str | None
    fields: dict[str, str]

    @property
    def least_bytes(self) -> int:
        """The least size of the file by the length that the request declares; 0 without one."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file as they arrive. Raises BadRequest."""
        ...


class RawBody:
    """A request body that consists of the file's raw bytes only."""

    def __init__(self, request: Request, is_wanted: Callable[[str], bool]) -> None:
        self._request = request
        self.filename = request.query_params.get("filename")
        self.fields = {k: v for k, v in request.query_params.items() if is_wanted(k)}

    @property
    def least_bytes(self) -> int:
        """The length that the request declares, or 0."""
        return declared_bytes(self._request)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the body. Raises BadRequest if the client disconnects."""
        try:
            async for data in self._request.stream():
                yield data
        except ClientDisconnect as e:
            raise BadRequest("The upload was cut off before its end.") from e


def body_of(request: Request, part: str) -> Body:
    """The body for the request's content type; `part` names the form part that holds the file.

    Raises UnsupportedMedia if the type is neither multipart/form-data nor
    application/octet-stream.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return Form(request, part, _is_field)
    if media_type == "application/octet-stream":
        return RawBody(request, _is_field)
    raise UnsupportedMedia(
        f"Send the bytes as the part '{part}' of multipart/form-data, or as the raw body with the "
        f"content type application/octet-stream."
    )


def _is_field(name: str) -> bool:
    return _KNOWN.fullmatch(name) is not None
