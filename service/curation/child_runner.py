"""Run `service.datasets` in a child process that can be limited, timed out and killed.

Uploaded files are untrusted input, so a crash or excessive memory use while reading them must
not take down the worker.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from service.config import Settings
from service.core.child import Child, environment
from service.datasets.contract import TaskSpec
from service.datasets.formats.options import FormatOptions

T = TypeVar("T")

# Errors that a retry or a larger machine may resolve; they say nothing about the file.
_PASSING = frozenset({"timed_out", "desk_died", "out_of_memory", "file_error", "worker_died"})


class DeskFailed(Exception):
    """The child process failed; the message is for the file's owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def certain(self) -> bool:
        """Whether the same task would fail again."""
        return self.code not in _PASSING


class Desk:
    """Starts child processes with the configured limits."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.curation_timeout_s
        self._memory_bytes = settings.curation_memory_bytes
        self._max_unpacked_bytes = settings.max_unpacked_bytes
        self._processes = max(1, (os.cpu_count() or 1) // settings.cpu_tasks)

    def format_of(self, given: Mapping[str, Any] | None) -> FormatOptions:
        """The user's format options combined with the configured size limit."""
        fields = {**(given or {}), "max_unpacked_bytes": self._max_unpacked_bytes}
        return msgspec.convert(fields, FormatOptions)

    async def run(self, spec: TaskSpec, answer: type[T]) -> T:
        """Run one task and return its result decoded as `answer`. Raises DeskFailed.

        The spec is written next to its result, in the caller's scratch folder.
        """
        spec = msgspec.structs.replace(
            spec, processes=self._processes, memory_bytes=self._memory_bytes
        )
        spec_file = spec.result.with_suffix(".spec.json")
        spec_file.write_bytes(msgspec.json.encode(spec, enc_hook=str))
        child = await Child.start(
            [sys.executable, "-m", "service.datasets", str(spec_file)],
            env=environment(),
            stderr=spec.result.with_suffix(".log"),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                last = await _last_line(child)
                code = await child.wait()
        except TimeoutError as e:
            raise DeskFailed(
                "timed_out",
                f"The file could not be read within {self._timeout_s:g} s. Split it into "
                "smaller files.",
            ) from e
        finally:
            await child.kill()
        if code != 0:
            raise _failure(last, code)
        return msgspec.json.decode(await asyncio.to_thread(spec.result.read_bytes), type=answer)


async def _last_line(child: Child) -> bytes:
    last = b""
    async for line in child.lines():
        last = line
    return last


def _failure(last: bytes, code: int) -> DeskFailed:
    try:
        message = msgspec.json.decode(last, type=dict[str, object])
    except msgspec.DecodeError:
        message = {}
    if message.get("type") != "failed":
        return DeskFailed(
            "desk_died", f"The process that read the file ended with {code}. Try again."
        )
    where = f"Line {message['line']}: " if message.get("line") else ""
    fix = f" {message['fix']}" if message.get("fix") else ""
    return DeskFailed(str(message.get("code")), f"{where}{message.get('message')}{fix}")
