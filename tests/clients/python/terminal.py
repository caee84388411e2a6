"""A pseudo terminal: runs a program, types, and reads the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence

import pyte


class Terminal:
    """A program in a pseudo terminal with its own session."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], *, columns: int = 100, rows: int = 30
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**env, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one call
        )
        os.close(inner)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65_536)
            except OSError:  # the program has ended
                return
            with self._lock:
                self._stream.feed(data)

    @property
    def text(self) -> str:
        """The text on the screen."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def type(self, text: str) -> None:
        """Type text."""
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, timeout_s: float = 30.0) -> str:
        """Wait until the screen shows `text`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if text in self.text:
                return self.text
            time.sleep(0.05)
        raise AssertionError(f"the screen does not show {text!r}:\n{self.text}")

    def end(self, timeout_s: float = 30.0) -> int:
        """Wait for the program to end, and return its exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(60)
        return code

    def close(self) -> None:
        """Kill the program if it is still running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(60)
        os.close(self._fd)
