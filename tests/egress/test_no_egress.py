"""Tests that the service opens no connections to other machines.

The whole loop, twice in a network of its own, takes minutes: `make proof NAME=egress` runs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from service import offline
from service.cli import egress
from tests.cached import ROOT
from tests.egress.network import isolated, recorded, why_not
from tests.training.test_environment import kernels_program

_LONG = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "FINETUNED_EGRESS" not in os.environ, reason="10 minutes: 'make proof NAME=egress' runs it"
    ),
]

# What a library might do, in a process and in its child.
ATTEMPTS = """
import contextlib, socket, subprocess, sys

def attempt(kind, address, family=socket.AF_INET):
    with socket.socket(family, kind) as s, contextlib.suppress(OSError):
        s.settimeout(2)  # the recorder looks up who owns the socket
        s.connect(address)
        s.send(b"stolen")

if sys.argv[1:] == ["child"]:
    attempt(socket.SOCK_DGRAM, ("203.0.113.7", 123))
    attempt(socket.SOCK_STREAM, ("2001:db8:1::7", 443), socket.AF_INET6)
else:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt(socket.SOCK_STREAM, server.getsockname())
    with contextlib.suppress(OSError):
        socket.getaddrinfo("updates.example.com", 443)
    attempt(socket.SOCK_STREAM, ("203.0.113.8", 80))
    subprocess.run([sys.executable, __file__, "child"], check=True)
"""
# Which library asks whom, if nobody tells it not to.
DOWNLOAD = """
import sys
from service import offline
from service.cli import egress
import os
if sys.argv[1] == "offline":
    offline.apply(os.environ)
from huggingface_hub import HfApi
try:
    HfApi().model_info("org/model", timeout=1)
except Exception as e:
    print(type(e).__name__)
"""


@pytest.fixture(scope="module", autouse=True)
def networks() -> None:
    """Skip where there are no network namespaces."""
    if reason := why_not():
        pytest.skip(reason)


def _seen(file: Path) -> set[tuple[str, str, int]]:
    return {(line["protocol"], line["address"], line["port"]) for line in recorded(file)}


def test_every_attempt_of_every_process_is_recorded(tmp_path: Path):
    program, record = tmp_path / "attempts.py", tmp_path / "record"
    program.write_text(ATTEMPTS)
    done = isolated([sys.executable, str(program)], record=record)
    assert done.returncode == 0, done.stdout
    assert _seen(record) == {
        ("udp", "192.0.2.53", 53),
        ("tcp", "203.0.113.8", 80),
        ("udp", "203.0.113.7", 123),
        ("tcp", "2001:db8:1::7", 443),
    }
    lines = {(line["address"], line["port"]): line for line in recorded(record)}
    assert lines["192.0.2.53", 53]["name"] == "updates.example.com"
    assert lines["203.0.113.8", 80]["process"].endswith("attempts.py")
    assert lines["2001:db8:1::7", 443]["process"].endswith("attempts.py child")


def test_the_variables_keep_a_library_from_asking(tmp_path: Path):
    program = tmp_path / "download.py"
    program.write_text(DOWNLOAD)
    free = dict.fromkeys(offline.VARIABLES, "")
    said, asked = {}, {}
    for mode in ("online", "offline"):
        record = tmp_path / mode
        done = isolated([sys.executable, str(program), mode], record=record, env=free)
        said[mode], asked[mode] = done.stdout, {line["name"] for line in recorded(record)}
    assert asked == {"online": {"huggingface.co"}, "offline": set()}, said
    assert said["offline"].strip() == "OfflineModeIsEnabled"


def test_the_trainer_fetches_no_kernel_for_the_processor(tmp_path: Path):
    command, asked = kernels_program(tmp_path), {}
    for process in ("any", "training"):
        record = tmp_path / process
        env = {"PYTHONPATH": str(ROOT)}
        done = isolated([*command, process], record=record, env=env)
        assert done.returncode == 0, done.stdout
        asked[process] = {line["name"] for line in recorded(record)}
    assert asked == {"any": {"hub.example.com"}, "training": set()}


def test_the_doctor_does_not_vouch_for_another_network(tmp_path: Path):
    program = tmp_path / "finetuned-server"
    program.write_text("import sys\nprint(flush=True)\nsys.stdin.read()\n")
    with subprocess.Popen(
        ["unshare", "--net", sys.executable, str(program), "inference", "demo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = egress.watch(tmp_path, 0)
        process.communicate()
    assert f"inference ({process.pid})" in seen.hidden


@pytest.fixture
def loop(tmp_path: Path, demo_model_path: Path) -> list[str]:
    return [sys.executable, "-m", "tests.egress.loop", str(demo_model_path), str(tmp_path)]


class TestLoop:
    pytestmark = _LONG

    def test_it_runs_with_nothing_but_loopback(self, loop):
        done = isolated(loop)
        assert done.returncode == 0, done.stdout[-20_000:]

    def test_it_connects_only_to_redis_and_the_engine(self, loop, tmp_path: Path):
        """Packets are recorded in the kernel, and the calls of each process by strace."""
        if shutil.which("strace") is None:
            pytest.skip("the program strace is missing")
        record, calls = tmp_path / "record", tmp_path / "calls"
        strace = ["strace", "-f", "--seccomp-bpf", "-qqq", "-e", "signal=none", "-Y"]
        strace += ["-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(calls)]
        done = isolated([*strace, *loop], record=record)
        assert done.returncode == 0, done.stdout[-20_000:]
        assert recorded(record) == []
        ports = json.loads((tmp_path / "ports.json").read_text())
        parts = {port: part for part, port in ports.items()}
        places = _places(calls.read_text("utf-8", "replace"))
        table = Counter(
            (process, parts.get(port, "within a part") if address in _LOOPBACK else address)
            for process, address, port in places.elements()
        )
        for (process, to), count in sorted(table.items()):
            print(f"| {process} | {to} | {count} |")
        outside = {place for place in places if place[1] not in _LOOPBACK or place[2] == _DNS}
        assert not outside
        assert {"redis", "engine", "api"} <= {to for _, to in table}


_LOOPBACK, _DNS = {"127.0.0.1", "::1", "0.0.0.0", "::"}, 53
_CALL = re.compile(
    r"^\d+<(?P<process>[^>]*)> .*sin6?_port=htons\((?P<port>\d+)\)"
    r".*?(?:inet_addr\(\"|inet_pton\(AF_INET6, \")(?P<address>[^\"]+)\"",
    re.MULTILINE,
)


def _places(calls: str) -> Counter[tuple[str, str, int]]:
    """Return which process connected or sent to which address and port, and how often."""
    return Counter(
        (found["process"], found["address"].removeprefix("::ffff:"), int(found["port"]))
        for found in _CALL.finditer(calls)
    )
