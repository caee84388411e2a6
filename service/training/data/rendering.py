"""Renders chat templates in a forked process with limits of time, memory and length.

A template is a program that comes with a base model. Jinja's sandbox keeps it from the interpreter,
but lets it run for hours, or write gigabytes. So a fork of this process renders. Its address space
may grow only a little, and it is killed when a text takes too long. A fork has the same
tokenizer and the same transformers, so its texts are those that serving renders.

When serving, a reasoning model continues a prompt, which may already open the reasoning. What it is
trained on must continue the same prompt, or else its answers would be taken for reasoning.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import resource
import select
import signal
import struct
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import TemplateError

from service.chat_content import ContentFormat, choose_content_format, with_content_format
from service.reasoning import FIELDS, take_out
from service.training.contract.child_process import die_with_parent

TIMEOUT_S: Final = 10.0
MEMORY_BYTES: Final = 1024**3
MAX_TEXT_BYTES: Final = 64 * 1024**2  # many times the longest context

# Exceptions that templates raise for an unsupported conversation: their own raise_exception, and
# operations on missing values. Also what Jinja's sandbox raises for a range that is too long.
_REFUSALS: Final = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_LENGTH: Final = struct.Struct("<Q")
_HEAD: Final = struct.Struct("<BQ")
_AT_ONCE: Final = 1024**2


class TemplateTooCostly(Exception):
    """A chat template exceeds a limit. The message completes the sentence "The template …"."""


class Part(NamedTuple):
    """The first messages of a conversation, to be rendered with or without a generation prompt."""

    messages: int
    prompt: bool = False


class _Status(IntEnum):
    TEXT = 0
    REFUSED = 1
    TOO_LARGE = 2  # the process's memory
    TOO_LONG = 3
    FAILED = 4  # with the name of the exception


Apply = Callable[[Sequence[Any], Sequence[Any], bool], str]
"""Renders messages with tools, and a generation prompt if asked for."""


class TemplateRenderer:
    """Renders conversations with a chat template. Close it after use.

    The process is forked by the first call, and has the state of that time.
    """

    def __init__(
        self, apply: Apply, *, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._apply = apply
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._requests = self._answers = -1
        self._buffer = bytearray()
        self._end: Callable[[], object] | None = None

    def render(
        self, messages: Sequence[Any], tools: Sequence[Any], parts: Sequence[Part]
    ) -> dict[Part, str | None]:
        """Return the text of each part, or None where the template refuses it.

        The contents of messages are strings here, and what the template reads there. Raises
        TemplateTooCostly.
        """
        shown = [with_content_format(message, self._content_format) for message in messages]
        return self._render(shown, tools, parts)

    @functools.cached_property
    def _content_format(self) -> ContentFormat:
        def text(messages: Sequence[Any]) -> str | None:
            part = Part(len(messages))
            return self._render(messages, (), [part])[part]

        return choose_content_format(text)

    def _render(
        self, messages: Sequence[Any], tools: Sequence[Any], parts: Sequence[Part]
    ) -> dict[Part, str | None]:
        if self._end is None:
            self._fork()
        request = json.dumps((messages, tools, parts)).encode()  # rows come from JSON
        try:
            self._send(_LENGTH.pack(len(request)) + request)
            return {part: self._text() for part in parts}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process. The next call starts another one."""
        if self._end is not None:
            self._end()
            self._end = None
            self._buffer.clear()

    def _fork(self) -> None:
        theirs, self._requests = os.pipe()
        self._answers, theirs_too = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(self._requests)
                os.close(self._answers)
                _limit_process(self._memory_bytes)
                _serve(self._apply, theirs, theirs_too)
            finally:
                os._exit(0)  # no buffers and exit handlers of the parent
        os.close(theirs)
        os.close(theirs_too)
        self._end = weakref.finalize(self, _end, pid, self._requests, self._answers)

    def _send(self, request: bytes) -> None:
        rest = memoryview(request)
        try:
            while rest:
                rest = rest[os.write(self._requests, rest) :]
        except BrokenPipeError:
            raise self._out_of_memory() from None

    def _text(self) -> str | None:
        status, length = _HEAD.unpack(self._receive(_HEAD.size))
        text = self._receive(length).decode("utf-8", "surrogatepass")
        if status == _Status.TEXT:
            return text
        if status == _Status.REFUSED:
            return None
        if status == _Status.TOO_LARGE:
            raise self._out_of_memory()
        if status == _Status.TOO_LONG:
            raise TemplateTooCostly(f"writes a text of more than {MAX_TEXT_BYTES >> 20} MiB")
        raise RuntimeError(f"the chat template failed ({text})")

    def _out_of_memory(self) -> TemplateTooCostly:
        return TemplateTooCostly(f"needs more than {self._memory_bytes >> 20} MiB for a text")

    def _receive(self, length: int) -> bytes:
        """Return the next bytes, which may be buffered."""
        while len(self._buffer) < length:
            if not select.select([self._answers], [], [], self._timeout_s)[0]:
                raise TemplateTooCostly(f"takes more than {self._timeout_s:g} s for a text")
            piece = os.read(self._answers, _AT_ONCE)
            if not piece:
                raise self._out_of_memory()
            self._buffer += piece
        found = bytes(self._buffer[:length])
        del self._buffer[:length]
        return found


