"""Streaming multipart parser: passes on the file's bytes as they arrive and keeps small fields.

Nothing is spooled. Each parsed chunk goes to storage before the next is read from the socket,
so memory use does not depend on the file's size.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from streaming_form_data import ParseFailedException, StreamingFormDataParser
from streaming_form_data.targets import BaseTarget

from service.core.errors import BadRequest

# Limit for everything but the file: fields, part headers and boundaries. The parser buffers a
# header until its end, so an endless header would otherwise exhaust memory.
_MAX_OTHER_BYTES = 128 * 1024


class _Chunks(BaseTarget):
    """Passes the file's bytes from the parser's callbacks to the read loop."""

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
        """Whether the parser should keep a part. Only this callback receives the part's name."""
        self._name = name
        return self._is_wanted(name)

    def on_start(self) -> None:
        self.values[self._name] = b""

    def on_data_received(self, chunk: bytes) -> None:
        self.values[self._name] += chunk


@dataclass
class Form:
    """A form being read. `fields` and `filename` are complete once `chunks` is exhausted.

    `part` names the part that holds the file. Other parts are kept if their name is `is_wanted`.
    """

    request: Request
    part: str
    is_wanted: Callable[[str], bool]
    filename: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def least_bytes(self) -> int:
        """The least size of the file by the length of the form, or 0."""
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
