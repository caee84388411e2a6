"""Runs a command in a network of its own, and records what leaves it.

    python -m tests.egress.network RECORD -- COMMAND …

The network has only loopback. With a file to RECORD to (instead of `-`), it also has a device to
which all other addresses are routed, and which nothing answers on: each packet that any process
sends, and each name that is looked up, becomes a line of the file. So nothing that a process does
in user space can hide a connection. Needs root on Linux.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.cached import ROOT

DEVICE = "egress0"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
# The kernel itself looks for routers and groups of hosts.
_OF_THE_KERNEL = {socket.IPPROTO_ICMPV6, socket.IPPROTO_IGMP, 0}
_RESOLVER, _END = "192.0.2.53", ("192.0.2.254", 9)
_PROGRAMS = ("ip", "unshare", "mount")


def why_not() -> str | None:
    """Return why this machine cannot have network namespaces, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    if missing := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"programs are missing: {', '.join(missing)}"
    if not Path("/dev/net/tun").exists():
        return "the kernel has no TUN devices"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "true"], capture_output=True, check=False, text=True
    )
    if done.returncode:
        return f"network namespaces are not allowed here: {done.stderr.strip()}"
    return None


def isolated(
    command: Sequence[str], *, record: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a network of its own. Its output is captured."""
    network = [sys.executable, "-m", "tests.egress.network", str(record or "-"), "--", *command]
    return subprocess.run(
        ["unshare", "--net", "--mount", "--", *network],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def recorded(file: Path) -> list[dict[str, Any]]:
    """Return what left the network: protocol, address, port, process, and the name looked up."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return sorted(lines, key=lambda line: (line["protocol"], line["address"], line["port"] or 0))


def _main(record: str, command: Sequence[str]) -> int:
    _ip("link", "set", "lo", "up")
    if record == "-":
        return subprocess.run(command, check=False).returncode
    with Path(record).open("w", encoding="utf-8", buffering=1) as lines:
        device = _all_else_goes_to()
        reader = threading.Thread(target=_read, args=(device, lines), daemon=True)
        reader.start()
        code = subprocess.run(command, check=False).returncode
        _end_of_reading()
        reader.join(10)
    return code


def _all_else_goes_to() -> int:
    """Create the device that all addresses except loopback are routed to, and a name server."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    request = struct.pack("16sH22s", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI, b"")
    fcntl.ioctl(device, _TUNSETIFF, request)
    _ip("address", "add", "192.0.2.1/24", "dev", DEVICE)
    _ip("link", "set", DEVICE, "up")
    _ip("route", "add", "default", "dev", DEVICE)
    with contextlib.suppress(subprocess.CalledProcessError):  # a kernel without IPv6
        _ip("-6", "address", "add", "2001:db8::1/64", "dev", DEVICE, "nodad")
        _ip("-6", "route", "add", "default", "dev", DEVICE)
    # A machine's name server may listen on loopback, where lookups would not be seen.
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"nameserver {_RESOLVER}\noptions timeout:1 attempts:1\n")
        file.flush()
        place = str(Path("/etc/resolv.conf").resolve())
        subprocess.run(["mount", "--bind", file.name, place], check=True)
    return device


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _end_of_reading() -> None:
    """Send a packet after which nothing else is recorded."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"end", _END)


def _read(device: int, lines: Any) -> None:
    while True:
        packet = os.read(device, 65_536)
        found = _parse(packet)
        if found is None:
            continue
        if (found["address"], found["port"]) == _END:
            return
        found["process"] = _sender(found.pop("from"))
        lines.write(json.dumps(found) + "\n")


def _parse(packet: bytes) -> dict[str, Any] | None:
    """Return where an IP packet goes to, or None for packets of the kernel."""
    if packet[0] >> 4 == 4:
        protocol, start, address = packet[9], 4 * (packet[0] & 15), packet[16:20]
        family = socket.AF_INET
    else:
        protocol, start, address = packet[6], 40, packet[24:40]
        family = socket.AF_INET6
    if protocol in _OF_THE_KERNEL:
        return None
    source, port = struct.unpack_from("!HH", packet, start) if protocol in _PROTOCOLS else (0, None)
    is_lookup = (protocol, port) == (socket.IPPROTO_UDP, 53)
    return {
        "protocol": _PROTOCOLS.get(protocol, str(protocol)),
        "address": socket.inet_ntop(family, address),
        "port": port,
        "name": _question(packet[start + 8 :]) if is_lookup else None,
        "from": source,
    }


def _question(message: bytes) -> str:
    """Return the name that a DNS message asks for."""
    labels, place = [], 12
    while place < len(message) and (size := message[place]):
        labels.append(message[place + 1 : place + 1 + size].decode("ascii", "replace"))
        place += 1 + size
    return ".".join(labels)


def _sender(port: int) -> str | None:
    """Return the command line of the process that owns a port, while its socket is open."""
    for connection in psutil.net_connections("inet"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            with contextlib.suppress(psutil.Error):
                return " ".join(psutil.Process(connection.pid).cmdline())
    return None


if __name__ == "__main__":
    separator = sys.argv.index("--")
    sys.exit(_main(sys.argv[1], sys.argv[separator + 1 :]))
