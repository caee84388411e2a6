"""Streaming multipart: the file's bytes go on as they come, the small fields are kept.

Nothing is spooled: a chunk that the parser hands out is given to storage before the next
is read from the socket, so memory stays flat whatever the file's size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from streaming_form_data import ParseFailedException, StreamingFormDataParser
from streaming_form_data.targets import BaseTarget

from service.core.errors import BadRequest, UnsupportedMedia

_MAX_FIELD_BYTES = 4096
_FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


class _Chunks(BaseTarget):
    """Hands the file's bytes from the parser's callbacks to the loop around it."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[bytes] = []
        self.filename: str | None = None
        self.seen = 0

    def on_start(self) -> None:
        self.seen += 1
        self.filename = self.multipart_filename

    def on_data_received(self, chunk: bytes) -> None:
        self.pending.append(chunk)


class _Field(BaseTarget):
    def __init__(self) -> None:
        super().__init__()
        self.value = b""

    def on_data_received(self, chunk: bytes) -> None:
        self.value += chunk
        if len(self.value) > _MAX_FIELD_BYTES:
            raise BadRequest("A form field is too long.")


@dataclass
class Form:
    """A form that is being read; `fields` and `filename` are whole after `chunks` ended."""

    request: Request
    filename: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the part named `file`. Raises BadRequest, UnsupportedMedia."""
        if not self.request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise UnsupportedMedia(
                "Send the file as multipart/form-data with the parts 'file' and 'purpose'."
            )
        target, fields = _Chunks(), {name: _Field() for name in _FIELDS}
        try:
            parser = StreamingFormDataParser(headers=dict(self.request.headers))
            parser.register("file", target)
            for name, sink in fields.items():
                parser.register(name, sink)
            async for data in self.request.stream():
                parser.data_received(data)
                for chunk in target.pending:
                    yield chunk
                target.pending.clear()
        except ParseFailedException as e:
            raise BadRequest("The multipart body is malformed.", code="invalid_multipart") from e
        except ClientDisconnect as e:
            raise BadRequest("The upload was cut off before its end.") from e
        if not target.seen:
            raise BadRequest(
                "Missing required parameter: 'file'.",
                param="file",
                code="missing_required_parameter",
            )
        if target.seen > 1:
            raise BadRequest("Send one file a request.", param="file")
        self.filename = target.filename
        self.fields = {
            name: sink.value.decode("utf-8", "replace")
            for name, sink in fields.items()
            if sink.value
        }
