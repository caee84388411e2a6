"""Runs the data desk in a child process, which can be limited, timed out and killed.

What the bytes of a file mean is read from whatever a user uploads; a fault or a flood in
there must not take the worker with it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TypeVar

import msgspec

from service.core.child import Child, environment
from service.datasets.spec import TaskSpec

T = TypeVar("T")


class DeskFailed(Exception):
    """The data desk could not do its task; the message is for the file's owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


async def run(spec: TaskSpec, answer: type[T], *, timeout_s: float) -> T:
    """Run one task; its result, read as `answer`. Raises DeskFailed.

    The spec is written beside its result, so both lie in the caller's scratch folder.
    """
    spec_file = spec.result.with_suffix(".spec.json")
    spec_file.write_bytes(msgspec.json.encode(spec, enc_hook=str))
    child = await Child.start(
        [sys.executable, "-m", "service.datasets", str(spec_file)],
        env=environment(),
        stderr=spec.result.with_suffix(".log"),
    )
    try:
        async with asyncio.timeout(timeout_s):
            last = await _last_line(child)
            code = await child.wait()
    except TimeoutError as e:
        raise DeskFailed(
            "check_timed_out",
            f"The file could not be read within {timeout_s:.0f} s. Split it into smaller files.",
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
        told = msgspec.json.decode(last, type=dict[str, object])
    except msgspec.DecodeError:
        told = {}
    if told.get("type") != "failed":
        return DeskFailed("check_died", f"The check of the file ended with {code}. Try it again.")
    where = f"Line {told['line']}: " if told.get("line") else ""
    fix = f" {told['fix']}" if told.get("fix") else ""
    return DeskFailed(str(told.get("code")), f"{where}{told.get('message')}{fix}")