def _end(pid: int, *pipes: int) -> None:
    for pipe in pipes:
        os.close(pipe)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _limit_process(memory_bytes: int) -> None:
    """Limit this process, and detach it from the input and output of its parent."""
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):  # the parent decides when this process ends
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = mapped * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(apply: Apply, requests: int, answers: int) -> None:
    """Answer requests until the parent closes the pipe."""
    with open(requests, "rb") as incoming, open(answers, "wb", _AT_ONCE) as outgoing:
        while head := incoming.read(_LENGTH.size):
            request = incoming.read(_LENGTH.unpack(head)[0])
            messages, tools, parts = json.loads(request)
            for status, text in _render(apply, messages, tools, [Part(*part) for part in parts]):
                outgoing.write(_HEAD.pack(status, len(text)) + text)
            outgoing.flush()


def _render(
    apply: Apply, messages: Sequence[Any], tools: Sequence[Any], parts: Sequence[Part]
) -> Iterator[tuple[_Status, bytes]]:
    for part in parts:
        try:
            text = apply(messages[: part.messages], tools, part.prompt)
            if len(text) > MAX_TEXT_BYTES:
                yield _Status.TOO_LONG, b""
                continue
            encoded = text.encode("utf-8", "surrogatepass")
        except _REFUSALS:
            yield _Status.REFUSED, b""
        except MemoryError:
            yield _Status.TOO_LARGE, b""
        except Exception as error:  # noqa: BLE001 - reported to the parent
            yield _Status.FAILED, type(error).__name__.encode()
        else:
            yield _Status.TEXT, encoded


Message = dict[str, Any]
PROBED: Final = "probed reasoning"
PROBE: Final[tuple[Message, ...]] = (
    {"role": "user", "content": "A question"},
    {"role": "assistant", "content": "An answer", **dict.fromkeys(FIELDS, PROBED)},
)
"""A conversation with reasoning in the fields that templates read."""
_OPENED: Final = re.compile(r"<think>\s*\Z")
_END: Final = "</think>"


def in_fields(message: Message) -> Message:
    """Move the reasoning in an assistant's content to the fields that templates read."""
    if message["role"] != "assistant":
        return message
    reasoning, answer = take_out(message["content"])
    if not reasoning:
        return message
    return {**message, "content": answer, **dict.fromkeys(FIELDS, reasoning)}


def reasoning_of(message: Message) -> str:
    """Return the assistant's reasoning before this message, or an empty text."""
    return message.get(FIELDS[0]) or take_out(message["content"])[0]


def after_prompt(prompt: str, through: str, reasoning: str) -> str:
    """Return the render that ends with a turn, so that it continues the prompt.

    If the prompt opens reasoning that the template does not write in rows, as DeepSeek R1's, the
    reasoning is written here, and may be empty.
    """
    opened = _OPENED.search(prompt)
    if opened is None or through.startswith(prompt):
        return through
    before = prompt[: opened.start()]
    if not through.startswith(before) or _END in through[len(before) :]:
        return through
    written = f"{reasoning}\n{_END}" if reasoning else _END
    return f"{prompt}{written}\n\n{through[len(before) :].lstrip()}"
