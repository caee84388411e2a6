"""Opens the API's sockets, and finds the process that holds a port."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

_BACKLOG = 2048
_MAX_COMMAND_CHARS = 100


class PortError(Exception):
    """The API or its metrics cannot listen where they should. The message says why."""


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port."""

    pid: int
    command: str
    is_finetuned: bool
    data_dir: Path | None
    """The data folder of another finetuned, if it is known."""

    def __str__(self) -> str:
        if not self.is_finetuned:
            return f"{self.command} (pid {self.pid})"
        folder = "" if self.data_dir is None else f", data folder {self.data_dir}"
        return f"another finetuned (pid {self.pid}{folder})"


def holder_of(port: int) -> Holder | None:
    """Return the process that listens on a TCP port; None if it is not visible to this user."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            is_listening = connection.status == psutil.CONN_LISTEN and connection.pid is not None
            if is_listening and connection.laddr and connection.laddr.port == port:
                return _describe(psutil.Process(connection.pid))
    return None


def running_up(data_dir: Path) -> tuple[int, int] | None:
    """Return the PID and the port of the `up` that runs on this folder, or None.

    The lock file says so, because systemd may give `up` capabilities, which hide its sockets even
    from its own user.
    """
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        pid, _, port = (data_dir / "lock").read_text("utf-8").partition(", port ")
        process = psutil.Process(int(pid.removeprefix("pid ")))
        if _is_finetuned(process):
            return process.pid, int(port)
    return None


def _describe(process: psutil.Process) -> Holder:
    data_dir = None
    if is_finetuned := _is_finetuned(process):
        # The API has the folder in its environment. `up`, which has the same sockets, is the one
        # to stop.
        up = process.parent()
        if up is not None and _is_finetuned(up):
            process = up
        for one in (process, *process.children()):
            with contextlib.suppress(psutil.Error):
                data_dir = data_dir or one.environ().get("FINETUNED_DATA_DIR")
    command = " ".join(process.cmdline() or [process.name()])[:_MAX_COMMAND_CHARS]
    return Holder(process.pid, command, is_finetuned, Path(data_dir) if data_dir else None)


def _is_finetuned(process: psutil.Process) -> bool:
    words = process.cmdline()[:3]
    return any(word == "service.cli" or Path(word).name == "finetuned-server" for word in words)


def listen(host: str, port: int, setting: str) -> list[socket.socket]:
    """Listen on all addresses of a host. Raises PortError, which names the holder of the port.

    `setting` is the option or variable with which the operator chooses another port.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as e:
        raise PortError(f"'{host}' is not an address or a name of this machine") from e
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in dict.fromkeys((one[0], one[4]) for one in found):
        try:
            sockets.append(_open(family, address))
        except OSError as e:
            if e.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                absent = e  # such as ::1 of localhost on a machine without IPv6
                continue
            for one in sockets:
                one.close()
            raise PortError(_fault(host, port, setting, e)) from e
    if absent is not None and not sockets:
        raise PortError(f"'{host}' is not an address of this machine") from absent
    return sockets


def _open(family: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The address of all interfaces includes those of IPv4.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        one.bind(address)
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _fault(host: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(port) or "another process"
        return f"port {port} is in use by {holder}: stop it, or choose another one with {setting}"
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for root: choose one above 1023 with {setting}"
    return f"port {port} of {host} cannot be opened: {os.strerror(error.errno or 0)}"
