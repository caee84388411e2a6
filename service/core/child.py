"""A child process of a worker: started, read line by line, told things, and killed whole.

The child leads a process group of its own, so that what it starts dies with it, and the
kernel kills it when the worker dies (Linux), so that no GPU stays taken by an orphan.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_SECRET = ("FINETUNED_", "AWS_", "OTEL_")
_MAX_LINE_BYTES = 4 * 1024 * 1024
_BURY_S = 5.0  # one that hangs in a driver ends when it ends
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Run in a child before exec: ask the kernel for SIGKILL when the parent dies."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def environment() -> dict[str, str]:
    """The environment for a child that reads what users send: ours, without its secrets.

    Those of OpenTelemetry (OTEL_EXPORTER_OTLP_HEADERS) too: a child sends nothing anywhere.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith(_SECRET)}


class Child:
    """A running child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], *, env: Mapping[str, str], stderr: Path) -> Child:
        """Start `argv`; its stdout is read by `lines`, its stderr goes to a file."""
        with stderr.open("ab") as log_file:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                env=dict(env),
                limit=_MAX_LINE_BYTES,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return cls(process)

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of stdout until the child closes it."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield line

    async def tell(self, line: bytes) -> None:
        """Write a line to stdin; a child that is gone already is no error."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(line)
            await self._process.stdin.drain()

    async def wait(self) -> int:
        """The exit code; negative is the signal that killed it."""
        return await self._process.wait()

    async def kill(self) -> None:
        """End the child and all that it started, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await _bury(self._process.pid)


async def _bury(group: int) -> None:
    """Take killed orphans of a process group off the list of processes.

    They are ours where we are the first process of a container, and nobody else does it: each
    cancelled training would leave its processes as zombies for as long as the worker lives.
    """
    with contextlib.suppress(ChildProcessError, TimeoutError):  # none is left, or none is ours
        async with asyncio.timeout(_BURY_S):
            while True:
                if os.waitpid(-group, os.WNOHANG)[0] == 0:  # noqa: ASYNC222 - does not block
                    await asyncio.sleep(0.01)
