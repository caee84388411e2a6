"""Exports in this process and in one of their own, for the tests of all formats."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.exporting import ExportSpec, Failed, Succeeded, parse_message
from service.exporting.contract import ExportFailure
from tests.exporting.conftest import Tuned
from tests.lazy import Lazy

exporting = Lazy("service.exporting.export")

HANG_S = 240


def export(spec: ExportSpec) -> Succeeded:
    result: Succeeded = exporting.export(spec, lambda _: None)
    return result


def failure_of(spec: ExportSpec) -> Failed:
    with pytest.raises(ExportFailure) as caught:
        export(spec)
    return caught.value.failure


# In a new network namespace, the loopback interface is down. llama.cpp's server needs it.
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
up = struct.pack("16sH14x", b"lo", 1)
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, up)
os.execv(sys.argv[1], sys.argv[1:])
"""


@functools.cache
def isolation() -> list[str]:
    """The command that runs another without network interfaces, except its own loopback.

    Empty if the machine does not allow it.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    command = [unshare, "--map-root-user", "--net", sys.executable, "-c", _LOOPBACK_UP]
    done = subprocess.run([*command, sys.executable, "--version"], check=False, capture_output=True)
    return command if done.returncode == 0 else []


def run(spec: ExportSpec, folder: Path) -> tuple[int, list[Any]]:
    """Run an export as a child process without network, where the machine allows it, and without
    a compiler.
    """
    file = folder / "spec.json"
    file.write_text(spec.model_dump_json())
    empty = folder / "no-programs"
    empty.mkdir()
    done = subprocess.run(
        [*isolation(), sys.executable, "-m", "service.exporting", str(file)],
        env=os.environ | {"PATH": str(empty)},
        check=False,
        capture_output=True,
        timeout=HANG_S,
    )
    messages = [parse_message(line) for line in done.stdout.splitlines()]
    assert messages, done.stderr.decode()
    return done.returncode, messages


def changed_template(tuned: Tuned, folder: Path) -> Path:
    """A copy of the base model whose chat template ends turns with another mark."""
    base = folder / "base"
    shutil.copytree(tuned.base, base)
    template = base / "chat_template.jinja"
    text = template.read_text("utf-8")
    assert "<|im_end|>" in text
    template.write_text(text.replace("<|im_end|>", "<|im_end|]"), "utf-8")
    return base
