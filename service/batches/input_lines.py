"""Checks the input file of a batch as a whole, and reads its requests line by line."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from service.batches.records import BatchFault
from service.datasets.limits import BATCH_BYTES
from service.datasets.rows.lines import FileSlice, LongLine, content_start, read_batches

MAX_REQUESTS: Final = 50_000
MAX_INPUT_BYTES: Final = 200 * 1024 * 1024
_MAX_FAULTS: Final = 50
_MAX_ID_CHARS: Final = 512
_ENVELOPE_BYTES: Final = 8 * 1024  # of a line, in addition to the body


class BatchRequest(NamedTuple):
    """A request of a batch. Requests count from 0."""

    number: int
    custom_id: str
    body: bytes


class InputInvalid(Exception):
    """The input file is not a batch."""

    def __init__(self, faults: list[BatchFault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


class Checked(NamedTuple):
    """The number of requests in a valid input file, and the model that they name."""

    requests: int
    model: str


class _Line(msgspec.Struct):
    custom_id: Any = msgspec.UNSET
    method: Any = msgspec.UNSET
    url: Any = msgspec.UNSET
    body: msgspec.Raw = msgspec.Raw(b"")


class _Body(msgspec.Struct):
    model: Any = msgspec.UNSET


_LINES: Final = msgspec.json.Decoder(_Line)
_BODIES: Final = msgspec.json.Decoder(_Body)
_BROKEN: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def check(path: Path, endpoint: str, max_body_bytes: int) -> Checked:
    """Check each line of a file. Raises InputInvalid with the first faults, and OSError."""
    checker = _Checker(endpoint)
    faults: list[BatchFault] = []
    for number, line in _lines(path, max_body_bytes):
        fault = checker.fault(line)
        if fault is not None:
            faults.append(fault.model_copy(update={"line": number}))
        if len(faults) == _MAX_FAULTS or checker.requests > MAX_REQUESTS:
            break
    if not checker.requests:
        faults = [_fault("empty_file", "The input file has no requests.")]
    if faults:
        raise InputInvalid(faults)
    return Checked(checker.requests, checker.model)


def read_requests(
    path: Path, max_body_bytes: int, done: Collection[int]
) -> Generator[BatchRequest]:
    """Yield the requests of a checked file that have no result yet, in order."""
    for request, (_, line) in enumerate(_lines(path, max_body_bytes)):
        if request not in done and line is not None:
            decoded = _LINES.decode(line)
            yield BatchRequest(request, decoded.custom_id, bytes(decoded.body))


class _Checker:
    """Checks the lines of one file, in order."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._custom_ids: set[str] = set()
        self.requests = 0
        self.model = ""

    def fault(self, line: bytes | None) -> BatchFault | None:
        """Check the next line. Returns its fault, or None."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            message = f"The input file has more than {MAX_REQUESTS} requests."
            return _fault("too_many_requests", message)
        if line is None:
            return _fault("line_too_long", "This line is longer than a request may be.")
        try:
            decoded = _LINES.decode(line)
        except _BROKEN:
            return _fault("invalid_json_line", "This line is not parseable as valid JSON.")
        return (
            self._fault_of_custom_id(decoded.custom_id)
            or self._fault_of_route(decoded)
            or self._fault_of_body(bytes(decoded.body))
        )

    def _fault_of_custom_id(self, custom_id: Any) -> BatchFault | None:
        param = "custom_id"
        if custom_id is msgspec.UNSET or custom_id is None:
            return _missing(param)
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _MAX_ID_CHARS:
            message = f"The custom_id must be a string of 1 to {_MAX_ID_CHARS} characters."
            return _fault("invalid_value", message, param)
        if custom_id in self._custom_ids:
            return _fault(
                "duplicate_custom_id",
                "The custom_id for this request is a duplicate of another request. The custom_id "
                "parameter must be unique for each request in a batch.",
                param,
            )
        self._custom_ids.add(custom_id)
        return None

    def _fault_of_route(self, line: _Line) -> BatchFault | None:
        for param, given in (("method", line.method), ("url", line.url)):
            if given is msgspec.UNSET:
                return _missing(param)
        if line.method != "POST":
            return _fault("invalid_method", "The method of a request must be 'POST'.", "method")
        if line.url != self._endpoint:
            message = f"The url of a request must be the batch's endpoint, '{self._endpoint}'."
            return _fault("invalid_url", message, "url")
        return None

    def _fault_of_body(self, body: bytes) -> BatchFault | None:
        if not body:
            return _missing("body")
        try:
            model = _BODIES.decode(body).model
        except _BROKEN:
            return _fault("invalid_type", "The body of a request must be an object.", "body")
        param = "body.model"
        if model is msgspec.UNSET:
            return _missing(param)
        if not isinstance(model, str) or not model:
            return _fault("invalid_value", "The model of a request must be a string.", param)
        self.model = self.model or model
        if model != self.model:
            message = "All requests of a batch must have the same model."
            return _fault("mismatched_model", message, param)
        return None


def _lines(path: Path, max_body_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number and the bytes of each line that is not blank; None for one too long."""
    most = max(max_body_bytes, BATCH_BYTES) + _ENVELOPE_BYTES
    with FileSlice(path, content_start(path)) as stream:
        for batch in read_batches(stream, max_line_bytes=most, batch_bytes=BATCH_BYTES):
            if isinstance(batch, LongLine):
                yield batch.line, None
                continue
            for number, line in enumerate(batch.lines, batch.first_line):
                if line.strip():
                    yield number, line


def _missing(param: str) -> BatchFault:
    return _fault("missing_required_parameter", f"Missing required parameter: '{param}'.", param)


def _fault(code: str, message: str, param: str | None = None) -> BatchFault:
    return BatchFault(code=code, message=message, param=param)
