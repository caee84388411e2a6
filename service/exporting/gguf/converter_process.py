"""Runs llama.cpp's converters in forks of one process, which imports their libraries once.

A small model's conversion takes 0.7 s of CPU time, and the imports 3.8 s. The process starts with
the first conversion.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from service.garbage_collection import quick_imports
from service.training.contract.child_process import Channel, die_with_parent


class ConverterResult(NamedTuple):
    """A converter's exit code (negative for a signal), and its output."""

    exit_code: int
    log: str


def run_converter(script: Path, arguments: Sequence[str]) -> ConverterResult:
    """Run a converter with arguments, and wait until it ends."""
    process = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([str(script), *arguments]) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    return ConverterResult(*json.loads(answer)) if answer else ConverterResult(process.wait(), "")


@functools.cache
def _process() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # which ends its input, and so the process
    return process


def _serve() -> None:
    """Run the converter that each line of standard input names, with its arguments."""
    die_with_parent()
    answers = Channel.claim_stdout()
    # Only the processors of images use it. With it, transformers also loads torch's compiler.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    with quick_imports():
        from transformers import AutoConfig, AutoTokenizer  # noqa: F401  # what converters use
    for line in sys.stdin:
        script, *arguments = json.loads(line)
        answers.write(json.dumps(_run_in_fork(script, arguments)).encode() + b"\n")


def _run_in_fork(script: str, arguments: list[str]) -> ConverterResult:
    """Run a converter in a fork, so that none sees what one before it changed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        die_with_parent()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        _run(script, arguments)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as output:
        log = output.read()
    _, status = os.waitpid(child, 0)
    return ConverterResult(os.waitstatus_to_exitcode(status), log)


def _run(script: str, arguments: list[str]) -> NoReturn:
    """Run a converter as Python would, and end the process with its exit code."""
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # process boundary: written to stderr, as Python does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Destroying all objects takes a second, and libraries then write about leaks to stderr.
    os._exit(code)


if __name__ == "__main__":
    _serve()
