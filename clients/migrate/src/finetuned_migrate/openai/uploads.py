"""The archive's files at the server: uploaded once, and found again by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING

from finetuned.errors import BadRequest

from finetuned_migrate.openai.source import Source

if TYPE_CHECKING:
    from finetuned import Client

Say = Callable[[str], None]


class Uploads:
    """The files of an archive in a project of the server.

    A file's name there has its old ID and the start of its SHA-256, so a repeated command finds
    it, from any machine.
    """

    def __init__(self, server: Client, source: Source, *, say: Say = lambda _: None) -> None:
        self._server, self._source, self._say = server, source, say
        self._known: dict[tuple[str, int], str] | None = None

    def find(self, old_id: str) -> str | None:
        """Return the ID of a file at the server; None if it was not uploaded."""
        path = self._source.path(old_id)
        if path is None:
            return None
        if self._known is None:
            found = self._server.files.list(purpose="fine-tune", order="asc")
            self._known = {(file.filename, file.bytes): file.id for file in found}
        return self._known.get((self._name(old_id), path.stat().st_size))

    def send(self, old_id: str) -> str:
        """Return the ID of a file at the server, and upload it if it is not there."""
        if (found := self.find(old_id)) is not None:
            return found
        path = self._source.path(old_id)
        if path is None or self._known is None:
            raise BadRequest(f"The archive does not have the file {old_id}.")
        self._say(f"uploading {old_id}")
        file = self._server.files.create(path, filename=self._name(old_id))
        self._known[file.filename, file.bytes] = file.id
        return file.id

    def _name(self, old_id: str) -> str:
        digest = self._source.digests[f"files/{old_id}"]
        suffix = PurePath(str(self._source.files[old_id].get("filename"))).suffix
        return f"{old_id}-{digest[:12]}{suffix or '.jsonl'}"
