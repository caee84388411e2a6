"""The code blocks of a Markdown page, and how the tests treat each of them.

A block is run (sh, python, js, ts), parsed (json, yaml, toml), or compared with the output of the
previous block. Comments directly before it, which readers do not see, change this:

    <!-- not run: why -->   the block is not run, for this reason
    <!-- output -->         output of the previous block; numbers and ids may differ
    <!-- exact output -->   output of the previous block; numbers must be equal
    <!-- test: COMMAND -->  shell command that the test runs first, to reduce the page's work
    <!-- test python: CODE -->  the same in Python
    <!-- fails -->          the block must end with an error
"""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

RUN = {"sh": "sh", "bash": "sh", "python": "python", "js": "js", "ts": "js"}
_PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "toml": tomllib.loads,
}
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w+-]*)(?P<more>.*)$")
_FIRST = re.compile(r"test(?: (?P<language>python))?: (?P<code>.*)")
_COMMENT = re.compile(r"^ *<!-- *(?P<text>.*?) *-->$")


@dataclass(frozen=True)
class Block:
    """A fenced code block of a page."""

    page: str
    line: int
    language: str
    code: str
    notes: tuple[str, ...]

    @property
    def runs_as(self) -> str | None:
        """The session that runs the block, or None if it is not run."""
        if self.reason is not None or self.output:
            return None
        return RUN.get(self.language)

    @property
    def reason(self) -> str | None:
        """The reason why the block is not run."""
        return next((n.removeprefix("not run:") for n in self.notes if n[:8] == "not run:"), None)

    @property
    def output(self) -> str | None:
        """Kind of expected output: `output`, `exact output` or empty."""
        return next((n for n in self.notes if n in {"output", "exact output"}), None)

    @property
    def first(self) -> list[tuple[str, str]]:
        """Code that the test runs before the block, as (language, code)."""
        found = [_FIRST.match(note) for note in self.notes]
        return [(match["language"] or "sh", match["code"]) for match in found if match]

    @property
    def fails(self) -> bool:
        """Whether the block must end with an error."""
        return "fails" in self.notes

    @property
    def file_name(self) -> str | None:
        """File name in the first line of a data block, such as `# values.yaml`."""
        found = re.match(r"# ([\w.-]+\.(?:ya?ml|toml|txt))\n", self.code)
        return found.group(1) if found else None

    def fate(self) -> str | None:
        """What the test does with the block; None if unknown."""
        if self.reason is not None:
            return "not run" if len(self.reason.strip()) > 5 else None
        if self.output:
            return "compared"
        if self.language in RUN:
            return "run"
        return "parsed" if self.language in _PARSERS else None

    def parse(self) -> object:
        """Parse the data in the block. Raises the parser's error."""
        return _PARSERS[self.language](self.code)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path, root: Path) -> list[Block]:
    """Return all blocks of a page in order."""
    lines = path.read_text("utf-8").splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if not opening:
            at += 1
            continue
        end = at + 1
        while lines[end].strip() != opening["fence"]:
            end += 1
        found.append(
            Block(
                page=str(path.relative_to(root)),
                line=at + 1,
                language=opening["language"],
                code=textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n",
                notes=_notes(lines, at),
            )
        )
        at = end + 1
    return found


def _notes(lines: list[str], fence: int) -> tuple[str, ...]:
    """Return the comments directly before a fence."""
    notes: list[str] = []
    at = fence - 1
    while at >= 0 and (not lines[at].strip() or _COMMENT.match(lines[at])):
        if comment := _COMMENT.match(lines[at]):
            notes.insert(0, comment["text"])
        at -= 1
    return tuple(notes)
