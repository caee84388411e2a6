"""The built files of the console, in memory, each also compressed."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
_PAGE: Final = "index.html"
_BUILD: Final = "_app/"
_HASHED: Final = f"{_BUILD}immutable/"
# The types of the machine's own table differ between machines.
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
_COMPRESSED: Final = {".br": "br", ".gz": "gzip"}


@dataclass(frozen=True)
class Asset:
    """A file, as it is sent."""

    content_type: str
    etag: str
    cache_control: str
    bodies: Mapping[str, bytes]
    """Its bytes by content encoding, the best first. `identity` is the last."""

    def encoding_for(self, accepted: str) -> str:
        """Return the encoding to send to a client with this `Accept-Encoding`."""
        parts = [part.replace(" ", "").lower() for part in accepted.split(",")]
        names = {part.partition(";")[0] for part in parts if not part.endswith((";q=0", ";q=0.0"))}
        return next(name for name in self.bodies if name in names or name == "identity")


class Console:
    """The files of the console by their paths."""

    def __init__(self, assets: Mapping[str, Asset], *, is_on: bool = True) -> None:
        self._assets = assets
        self.is_on = is_on

    @property
    def is_built(self) -> bool:
        """Whether there is a page."""
        return _PAGE in self._assets

    def find(self, path: str) -> Asset | None:
        """Return the file at a path, or the page, whose script shows all other addresses.

        A missing file of the build is None: its name changes with its contents, so a page of an
        older version asks for it.
        """
        found = self._assets.get(path)
        return self._assets.get(_PAGE) if found is None and not path.startswith(_BUILD) else found


OFF: Final = Console({}, is_on=False)


@functools.cache
def read(folder: Path = STATIC) -> Console:
    """Read the files in a folder, once in a process."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    files = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    return Console(
        {
            name: _asset(name, body, files)
            for name, body in files.items()
            if not (name.endswith(tuple(_COMPRESSED)) and name.rpartition(".")[0] in files)
        }
    )


def _asset(name: str, body: bytes, files: Mapping[str, bytes]) -> Asset:
    kind = Path(name).suffix
    bodies = {
        encoding: files[f"{name}{suffix}"]
        for suffix, encoding in _COMPRESSED.items()
        if f"{name}{suffix}" in files
    }
    if "gzip" not in bodies and kind != ".png":
        bodies["gzip"] = gzip.compress(body, mtime=0)
    smaller = {encoding: data for encoding, data in bodies.items() if len(data) < len(body)}
    return Asset(
        _TYPES.get(kind, "application/octet-stream"),
        f'W/"{hashlib.sha256(body).hexdigest()[:32]}"',
        "public, max-age=31536000, immutable" if name.startswith(_HASHED) else "no-cache",
        {**smaller, "identity": body},
    )
