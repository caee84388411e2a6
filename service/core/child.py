"""Starts a child process of a worker, exchanges lines with it, and kills it with its descendants.

The child leads its own process group, so that processes it starts end with it. If the worker dies,
the kernel kills the child (Linux), so that no orphan keeps using a GPU.
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
_REAP_S = 5.0  # a process that hangs in a driver cannot be waited for
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies. Run it in a child before exec."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _begin_child() -> None:
    # systemd sends SIGTERM to every process of a service. The parent decides when a child ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()


def environment() -> dict[str, str]:
    """Return this process's environment without its secrets, for a child that reads user data.

    OpenTelemetry's variables (such as OTEL_EXPORTER_OTLP_HEADERS) are also removed, because a child
    sends no data anywhere.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith(_SECRET)}


class Child:
    """A running child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], *, env: Mapping[str, str], stderr: Path) -> Child:
        """Start `argv`. `lines` reads its stdout; its stderr goes to a file."""
        with stderr.open("ab") as log_file:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                env=dict(env),
                limit=_MAX_LINE_BYTES,
                start_new_session=True,
                preexec_fn=_begin_child,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        """ID of the child and of its process group."""
        return self._process.pid

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of stdout until the child closes it."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield line

    async def send(self, line: bytes) -> None:
        """Write a line to stdin. A child that has already exited is not an error."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(line)
            await self._process.stdin.drain()

    async def exchange(self, content: bytes) -> bytes:
        """Write all of stdin, and return all of stdout when the child has ended."""
        written, _ = await self._process.communicate(content)
        return written

    async def wait(self) -> int:
        """Wait for and return the exit code; a negative one is the signal that killed the child."""
        return await self._process.wait()

    async def kill(self) -> None:
        """Kill the child and all processes that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await _reap(self._process.pid)


async def _reap(group: int) -> None:
    """Reap the killed orphans of a process group.

    They become children of this process if it is the first one of a container, and nothing else
    reaps them. Otherwise each canceled training would leave zombies for the worker's lifetime.
    """
    with contextlib.suppress(ChildProcessError, TimeoutError):  # none left, or none of ours
        async with asyncio.timeout(_REAP_S):
            while True:
                if os.waitpid(-group, os.WNOHANG)[0] == 0:  # noqa: ASYNC222 - does not block
                    await asyncio.sleep(0.01)
