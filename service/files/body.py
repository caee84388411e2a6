"""Reads upload bodies: a multipart form, or raw bytes with the fields in the query string.

Nothing is spooled: each parsed chunk is passed on before the next is read from the socket, so
memory use does not depend on the size of the file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from streaming_form_data import ParseFailedException, StreamingFormDataParser
from streaming_form_data.targets import BaseTarget

from service.core.errors import BadRequest, UnsupportedMedia

BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
_KNOWN = re.compile(r"purpose|expires_after\[(?:anchor|seconds)\]|format(?:\[.*)?", re.DOTALL)
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
        "description": "`FileFormat` as a JSON object, or as flattened fields such as "
        "`format[columns][prompt]=Frage`.",
    },
}
# Limit for everything but the file: fields, part headers and boundaries. The parser buffers a
# header until its end, so an endless header would otherwise exhaust memory.
_MAX_OTHER_BYTES = 128 * 1024


def body_schema(part: str, fields: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return the request body for openapi.json: a form with these fields, or raw bytes."""
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
    "requestBody": body_schema("file", _FIELDS, "purpose"),
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
        """Lower bound of the file's size from the declared length; 0 if none is declared."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file as they arrive. Raises BadRequest."""
        ...


def body_of(request: Request, part: str) -> Body:
    """Return a reader for the request's content type. `part` names the form part with the file.

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


class RawBody:
    """A request body with the raw bytes of the file."""

    def __init__(self, request: Request, is_wanted: Callable[[str], bool]) -> None:
        self._request = request
        self.filename = request.query_params.get("filename")
        self.fields = {k: v for k, v in request.query_params.items() if is_wanted(k)}

    @property
    def least_bytes(self) -> int:
        """The declared length of the request, or 0."""
        return declared_bytes(self._request)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the body. Raises BadRequest if the client disconnects."""
        try:
            async for data in self._request.stream():
                yield data
        except ClientDisconnect as e:
            raise BadRequest("The upload was cut off before its end.") from e


@dataclass
class Form:
    """A multipart form. `fields` and `filename` are complete once `chunks` is exhausted.

    `part` names the part that holds the file. Other parts are kept if their name is `is_wanted`.
    """

    request: Request
    part: str
    is_wanted: Callable[[str], bool]
    filename: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def least_bytes(self) -> int:
        """Lower bound of the file's size from the declared length of the form, or 0."""
        return max(0, declared_bytes(self.request) - _MAX_OTHER_BYTES)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file. Raises BadRequest if the form is invalid."""
        target, fields = _Chunks(self.part), _Fields(self.is_wanted)
        other_bytes = 0
        try:
            with _form_errors():
                parser = StreamingFormDataParser(headers=dict(self.request.headers))
            parser.register(self.part, target)
            parser.register("other parts", fields, fields.takes)
            async for data in self.request.stream():
                with _form_errors():
                    parser.data_received(data)
                other_bytes += len(data) - sum(map(len, target.pending))
                if other_bytes > _MAX_OTHER_BYTES:
                    raise BadRequest(
                        f"The form's other parts are over the limit of {_MAX_OTHER_BYTES} bytes."
                    )
                for chunk in target.pending:
                    yield chunk
                target.pending.clear()
        except ClientDisconnect as e:
            raise BadRequest("The upload was cut off before its end.") from e
        if not target.started:
            raise BadRequest(
                f"Missing required parameter: '{self.part}'.",
                param=self.part,
                code="missing_required_parameter",
            )
        if not target.ended:
            raise BadRequest(
                "The multipart body has no closing boundary.", code="invalid_multipart"
            )
        self.filename = target.filename
        self.fields = {k: v.decode("utf-8", "replace") for k, v in fields.values.items()}


class _Chunks(BaseTarget):
    """Collects the file's bytes from the parser's callbacks for the read loop."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part
        self.pending: list[bytes] = []
        self.filename: str | None = None
        self.started = self.ended = False

    def on_start(self) -> None:
        if self.started:
            raise BadRequest("Send one file per request.", param=self.part)
        self.started = True
        self.filename = self.multipart_filename

    def on_data_received(self, chunk: bytes) -> None:
        self.pending.append(chunk)

    def on_finish(self) -> None:
        self.ended = True


class _Fields(BaseTarget):
    """Collects the small parts whose names are wanted."""

    def __init__(self, is_wanted: Callable[[str], bool]) -> None:
        super().__init__()
        self.values: dict[str, bytes] = {}
        self._is_wanted = is_wanted
        self._name = ""

    def takes(self, _registered: str, name: str) -> bool:
        """Return whether to keep a part. Only this callback receives the name of the part."""
        self._name = name
        return self._is_wanted(name)

    def on_start(self) -> None:
        self.values[self._name] = b""

    def on_data_received(self, chunk: bytes) -> None:
        self.values[self._name] += chunk


def declared_bytes(request: Request) -> int:
    """Return the length of a request's body if it declares one, or 0."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0


@contextlib.contextmanager
def _form_errors() -> Iterator[None]:
    """Turn parser errors into BadRequest.

    The parser reads headers with Python's email package, which raises various errors of its own.
    """
    try:
        yield
    except UnicodeDecodeError as e:
        raise BadRequest(
            "The headers of a part are not UTF-8. Write the names of fields and of the file in "
            "UTF-8.",
            code="invalid_multipart",
        ) from e
    except (ParseFailedException, LookupError, ValueError) as e:
        raise BadRequest("The multipart body is malformed.", code="invalid_multipart") from e
