"""Live job events over server-sent events, resumed with `Last-Event-ID`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from finetuned._flows.common import at
from finetuned._http import Request, error_of
from finetuned._retry import backoff_s, helps
from finetuned._steps import Close, Item, Items, Next, Open, Opened, Sleep
from finetuned.errors import ConnectionFailed, FinetunedError, UnexpectedAnswer
from finetuned.types import EventObject

DONE = "[DONE]"
# The server sends something at least every 15 s.
_SILENCE_S = 45.0


def watch(
    job_id: str, *, after: str | None = None, patience_s: float = 300.0
) -> Items[EventObject]:
    """Yield every event of a job once, oldest first, until the job is final.

    A broken connection is resumed where it stopped; the server may be unreachable for up to
    `patience_s`. `after` is the id of the last event already seen.
    """
    heard_s, tries = time.monotonic(), 0
    while True:
        trouble: FinetunedError
        try:
            opened = cast("Opened", (yield Open(_request(job_id, after))))
            if opened.error is None:
                heard_s, tries = time.monotonic(), 0
                lines = Lines()
                while (chunk := cast("bytes | None", (yield Next(opened.stream)))) is not None:
                    heard_s = time.monotonic()
                    for message in lines.feed(chunk):
                        if message.data == DONE:
                            return
                        event = _event(message.data)
                        after = message.id or event.id
                        yield Item(event)
                yield Close(opened.stream)
                trouble = ConnectionFailed("The event stream ended before the job did.")
            else:
                trouble = error_of(opened.error)
                if not helps(_request(job_id, after), opened.error, trouble.retry_after_s):
                    raise trouble
        except ConnectionFailed as e:
            trouble = e
        if time.monotonic() - heard_s > patience_s:
            raise trouble
        yield Sleep(trouble.retry_after_s or backoff_s(tries))
        tries += 1


def _request(job_id: str, after: str | None) -> Request:
    headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
    return Request(
        "GET",
        at("fine_tuning", "jobs", job_id, "events"),
        params={"stream": "true"},
        headers=headers,
        read_timeout_s=_SILENCE_S,
    )


def _event(data: str) -> EventObject:
    try:
        return EventObject.model_validate_json(data)
    except ValidationError as e:
        raise UnexpectedAnswer("The server sent an invalid event.") from e


@dataclass(frozen=True)
class Message:
    """One server-sent event."""

    data: str
    id: str | None


class Lines:
    """Incremental parser for server-sent events (HTML standard, section 9.2)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages completed by this chunk. A truncated message is not yielded."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            message = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if message is not None:
                yield message

    def _line(self, line: str) -> Message | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "id":
                self._id = value
            return None
        data, self._data = "\n".join(self._data), []
        return Message(data, self._id) if data else None
