"""The trainer's end of the protocol: messages out on stdout, commands in from stdin.

Libraries print to stdout as they like, so `Channel.claim_stdout` keeps the real one for the
protocol and points file descriptor 1 at stderr. `listen` watches stdin: a stop command sets
the flag, and the end of file means that the parent died, so the process exits at once.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from pydantic import ValidationError

from service.training.contract.protocol import EXIT_FAILED, Message, StopCommand, encode

log: Final = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_READ_BYTES: Final = 64 * 1024


class Channel:
    """Writes messages, whole lines at a time, to one file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    @classmethod
    def claim_stdout(cls) -> Channel:
        """Takes stdout for the protocol; all other writers to it reach stderr from now on."""
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(own)

    def send(self, message: Message) -> None:
        """Writes one line. Raises OSError, BrokenPipeError where nobody reads any more."""
        left = memoryview(encode(message))
        with self._lock:
            while left:
                left = left[os.write(self._descriptor, left) :]


class StopFlag:
    """Set by a stop command, SIGTERM or SIGINT; read at step boundaries."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._finished = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def finish(self) -> None:
        """The outcome is decided: the end of stdin no longer ends the process."""
        self._finished.set()

    def is_finished(self) -> bool:
        return self._finished.is_set()


def listen(flag: StopFlag, descriptor: int = 0, leave: Callable[[int], None] = os._exit) -> None:
    """Starts the thread that reads commands from `descriptor`. Returns at once."""
    thread = threading.Thread(
        target=_read_commands,
        args=(flag, descriptor, leave),
        name="commands",
        daemon=True,
    )
    thread.start()


def _read_commands(flag: StopFlag, descriptor: int, leave: Callable[[int], None]) -> None:
    # os.read and not sys.stdin: a daemon thread inside a buffered reader holds a lock that
    # the interpreter wants at its end.
    pending = b""
    while chunk := os.read(descriptor, _READ_BYTES):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            _obey(line, flag)
    if not flag.is_finished():
        # Nobody is left to take a checkpoint or a result, and the device must be freed.
        leave(EXIT_FAILED)


def _obey(line: bytes, flag: StopFlag) -> None:
    if not line.strip():
        return
    try:
        command = StopCommand.model_validate_json(line, strict=True)
    except ValidationError:
        command = None
    if command is not None and "command" in command.model_fields_set:
        flag.set()
    else:
        log.warning("Ignored a line on stdin that is no command.")


def stop_on_signals(flag: StopFlag) -> None:
    """SIGTERM and SIGINT ask for a checkpoint and an end, as the stop command does."""

    def ask(_signal: int, _frame: FrameType | None) -> None:
        flag.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def die_with_parent() -> None:
    """On Linux, has the kernel kill this process when its parent ends (a second belt: the end
    of stdin is the first)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
