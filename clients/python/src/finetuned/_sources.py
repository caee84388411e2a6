"""Upload sources, their progress, and the on-disk notes that let a later process resume."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetuned import config
from finetuned._options import body_of
from finetuned.errors import BadRequest, UploadFailed

_HASHED_BYTES = 1024 * 1024
_KEPT_S = 2 * 3600  # the server accepts parts for one hour
_CONFIG = "adapter_config.json"
# What the server reads of an adapter's folder.
_PACKED = (
    _CONFIG,
    "adapter_model.safetensors",
    "README.md",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class Progress:
    """Upload progress. `sent_bytes` includes `resumed_bytes` from an earlier attempt."""

    sent_bytes: int
    total_bytes: int
    resumed_bytes: int = 0


OnProgress = Callable[[Progress], None]


class ProgressReport:
    """Sums the bytes that have arrived and reports progress."""

    def __init__(self, total_bytes: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total_bytes, on_progress
        self._sent = self._resumed = 0

    def add(self, count: int, *, resumed: bool) -> None:
        """Note a part that has arrived, now or in an earlier attempt."""
        self._sent += count
        self._resumed += count if resumed else 0
        if self._on_progress is not None:
            self._on_progress(Progress(self._sent, self._total, self._resumed))


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
        plain = body_of(**body)
        key = [base_url, str(source.path.resolve()), source.changed_at_ns, plain, part_bytes]
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


def pack_adapter(folder: Path, into: Path) -> Path:
    """Pack an adapter's files into an archive. Raises BadRequest if the folder has none."""
    if not (folder / _CONFIG).is_file():
        raise BadRequest(
            f"{folder} has no {_CONFIG}.",
            next_step="Pass the folder that PEFT's save_pretrained wrote.",
        )
    packed = into / f"{folder.resolve().name}.tar"
    with tarfile.open(packed, "w", dereference=True) as tar:
        for name in _PACKED:
            if (folder / name).is_file():
                tar.add(folder / name, arcname=f"adapter/{name}")
    return packed
