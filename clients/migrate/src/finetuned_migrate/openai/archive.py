"""The folder that a recording is written to. It can be continued, moved and checked.

archive.json               what was recorded, and with which settings
files.json, files/ID       the account's files and their content
jobs.json                  fine-tuning jobs, with their hyperparameters
jobs/ID/events.json        events of a job
jobs/ID/checkpoints.json   checkpoints of a job
evals.json                 evals: the schema of their items and their graders
evals/ID/runs.json         runs of an eval, with their data sources and results
models.json                fine-tuned models
prompts.json               the prompts that the models were asked, and the expected answers
answers/MODEL.jsonl        a model's answers, one line per prompt
manifest.json              SHA-256 of every file, written last
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from finetuned.errors import BadRequest, UnexpectedAnswer

MANIFEST = "manifest.json"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_BLOCK_BYTES = 1024 * 1024


class Archive:
    """An archive in a folder, which is created if it does not exist."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def begin(self, head: dict[str, Any]) -> None:
        """Write `archive.json`, or check that the archive was started with the same settings.

        Raises BadRequest if it was started with others.
        """
        found = self.read("archive.json")
        if found is not None and found != head:
            differing = ", ".join(sorted(k for k in head if head[k] != found.get(k)))
            raise BadRequest(
                f"The archive {self.folder} was started with other settings: {differing}.",
                next_step="Continue with the same settings, or name another folder.",
            )
        (self.folder / MANIFEST).unlink(missing_ok=True)
        self.write("archive.json", head)

    def path(self, *parts: str) -> Path:
        """Return the path of an object, given its folder and IDs. Raises UnexpectedAnswer."""
        for part in parts[1:]:
            if not _ID.fullmatch(part.removesuffix(".json")):
                raise UnexpectedAnswer(f"The server sent an invalid ID: {part[:40]!r}.")
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def read(self, *parts: str) -> Any:
        """Return the content of a JSON file, or None if it is not there."""
        try:
            return json.loads(self.path(*parts).read_text("utf-8"))
        except FileNotFoundError:
            return None

    def write(self, *parts_and_value: Any) -> None:
        """Write a JSON file atomically. The last argument is the value."""
        *parts, value = parts_and_value
        path = self.path(*parts)
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
        part.replace(path)

    def answers(self, model: str) -> Answers:
        """Return the answers of a model."""
        return Answers(self.folder / "answers" / f"{quote(model, safe='')}.jsonl")

    def seal(self) -> None:
        """Write the manifest."""
        digests = {str(file.relative_to(self.folder)): _sha256(file) for file in self._files()}
        self.write(MANIFEST, {"version": 1, "sha256": digests})

    def faults(self) -> list[str]:
        """Return what differs from the manifest: names of files; empty if nothing does."""
        manifest = self.read(MANIFEST)
        if manifest is None:
            return [MANIFEST]
        expected: dict[str, str] = manifest["sha256"]
        there = {str(file.relative_to(self.folder)): file for file in self._files()}
        return sorted(
            name
            for name in expected.keys() | there.keys()
            if name not in there or expected.get(name) != _sha256(there[name])
        )

    def _files(self) -> Iterator[Path]:
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and file.name != MANIFEST and not file.name.startswith("."):
                yield file


class Answers:
    """The answers of one model: a line for each prompt, appended as it arrives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done = self._read()

    def add(self, index: int, row: dict[str, Any]) -> None:
        """Append the answer to a prompt."""
        line = json.dumps({"index": index, **row}, ensure_ascii=False) + "\n"
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
        self.done.add(index)

    def rows(self) -> list[dict[str, Any]]:
        """Return all answers, in the order in which they arrived."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]

    def _read(self) -> set[int]:
        """Return the prompts that have an answer. A line that was cut off is removed."""
        if not self._path.exists():
            return set()
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            part = self._path.with_name(f".{self._path.name}.part")
            part.write_bytes(whole)
            part.replace(self._path)
        return {json.loads(line)["index"] for line in whole.splitlines()}


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
