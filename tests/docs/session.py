"""Runs the blocks of a page in order, in one shell and one Python, with a new node per script."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.docs.blocks import Block
from tests.docs.compare import assert_shown
from tests.node import NODE

ROOT = Path(__file__).parent.parent.parent
ADDRESS = "http://127.0.0.1:8000"  # which the pages use
BLOCK_TIMEOUT_S = 280.0
_DONE = "--done--"
# Parts of the repository that a page may use. The rest of the working folder is the page's.
_SEEN = (".venv", "helm", "docs", "scripts", "service", "requirements", "pyproject.toml",
         "openapi.json", "clients")  # fmt: skip
_PYTHON = f"""
import sys
names = {{"__name__": "__main__"}}
for line in sys.stdin:
    path = line.strip()
    with open(path, encoding="utf-8") as file:
        code = compile(file.read(), path, "exec")
    exec(code, names)
    print("\\n{_DONE}", flush=True)
"""


class BlockFailed(AssertionError):
    """Raised if a block ends with an error."""


@dataclass
class Interpreter:
    """A process that runs files one after another and keeps their definitions."""

    command: list[str]
    feed: Callable[[Path], str]
    cwd: Path
    env: dict[str, str]
    _process: subprocess.Popen[str] | None = None
    _read: int = 0

    @property
    def _printed(self) -> Path:
        return self.cwd.parent / f"{Path(self.command[0]).name}.out"

    def run(self, file: Path) -> str:
        """Run a file and return its output. Raises BlockFailed."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(self.feed(file) + "\n")
        process.stdin.flush()
        deadline = time.monotonic() + BLOCK_TIMEOUT_S
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            text = self._printed.read_text("utf-8", "replace")[self._read :]
            if text.rstrip().endswith(_DONE):
                self._read += len(text)
                return text.rstrip().removesuffix(_DONE)
            if ended:
                self.close()
                raise BlockFailed(text)
            time.sleep(0.05)
        self.close()
        raise BlockFailed(f"not done within {BLOCK_TIMEOUT_S:.0f} s:\n{text}")

    def _start(self) -> subprocess.Popen[str]:
        with self._printed.open("w", encoding="utf-8") as out:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=out, stderr=out, text=True,
                cwd=self.cwd, env=self.env, start_new_session=True,
            )  # fmt: skip
        return self._process

    def close(self) -> None:
        """End the process and all processes that it started."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process, self._read = None, 0


@dataclass
class Session:
    """Runs the blocks of one page in a separate folder."""

    folder: Path  # empty
    server: str = ADDRESS
    data_dir: Path | None = None  # of the stack; the pages call it `var`
    python: Path = Path(sys.executable)
    node_modules: Path | None = None
    paths: tuple[Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    _opened: ExitStack = field(default_factory=ExitStack)
    _printed: str = ""

    def __enter__(self) -> Self:
        self.cwd = self.folder / "page"
        self.cwd.mkdir()
        for name in _SEEN:
            if (ROOT / name).exists():
                (self.cwd / name).symlink_to(ROOT / name)
        subprocess.run(["cp", "-r", str(ROOT / "examples"), str(self.cwd)], check=True)
        if self.data_dir is not None:
            (self.cwd / "var").symlink_to(self.data_dir)
        if self.node_modules is not None:
            (self.cwd / "node_modules").symlink_to(self.node_modules)
        # A curl that gets an error response ends the block.
        (self.folder / ".curlrc").write_text("fail-with-body\n")
        path = [Path(sys.executable).parent, NODE.parent, *self.paths]
        env = os.environ | {
            "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
            "CURL_HOME": str(self.folder),
            "HOME": str(self.folder),
            "COLUMNS": "100",
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
            **self.env,
        }
        shell, python = ["bash", "--norc"], [str(self.python), "-u", "-c", _PYTHON]
        self._shell = Interpreter(shell, _sourced, self.cwd, env)
        self._python = Interpreter(python, str, self.cwd, env)
        self._opened.callback(self._shell.close)
        self._opened.callback(self._python.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def take(self, block: Block) -> None:
        """Run a block, or compare it with the previous output."""
        for language, code in block.first:
            self._run(language, code + "\n", block)
        if block.output:
            exact = block.output == "exact output"
            as_json = block.language == "json"
            assert_shown(block.code, self._printed, exact=exact, as_json=as_json)
        elif block.file_name and block.runs_as is None:
            (self.cwd / block.file_name).write_text(block.code, "utf-8")
        elif (runs_as := block.runs_as) is not None:
            try:
                self._printed = self._run(runs_as, block.code, block)
            except BlockFailed as failure:
                if not block.fails:
                    raise
                self._printed = str(failure)
            else:
                assert not block.fails, f"{block} did not fail:\n{self._printed}"

    def _run(self, language: str, code: str, block: Block) -> str:
        code = code.replace(ADDRESS, self.server).replace(
            ADDRESS.removeprefix("http://"), self.server.removeprefix("http://")
        )
        file = self.cwd / f".line-{block.line}.{'mjs' if language == 'js' else language}"
        if block.language == "ts":
            file = file.with_suffix(".mts")
        file.write_text(code, "utf-8")
        if language == "python":
            return self._python.run(file)
        if language == "js":
            file.rename(file := file.with_name(file.name.removeprefix(".")))
            caller = self.cwd / ".node.sh"
            caller.write_text(f"{shlex.quote(str(NODE))} {shlex.quote(str(file))}\n")
            return self._shell.run(caller)
        return self._shell.run(file)


def _sourced(file: Path) -> str:
    return f"set -eo pipefail; source {shlex.quote(str(file))}; printf '\\n{_DONE}\\n'"
