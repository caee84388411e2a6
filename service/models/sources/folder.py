"""A model in a plain folder, also as `hf download --local-dir` makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from service.models.sources import manifest
from service.models.sources.digests import is_digest
from service.models.sources.found import FoundFile, FoundModel
from service.models.sources.names import choose, require_weights

# Where huggingface_hub notes commit, digest and time of each download, one per line.
_NOTES: Final = Path(".cache", "huggingface", "download")


class _Note(NamedTuple):
    commit: str | None = None
    digest: str | None = None


def find_in_folder(folder: Path) -> FoundModel:
    """Find the model in a folder. Raises ModelRefused if it has no weights in safetensors form."""
    folder = folder.resolve()
    made = manifest.read(folder)
    files = (file for file in folder.rglob("*") if file.is_file())
    choice = choose(path for path in (_relative(file, folder) for file in files) if path)
    require_weights(folder.name, choice)
    known = {file.path: file.sha256 for file in made.files} if made else {}
    notes = {path: _note(folder, path) for path in choice.taken}
    commits = {note.commit for note in notes.values()} - {None}
    return FoundModel(
        name=made.name if made else folder.name,
        revision=made.revision if made else (commits.pop() if len(commits) == 1 else None),
        files=tuple(
            FoundFile(path, folder / path, known.get(path) or note.digest, str(folder))
            for path, note in notes.items()
        ),
        left_out=choice.left_out,
        card_folder=folder,
    )


def _relative(file: Path, folder: Path) -> str | None:
    """Return a file's path in its folder; None for what tools hide there."""
    path = file.relative_to(folder)
    return None if path.parts[0] in {".cache", ".git"} else path.as_posix()


def _note(folder: Path, path: str) -> _Note:
    """Return the note of a file's download. It is empty if the file was changed afterwards."""
    try:
        commit, digest, time_s = (folder / _NOTES / f"{path}.metadata").read_text().split()[:3]
        if (folder / path).stat().st_mtime - 1 > float(time_s):
            return _Note()
    except (OSError, ValueError):
        return _Note()
    return _Note(commit, digest if is_digest(digest) else None)
