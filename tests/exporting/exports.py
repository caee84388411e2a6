"""Exports in this process and in one of their own, for the tests of all formats."""

from __future__ import annotations

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


def run(spec: ExportSpec, folder: Path) -> tuple[int, list[Any]]:
    """Run an export as a child process, in a network namespace where the machine allows it."""
    file = folder / "spec.json"
    file.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "service.exporting", str(file)]
    isolate = ["unshare", "-rn"]
    if subprocess.run([*isolate, "true"], check=False, capture_output=True).returncode == 0:
        command = isolate + command
    done = subprocess.run(command, check=False, capture_output=True, timeout=HANG_S)
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
