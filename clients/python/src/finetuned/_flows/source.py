"""Upload sources, and the on-disk notes that let a later process resume an upload."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetuned import config
from finetuned.errors import BadRequest, UploadFailed

_HASHED_BYTES = 1024 * 1024
_KEPT_S = 2 * 3600  # the server accepts parts for one hour


@dataclass(frozen=True)
class Source:
    """An upload source: a local file, or bytes in memory."""

    name: str
    size: int
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)
    changed_at_ns: int = 0

    @classmethod
    def of(cls, given: str | os.PathLike[str] | bytes, filename: str | None) -> Source:
        """Inspect a path or bytes to upload. Raises BadRequest if they cannot be uploaded."""
        if isinstance(given, bytes):
            if not filename:
                raise BadRequest("Bytes need a file name.", next_step="Pass filename=….")
            source = cls(filename, len(given), data=given)
        else:
            path = Path(given).expanduser()
            try:
                stat = path.stat()
                if not path.is_file():
                    raise BadRequest(f"{path} is not a file.", next_step="Pass a data file.")
            except OSError as e:
                raise BadRequest(
                    f"{path} cannot be read: {e.strerror}.", next_step="Check the path."
                ) from e
            source = cls(filename or path.name, stat.st_size, path, None, stat.st_mtime_ns)
        if source.size == 0:
            raise BadRequest(f"{source.name} is empty.", next_step="Pass a file with rows.")
        return source

    def parts(self, part_bytes: int) -> Iterator[bytes]:
        """Yield the content in parts of `part_bytes`."""
        if self.data is not None:
            for start in range(0, len(self.data), part_bytes):
                yield self.data[start : start + part_bytes]
            return
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(part_bytes):
                    yield chunk
        except OSError as e:
            raise UploadFailed(f"{self.path} cannot be read: {e.strerror}.") from e

    def sha256(self) -> str:
        """Return the digest of the content, as file objects have it."""
        digest = hashlib.sha256()
        for part in self.parts(_HASHED_BYTES):
            digest.update(part)
        return digest.hexdigest()

    def unchanged(self) -> bool:
        """Return whether the file is unchanged since the upload began."""
        if self.path is None:
            return True
        try:
            stat = self.path.stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.changed_at_ns)


@dataclass(frozen=True)
class Note:
    """On-disk record of a file's upload. Uploads of bytes in memory have none."""

    path: Path | None

    @classmethod
    def of(cls, base_url: str, source: Source, body: dict[str, Any], part_bytes: int) -> Note:
        """Return the note for the file's current content, server and upload options."""
        if source.path is None:
            return cls(None)
        key = [base_url, str(source.path.resolve()), source.changed_at_ns, body, part_bytes]
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return cls(config.state_folder() / "uploads" / f"{digest[:32]}.json")

    def read(self) -> str | None:
        """Return the recorded upload id, if any."""
        if self.path is not None:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                return str(json.loads(self.path.read_text("utf-8"))["upload_id"])
        return None

    def write(self, upload_id: str) -> None:
        """Record an upload. If the note cannot be written, the upload continues without it."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                _drop_old(self.path.parent)
                config.write_private(self.path, json.dumps({"upload_id": upload_id}))

    def delete(self) -> None:
        """Delete the note."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def _drop_old(folder: Path) -> None:
    """Delete notes of uploads that have expired on the server."""
    for path in folder.glob("*.json"):
        if time.time() - path.stat().st_mtime > _KEPT_S:
            path.unlink(missing_ok=True)
