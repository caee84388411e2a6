"""The trainer's side of the protocol: messages out on stdout, commands in from stdin.

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
from collections.abc import Callable
from types import FrameType
from typing import Final

from service.training.contract.inbox import Inbox
from service.training.contract.protocol import (
    EXIT_FAILED,
    Message,
    SamplesCommand,
    StopCommand,
    TrafficCommand,
    encode,
    parse_command,
)
from service.training.contract.traffic import Traffic

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
    leave: Callable[[int], None] = os._exit,
    inbox: Inbox | None = None,
) -> None:
    """Start the thread that reads commands from `descriptor`, and return at once."""
    thread = threading.Thread(
        target=_read_commands,
        args=(flag, traffic, inbox or Inbox(), descriptor, leave),
        name="commands",
        daemon=True,
    )
    thread.start()


def _read_commands(
    flag: StopFlag,
    traffic: Traffic,
    inbox: Inbox,
    descriptor: int,
    leave: Callable[[int], None],
) -> None:
    # Use os.read, not sys.stdin: a daemon thread blocked in a buffered reader holds a lock that the
    # interpreter needs at shutdown.
    pending = b""
    while chunk := os.read(descriptor, _READ_BYTES):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            _obey(line, flag, traffic, inbox)
    if not flag.is_finished():
        # No process is left to receive a checkpoint or a result, and the device must be freed.
        leave(EXIT_FAILED)


def _obey(line: bytes, flag: StopFlag, traffic: Traffic, inbox: Inbox) -> None:
    if not line.strip():
        return
    match parse_command(line):
        case StopCommand():
            flag.set()
        case TrafficCommand() as command:
            traffic.note(command)
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
