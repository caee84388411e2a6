"""Finds models in a Hugging Face cache: `models--ORG--NAME` with blobs, refs and snapshots.

A snapshot links to blobs, whose names are their digests: SHA-256 for large files, and Git's for
small ones.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from service.models.model_folder import ModelRefused
from service.models.sources.files import choose, is_digest, require_weights
from service.models.sources.manifest import FoundFile, FoundModel, list_names

_PREFIX: Final = "models--"
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_MAIN: Final = "main"


def cache_folder() -> Path:
    """Return the folder in which huggingface_hub keeps its cache on this machine."""
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(caches, "huggingface"), "hub")


def repository(source: Path) -> Path | None:
    """Return the cache folder of the model that `source` names; None if it names none.

    `source` is this folder, one of its snapshots, a cache with a single model, or the name
    ORG/NAME of a model in this machine's cache. Raises ModelRefused if it names several.
    """
    if source.exists():
        return _repository_in(source)
    if not _NAME.fullmatch(str(source)):
        return None
    folder = cache_folder() / f"{_PREFIX}{str(source).replace('/', '--')}"
    if not folder.is_dir():
        raise ModelRefused(
            f"there is no folder {source}, and no model {source} in the Hugging Face cache "
            f"{cache_folder()}: on a connected machine, 'hf download {source}' puts it there"
        )
    return folder


def _repository_in(source: Path) -> Path | None:
    source = source.absolute()
    if (source / "snapshots").is_dir() and source.name.startswith(_PREFIX):
        return source
    if source.parent.name == "snapshots" and (source / "config.json").is_symlink():
        return source.parent.parent
    hub = source / "hub" if (source / "hub").is_dir() else source
    models = sorted(folder for folder in hub.glob(f"{_PREFIX}*") if (folder / "snapshots").is_dir())
    if len(models) > 1:
        names = list_names(tuple(folder.name for folder in models))
        raise ModelRefused(
            f"{source} is a Hugging Face cache with {len(models)} models ({names}): name one, as "
            f"{models[0]}"
        )
    return models[0] if models else None


def find_in_cache(source: Path, repository: Path, revision: str | None) -> FoundModel:
    """Find a model's files in a cache. Raises ModelRefused if it is not complete there."""
    name = repository.name.removeprefix(_PREFIX).replace("--", "/", 1)
    is_snapshot = source.exists() and source.absolute().parent == repository / "snapshots"
    commit = source.name if is_snapshot else _commit(repository, name, revision)
    snapshot = repository / "snapshots" / commit
    found = [file for file in snapshot.rglob("*") if file.is_symlink() or file.is_file()]
    choice = choose(file.relative_to(snapshot).as_posix() for file in found)
    require_weights(name, choice)
    return FoundModel(
        name=name,
        revision=commit,
        files=tuple(_file(snapshot, path, repository, name) for path in choice.taken),
        left_out=choice.left_out,
        card_folder=snapshot,
    )


def _commit(repository: Path, name: str, revision: str | None) -> str:
    """Return the commit that a branch or tag points at, or the only one in the cache."""
    snapshots = sorted(folder.name for folder in (repository / "snapshots").iterdir())
    asked = revision or _MAIN
    refs = repository / "refs"
    known = {
        ref.relative_to(refs).as_posix(): ref.read_text().strip()
        for ref in refs.rglob("*")
        if ref.is_file()
    }
    commit = known.get(asked, asked)
    if commit in snapshots and _COMMIT.fullmatch(commit):
        return commit
    if revision is None and len(snapshots) == 1 and _COMMIT.fullmatch(snapshots[0]):
        return snapshots[0]
    there = list_names((*known, *snapshots)) or "none"
    raise ModelRefused(
        f"the cache has no revision '{asked}' of {name} (there: {there}): name one with "
        f"--revision, or download it with 'hf download {name} --revision {asked}'"
    )


def _file(snapshot: Path, path: str, repository: Path, name: str) -> FoundFile:
    link = snapshot / path
    blob = link.resolve()
    if not link.is_symlink():
        raise ModelRefused(
            f"{path} of {name} is a copy instead of a link to a blob, so its digest is not known: "
            f"copy {snapshot} to a folder of its own, and use that folder"
        )
    if blob.parent != (repository / "blobs").resolve() or not is_digest(blob.name):
        raise ModelRefused(f"{path} of {name} links to {blob}, which is not a blob of its cache")
    if not blob.is_file():
        raise ModelRefused(
            f"{path} of {name} is not in the cache, because its download did not end: repeat "
            f"'hf download {name}'"
        )
    return FoundFile(path, blob, blob.name, f"the cache of {name}")
