"""Selects the files of a base model, checks their paths and verifies their digests.

Only files that transformers and vLLM read without running code are copied: safetensors weights,
JSON, tokenizers, chat templates, and texts such as the license.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import IO, Final, NamedTuple

from service.config import MIB
from service.models.model_folder import PICKLES, ModelRefused, no_weights
from service.training.model.base_folder import MISTRAL_PREFIX

MANIFEST: Final = "bundle.json"
MAX_FILES: Final = 2000
MAX_TEXT_BYTES: Final = 512 * MIB
"""Maximum size of a file other than weights. The largest tokenizers have 35 MiB."""
WEIGHTS: Final = ".safetensors"
_SUFFIXES: Final = (WEIGHTS, ".json", ".jinja", ".txt", ".md", ".model", ".tiktoken")
_TEXTS: Final = ("license", "licence", "notice", "copying", "readme", "use_policy")
_TEMPLATES: Final = "additional_chat_templates"
_MAX_PATH_CHARS, _MAX_DEPTH = 512, 16
CHUNK_BYTES: Final = 1024 * 1024
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT: Final = re.compile(r"[0-9a-f]{40}")


class Choice(NamedTuple):
    """The paths of a model's files, and of the other files next to them."""

    taken: tuple[str, ...]
    left_out: tuple[str, ...]


def choose(paths: Iterable[str]) -> Choice:
    """Divide the files of a folder, both parts sorted."""
    known = {path: belongs(path) for path in sorted(paths) if path != MANIFEST}
    weights = [path for path, is_taken in known.items() if is_taken and path.endswith(WEIGHTS)]
    if any(not path.startswith(MISTRAL_PREFIX) for path in weights):
        known |= dict.fromkeys((w for w in weights if w.startswith(MISTRAL_PREFIX)), False)
    return Choice(
        tuple(path for path, is_taken in known.items() if is_taken),
        tuple(path for path, is_taken in known.items() if not is_taken),
    )


def belongs(path: str) -> bool:
    """Whether a path, relative to the model's folder, names a file of a model."""
    *folders, name = PurePosixPath(path).parts
    if folders:
        return folders == [_TEMPLATES] and name.endswith(".jinja")
    if name.startswith("."):
        return False
    lower = name.lower()
    return lower.endswith(_SUFFIXES) or ("." not in name and lower.startswith(_TEXTS))


def require_weights(where: str, choice: Choice) -> None:
    """Raise ModelRefused if the files have no weights in safetensors form."""
    if any(path.endswith(WEIGHTS) for path in choice.taken):
        return
    pickles = [path for path in choice.left_out if path.endswith(PICKLES)]
    raise no_weights(where, pickles)


def safe_path(name: str, where: str) -> PurePosixPath:
    """Return an untrusted path. Raises ModelRefused unless it stays inside its folder."""
    path = PurePosixPath(name)
    is_plain = (
        bool(path.parts)
        and len(name) <= _MAX_PATH_CHARS
        and len(path.parts) <= _MAX_DEPTH
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
    )
    if not is_plain:
        raise ModelRefused(
            f"{where} contains the path {name[:100]!r}, which is not plainly inside its folder. "
            "Make it again from a source that you trust"
        )
    return path


def require_size(path: str, size: int, where: str) -> None:
    """Raise ModelRefused for a file that is too large to be what its name says."""
    if size > MAX_TEXT_BYTES and not path.endswith(WEIGHTS):
        raise ModelRefused(
            f"{path} in {where} has {size:,} bytes; the limit for files other than weights is "
            f"{MAX_TEXT_BYTES:,}"
        )


def is_digest(name: str) -> bool:
    """Whether a name is a SHA-256 digest, or the SHA-1 digest of a Git blob."""
    return bool(_SHA256.fullmatch(name) or _GIT.fullmatch(name))


class Checksum:
    """The SHA-256 digest of a file, and a check against the digest that is known of it, if any.

    A known digest of 40 digits is Git's: SHA-1 over a header with the size, and the content.
    """

    def __init__(self, size: int, known: str | None = None) -> None:
        self._size, self._known = size, known
        self._sha256, self._read = hashlib.sha256(), 0
        self._git = None
        if known is not None and _GIT.fullmatch(known):
            self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the file."""
        self._sha256.update(chunk)
        self._read += len(chunk)
        if self._git is not None:
            self._git.update(chunk)

    def verify(self, path: str, where: str) -> str:
        """Return the SHA-256 digest. Raises ModelRefused if size or digest differs."""
        found = self._sha256.hexdigest()
        same = self._known in (None, found if self._git is None else self._git.hexdigest())
        if self._read != self._size or not same:
            what = f"{self._read:,} bytes instead of {self._size:,}"
            raise ModelRefused(
                f"{path} in {where} is damaged: it has "
                f"{'the wrong digest' if self._read == self._size else what}. "
                "Copy or download it again"
            )
        return found


class HashedReader(io.RawIOBase):
    """A file whose bytes are added to a checksum as they are read."""

    def __init__(self, source: IO[bytes], checksum: Checksum) -> None:
        self._source, self._checksum = source, checksum

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        chunk = self._source.read(len(buffer))
        self._checksum.update(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)
