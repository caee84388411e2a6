"""Starts, feeds, times and kills the child processes that run the sources of graders.

A child runs one source and serves many items. It is replaced after a crash, a timeout, or a
malformed reply. The children share nothing with each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

from service.grading.errors import ItemFailed
from service.grading.sandbox.modules import EXTRA, SourceInvalid, imported_modules, library_of

ITEM_TIMEOUT_S: Final = 20.0
START_TIMEOUT_S: Final = 120.0
"""Time for the interpreter and the imports, also on a busy machine."""
MEMORY_BYTES: Final = 512 * 1024 * 1024
"""Memory of a child in addition to the interpreter and the modules."""
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
MAX_REPLY_BYTES: Final = 64 * 1024
MAX_FAILURES: Final = 3
"""Number of children of one source that may die in a row before it is no longer run."""
_MAX_CHILDREN: Final = 4
# systemd sends SIGTERM to all processes of a service: the parent decides when a child ends.
_BOOT: Final = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "import sys; sys.path[:] = sys.argv[1:]; from service.grading.sandbox.child import main; main()"
)


_PACKAGES: Final = Path(__file__).parents[3]  # the folder of the package `service`


class _Died(Exception):
    """The child ended, or was killed, for a reason that the source caused."""


class Sandbox:
    """Runs `grade(sample, item)` of sources. Use it as an async context manager.

    At most `max_children` run at once; idle ones are ended to make room.
    """

    def __init__(
        self,
        *,
        item_timeout_s: float = ITEM_TIMEOUT_S,
        start_timeout_s: float = START_TIMEOUT_S,
        max_children: int = _MAX_CHILDREN,
    ) -> None:
        self._item_timeout_s = item_timeout_s
        self._start_timeout_s = start_timeout_s
        self._max_children = max_children
        self._busy = asyncio.Semaphore(max_children)
        self._slots: OrderedDict[str, _Slot] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for slot in self._slots.values():
            await slot.end()

    async def grade(
        self, source: str, sample: dict[str, Any] | None, item: dict[str, Any]
    ) -> float:
        """Return the score that the source gives an item. Raises ItemFailed."""
        slot = self._slots.setdefault(source, _Slot())
        number = slot.next_number()
        request = {"number": number, "sample": sample or {}, "item": item}
        line = json.dumps(request).encode() + b"\n"
        if len(line) > MAX_REQUEST_BYTES:
            raise ItemFailed(
                "other_error",
                f"The item and the sample are longer than {MAX_REQUEST_BYTES} bytes, the limit of "
                f"Python graders.",
            )
        async with slot.lock, self._busy:
            self._slots.move_to_end(source)
            slot.is_busy = True
            try:
                return await self._grade(slot, source, line, number)
            finally:
                slot.is_busy = False

    async def _grade(self, slot: _Slot, source: str, line: bytes, number: int) -> float:
        if slot.failure is not None:
            raise slot.failure
        try:
            if slot.child is None:
                await self._make_room()
                slot.child = await self._start(source)
            async with _limit(self._item_timeout_s, "function grade"):
                reply = await slot.child.ask(line)
            score = _score(reply, number)
        except BaseException as error:
            await slot.end()
            if not isinstance(error, _Died):
                raise
            failed = ItemFailed("python_grader_runtime_error", str(error))
            slot.failures += 1
            if slot.failures >= MAX_FAILURES:
                slot.failure = ItemFailed(
                    "python_grader_runtime_error",
                    f"{error} It failed like this {MAX_FAILURES} times in a row and is not run "
                    f"again.",
                )
            raise failed from error
        slot.failures = 0
        if isinstance(score, str):
            raise ItemFailed("python_grader_runtime_error", score)
        return score

    async def _make_room(self) -> None:
        """End idle children, so that there is room for the caller's."""
        slots = list(self._slots.values())
        occupied = sum(slot.is_busy or slot.child is not None for slot in slots)
        idle = [slot for slot in slots if slot.child is not None and not slot.is_busy]
        for slot in idle[: max(0, occupied - self._max_children)]:
            await slot.end()

    async def _start(self, source: str) -> _Child:
        """Start a child and define the source in it. Raises ItemFailed or _Died."""
        try:
            modules = imported_modules(source)
        except SourceInvalid as error:
            raise ItemFailed("python_grader_runtime_error", str(error)) from error
        _check_installed(modules)
        child = await _Child.start()
        try:
            await self._lock(child, child.setup(source, modules, MEMORY_BYTES))
            async with _limit(self._item_timeout_s, "source outside of the function grade"):
                defined = await child.read()
        except BaseException:
            await child.kill()
            raise
        if "error" in defined:
            await child.kill()
            raise ItemFailed("python_grader_runtime_error", str(defined["error"]))
        return child

    async def _lock(self, child: _Child, setup: bytes) -> None:
        """Wait until the child is locked down. Raises ItemFailed."""
        try:
            async with asyncio.timeout(self._start_timeout_s):
                reply = await child.ask(setup)
        except (TimeoutError, _Died) as error:
            raise ItemFailed(
                "python_grader_server_error", f"The sandbox did not start. {error}".rstrip()
            ) from error
        if "missing" in reply:
            raise ItemFailed("python_grader_runtime_error", str(reply["missing"]))
        if "locked" not in reply:
            raise ItemFailed(
                "python_grader_server_error",
                f"This machine cannot lock down Python graders ({reply.get('unavailable')}), so "
                f"they are not run.",
            )


