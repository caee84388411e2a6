"""Runs commands of the command line, in the test's process or in one of their own."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from finetuned_cli.app import run

PROGRAM: Final = [sys.executable, "-m", "finetuned_cli"]
TIMEOUT_S: Final = 60


@dataclass
class Result:
    """Result of a command: exit code and output, without escapes and stack traces."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err, self.err
        assert "\x1b" not in self.out + self.err

    def json(self) -> object:
        return json.loads(self.out)


@dataclass
class Cli:
    """Runs commands with an environment, in a folder, with pipes instead of a terminal."""

    env: dict[str, str]
    folder: Path
    _running: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def __call__(self, *arguments: str, stdin: str = "", **env: str) -> Result:
        """Run a command in a thread, because the api runs in this event loop.

        One at a time: streams, environment and working folder are those of the whole process.
        """
        streams = {"stdin": _pipe(stdin), "stdout": _pipe(), "stderr": _pipe()}
        async with self._running, asyncio.timeout(TIMEOUT_S):
            with pytest.MonkeyPatch.context() as patch:
                for stream, pipe in streams.items():
                    patch.setattr(sys, stream, pipe)
                for name, value in (self.env | env).items():
                    patch.setenv(name, value)
                patch.chdir(self.folder)
                code = await asyncio.to_thread(run, arguments)
        return Result(code, _written(streams["stdout"]), _written(streams["stderr"]))

    async def start(self, *arguments: str, stdin: str = "", **env: str) -> Result:
        """Run a command in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self.env | env,
            cwd=self.folder,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), TIMEOUT_S)
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())


def _pipe(content: str = "") -> io.TextIOWrapper:
    """Return a stream of text and bytes that, like a pipe, is no terminal."""
    return io.TextIOWrapper(io.BytesIO(content.encode()), "utf-8", newline="")


def _written(pipe: io.TextIOWrapper) -> str:
    pipe.seek(0)
    return pipe.read()
