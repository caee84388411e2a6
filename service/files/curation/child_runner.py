"""Run `service.datasets` in a child process that can be limited, timed out and killed.

Uploaded files are untrusted input, so a crash or excessive memory use while reading them must
not take down the worker.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from service.config import Settings
from service.core.child import Child, environment
from service.core.storage import QUOTA
from service.datasets.checks.issues import make_issue
from service.datasets.contract.tasks import (
    A,
    Failed,
    ProtocolError,
    Succeeded,
    TaskSpec,
    read_answer,
    read_message,
    write_spec,
)
from service.datasets.formats.options import FormatOptions

# Errors that a retry or a larger machine may resolve; they say nothing about the file.
_PASSING = frozenset(
    {"timed_out", "desk_died", "out_of_memory", "file_error", "worker_died", QUOTA}
)

# Libraries in Rust write the first and end the process with SIGABRT.
_ALLOCATION_FAILED = re.compile(
    rb"memory allocation of \d+ bytes failed|^MemoryError", re.MULTILINE
)


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

    async def run(self, spec: TaskSpec[A]) -> A:
        """Run one task and return its answer. Raises DeskFailed.

        The spec is written next to the answer, in the caller's scratch folder. Raises
        ProtocolError if the child process succeeds but its answer does not match the contract.
        """
        spec = msgspec.structs.replace(
            spec, processes=self._processes, memory_bytes=self._memory_bytes
        )
        spec_file = spec.result.with_suffix(".spec.json")
        write_spec(spec, spec_file)
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
            log = await asyncio.to_thread(spec.result.with_suffix(".log").read_bytes)
            raise failure(last, code, log)
        if not isinstance(read_message(last), Succeeded):
            raise ProtocolError("The child process ended with 0, but did not succeed.")
        return await asyncio.to_thread(read_answer, spec)


async def _last_line(child: Child) -> bytes:
    last = b""
    async for line in child.lines():
        last = line
    return last


def failure(last: bytes, code: int, log: bytes) -> DeskFailed:
    """Describe how a child process ended, given its last message and its stderr."""
    failed = _failed(last)
    if (failed is None or failed.code == "worker_died") and _ALLOCATION_FAILED.search(log):
        issue = make_issue("out_of_memory")
        return DeskFailed(issue.code, f"{issue.message} {issue.fix}")
    if failed is None:
        return DeskFailed(
            "desk_died", f"The process that read the file ended with {code}. Try again."
        )
    where = f"Line {failed.line}: " if failed.line is not None else ""
    return DeskFailed(failed.code, f"{where}{failed.message} {failed.fix}")


def _failed(last: bytes) -> Failed | None:
    """The last message if it is a failure; None if the process died before it wrote one."""
    try:
        message = read_message(last)
    except ProtocolError:
        return None  # it was killed in the middle of a line
    return message if isinstance(message, Failed) else None