class _Slot:
    """The child of one source, if it is running, and its failures."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.is_busy = False
        self.child: _Child | None = None
        self.failures = 0
        self.failure: ItemFailed | None = None
        self._number = 0

    def next_number(self) -> int:
        self._number += 1
        return self._number

    async def end(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            await child.kill()


class _Child:
    """A running child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> _Child:
        """Start a child with an empty environment, two pipes, and nothing else."""
        paths = [str(_PACKAGES), *(path for path in sys.path if Path(path).is_absolute())]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-B", "-c", _BOOT, *paths),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            limit=MAX_REPLY_BYTES,
            start_new_session=True,
        )
        return cls(process)

    @staticmethod
    def setup(source: str, modules: list[str], memory_bytes: int) -> bytes:
        """Return the first line that a child reads."""
        setup = {
            "source": source,
            "modules": modules,
            "memory_bytes": memory_bytes,
            "parent": os.getpid(),
        }
        return json.dumps(setup).encode() + b"\n"

    async def ask(self, line: bytes) -> dict[str, Any]:
        """Send a line and return the reply. Raises _Died."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `read` says why
            self._process.stdin.write(line)
            await self._process.stdin.drain()
        return await self.read()

    async def read(self) -> dict[str, Any]:
        """Read a reply. Raises _Died if there is none or it is malformed."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            reply = json.loads(line) if line else None
        except (ValueError, RecursionError) as error:
            raise _Died("The grader wrote to the standard output of its process.") from error
        if reply is None:
            raise _Died(_reason(await self._process.wait()))
        if not isinstance(reply, dict):
            raise _Died("The grader wrote to the standard output of its process.")
        return reply

    async def kill(self) -> None:
        """Kill the child and wait for it."""
        assert self._process.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        while await self._process.stdout.read(MAX_REPLY_BYTES):
            pass  # asyncio sees the end of the process after the end of its output
        await self._process.wait()


def _check_installed(modules: Iterable[str]) -> None:
    """Raise ItemFailed if a library is not installed on this machine."""
    libraries = sorted({name for module in modules if (name := library_of(module))})
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise ItemFailed(
            "python_grader_server_error",
            f"The source imports {', '.join(missing)}, which this machine lacks. Install the extra "
            f"{EXTRA!r} of finetuned-server where graders run: on the workers, and on the API for "
            f"runs of single graders.",
        )


def _score(reply: dict[str, Any], number: int) -> float | str:
    """Return the score of a reply, or the error of the source. Raises _Died for other replies."""
    score, error = reply.get("score"), reply.get("error")
    if reply.get("number") == number:
        if isinstance(score, (int, float)) and math.isfinite(score):
            return float(score)
        if isinstance(error, str):
            return error
    raise _Died("The grader wrote to the standard output of its process.")


def _reason(code: int) -> str:
    if code >= 0:
        return f"The grader ended its process with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"The grader's process was ended by {name}."


@contextlib.asynccontextmanager
async def _limit(seconds: float, what: str) -> Any:
    """Turn a timeout into _Died."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise _Died(f"The {what} took more than {seconds:g} s.") from error
