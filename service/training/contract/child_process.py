"""Sets up a child process that loads models: environment, messages on stdout, commands on stdin.

Libraries print to stdout freely, so `Channel.claim_stdout` reserves the real stdout for the
protocol and points file descriptor 1 at stderr. `listen` watches stdin: a stop command sets the
flag, reports of the chats update the traffic, and samples go to the inbox. End of file means that
the parent died, so the process exits at once.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from service.offline import VARIABLES
from service.training.contract.protocol import (
    EXIT_FAILED,
    Message,
    Purpose,
    SamplesCommand,
    StopCommand,
    TrafficCommand,
    encode,
    parse_command,
)


class Inbox:
    """The newest samples of each purpose. One thread adds them, and the training waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: dict[Purpose, SamplesCommand] = {}
        self._count = 0

    def put(self, command: SamplesCommand) -> None:
        """Replace the samples of the same purpose."""
        with self._changed:
            self._newest[command.purpose] = command
            self._count += 1
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """Number of commands so far."""
        return self._count

    @property
    def newest(self) -> list[SamplesCommand]:
        """The newest command of each purpose."""
        with self._changed:
            return list(self._newest.values())

    def wait(self, number: int, purpose: Purpose, seconds: float) -> SamplesCommand | None:
        """Wait at most this time for the samples of a round, and return them."""
        with self._changed:
            self._changed.wait_for(lambda: self._has(number, purpose), seconds)
            return self._newest[purpose] if self._has(number, purpose) else None

    def _has(self, number: int, purpose: Purpose) -> bool:
        found = self._newest.get(purpose)
        return found is not None and found.round == number


_FRESH_S = 5.0  # the worker reports at least once per second


class Traffic:
    """State of the chats. One thread writes it, and the training reads it and waits for changes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._newest: TrafficCommand | None = None
        self._at = 0.0
        self._count = 0

    def update(self, command: TrafficCommand) -> None:
        """Replace the state."""
        with self._changed:
            self._newest, self._at = command, self._clock()
            self._count += 1
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """Number of reports so far."""
        return self._count

    @property
    def newest(self) -> TrafficCommand | None:
        """The newest report, or None if none arrived in the last seconds."""
        with self._changed:
            return self._newest if self._clock() - self._at <= _FRESH_S else None

    def wait(self, seconds: float) -> None:
        """Wait for the next report, at most for this time."""
        with self._changed:
            self._changed.wait(seconds)


log: Final = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_READ_BYTES: Final = 64 * 1024


class Channel:
    """Writes messages to one file descriptor, one complete line at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    @classmethod
    def claim_stdout(cls) -> Channel:
        """Reserve stdout for the protocol and redirect all other writers to stderr."""
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(own)

    def send(self, message: Message) -> None:
        """Write one line.

        Raises OSError, or BrokenPipeError if the reader is gone.
        """
        self.write(encode(message))

    def write(self, line: bytes) -> None:
        """Write an encoded line. Raises as `send` does."""
        left = memoryview(line)
        with self._lock:
            while left:
                left = left[os.write(self._descriptor, left) :]


class StopFlag:
    """Flag set by a stop command, SIGTERM or SIGINT, and read at step boundaries."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._finished = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def finish(self) -> None:
        """Mark the outcome as decided, so that end of file on stdin no longer ends the process."""
        self._finished.set()

    def is_finished(self) -> bool:
        return self._finished.is_set()


def listen(
    flag: StopFlag,
    traffic: Traffic,
    descriptor: int = 0,
    exit_process: Callable[[int], None] = os._exit,
    inbox: Inbox | None = None,
) -> None:
    """Start the thread that reads commands from `descriptor`, and return at once."""
    samples = inbox or Inbox()

    def read_commands() -> None:
        # Use os.read, not sys.stdin: a daemon thread blocked in a buffered reader holds a lock that
        # the interpreter needs at shutdown.
        pending = b""
        while chunk := os.read(descriptor, _READ_BYTES):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                _handle(line, flag, traffic, samples)
        if not flag.is_finished():
            # No process is left to receive a checkpoint or a result, and the device must be freed.
            exit_process(EXIT_FAILED)

    threading.Thread(target=read_commands, name="commands", daemon=True).start()


def _handle(line: bytes, flag: StopFlag, traffic: Traffic, inbox: Inbox) -> None:
    if not line.strip():
        return
    match parse_command(line):
        case StopCommand():
            flag.set()
        case TrafficCommand() as command:
            traffic.update(command)
        case SamplesCommand() as command:
            inbox.put(command)
        case None:
            log.warning("Ignored a line on stdin that is not a command.")


def stop_on_signals(flag: StopFlag) -> None:
    """Make SIGTERM and SIGINT set the flag, as the stop command does."""

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        flag.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def die_with_parent() -> None:
    """Have the Linux kernel kill this process when its parent exits.

    This backs up the primary mechanism, which is the end of file on stdin.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def offline_variables(cache: Path) -> dict[str, str]:
    """Return variables to set before any library is imported.

    Libraries then make no network calls, write only under `cache`, and do not load the compiler.
    """
    return {
        **VARIABLES,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(cache / "huggingface"),
        "HF_DATASETS_CACHE": str(cache / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
        # Nothing is compiled, and importing the compiler takes a fifth of a trainer's start.
        "TORCHDYNAMO_DISABLE": "1",
    }


# torch reads all of them, the general one first.
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")


def allocator_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the setting of torch's allocator of GPU memory, unless the operator has chosen one.

    The parts of a batch have different lengths. With segments of fixed sizes, the memory between
    their tensors is lost to later ones, so a run can end at a part that is no larger than others.
    """
    if any(name in environ for name in _ALLOCATOR):
        return {}
    return {_ALLOCATOR[0]: "expandable_segments:True"}
