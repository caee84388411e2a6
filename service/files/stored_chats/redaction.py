"""Redacts chats in a child process of the API.

Run as `python -m service.files.stored_chats.redaction`.

It reads a chat per line from stdin, and writes the redacted chat to stdout. It opens no file and
logs nothing. Redaction takes one or two milliseconds of CPU per chat, which would delay the streams
of other requests in the API's own process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from service.datasets.personal_data.kinds import CustomKinds, Recognizer
from service.datasets.personal_data.redact import Redactor, learn_row, redact_row
from service.datasets.rows.canonical import canonical_line
from service.files.stored_chats.chats import Chat, NotAChat, read_chat
from service.files.stored_chats.responses import read_response

CHATS: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"


class Recorded(msgspec.Struct, frozen=True):
    """A request and its answer, and how to redact them."""

    body: bytes
    answer: bytes
    redaction: Literal["mask", "pseudonym"]
    possible_personal_data: bool = False
    recognizers: tuple[Recognizer, ...] = ()
    path: str = CHATS
    """The route that answered."""


class StoredChat(msgspec.Struct, frozen=True):
    """A chat in storage. `row` is a canonical training row that ends with the answer."""

    id: str
    model: str
    created: int
    finish_reason: str
    row: dict[str, Any]
    usage: dict[str, Any] | None = None
    sampling: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    redactions: dict[str, int] = {}


class Refused(msgspec.Struct, frozen=True):
    """The reason why a chat cannot be stored."""

    reason: Literal["unsupported", "failed"]


class Redacted(msgspec.Struct, frozen=True):
    """The child process's result for a chat."""

    chat: StoredChat | None = None
    refused: Refused | None = None


def redact(recorded: Recorded) -> StoredChat | Refused:
    """Return the redacted chat, or why it cannot be stored."""
    try:
        read = read_response if recorded.path == RESPONSES else read_chat
        chat = read(recorded.body, recorded.answer)
        line, issue = canonical_line(msgspec.json.encode(chat.row), 1, "chat")
    except NotAChat:
        return Refused("unsupported")
    if issue is not None:  # such as images
        return Refused("unsupported")
    return _redact_chat(chat, msgspec.json.decode(line), recorded)


def _redact_chat(chat: Chat, row: dict[str, Any], recorded: Recorded) -> StoredChat:
    redactor = Redactor(
        recorded.redaction,
        possible=recorded.possible_personal_data,
        custom=_custom(recorded.recognizers),
    )
    learn_row(redactor, row)
    for text in (*chat.metadata, *chat.metadata.values()):
        redactor.learn(text)
    counts = Counter[str]()
    metadata = {
        redactor.redact_name(name, counts): redactor.redact(value, counts)
        for name, value in chat.metadata.items()
    }
    return StoredChat(
        id=chat.id,
        model=chat.model,
        created=chat.created,
        finish_reason=chat.finish_reason,
        row=redact_row(redactor, row, counts),
        usage=chat.usage,
        sampling=chat.sampling,
        metadata=metadata,
        redactions=dict(counts),
    )


@lru_cache(maxsize=8)
def _custom(recognizers: tuple[Recognizer, ...]) -> CustomKinds:
    return CustomKinds(recognizers)


def main() -> None:
    """Redact chats from stdin until it ends."""
    with contextlib.suppress(OSError):
        os.nice(10)  # the streams of the API come first
    decode = msgspec.json.Decoder(Recorded).decode
    for line in sys.stdin.buffer:
        try:
            found = redact(decode(line))
        except Exception:  # noqa: BLE001 - a traceback must not contain any of the chat
            found = Refused("failed")
        answer = Redacted(chat=found) if isinstance(found, StoredChat) else Redacted(refused=found)
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
