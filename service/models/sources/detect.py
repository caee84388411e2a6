"""Detects what kind of source a path is, and copies its model into the folder of models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from service.models.model_folder import ModelRefused
from service.models.sources import hub_cache, oci
from service.models.sources.archives import unpack_bundle
from service.models.sources.files import Checksum, choose, is_digest, require_weights
from service.models.sources.manifest import (
    FoundFile,
    FoundModel,
    Manifest,
    ModelFile,
    Report,
    list_names,
    read_manifest,
    verify_files,
)
from service.models.sources.staging import link_or_copy, publish, require_space, stage_folder

# huggingface_hub records the commit, digest and time of each download here, one per line.
_DOWNLOADS: Final = Path(".cache", "huggingface", "download")
_ARCHIVE: Final = re.compile(r"\.(?:tar|tgz)(?:\.\w+)?$")
_MAX_BYTES: Final = 1024 * 1024
_FRONT: Final = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


class _Download(NamedTuple):
    commit: str | None = None
    digest: str | None = None


def find_in_folder(folder: Path) -> FoundModel:
    """Find the model in a folder. Raises ModelRefused if it has no weights in safetensors form."""
    folder = folder.resolve()
    made = read_manifest(folder)
    files = (file for file in folder.rglob("*") if file.is_file())
    choice = choose(path for path in (_relative(file, folder) for file in files) if path)
    require_weights(folder.name, choice)
    known = {file.path: file.sha256 for file in made.files} if made else {}
    downloads = {path: _download(folder, path) for path in choice.taken}
    commits = {download.commit for download in downloads.values()} - {None}
    return FoundModel(
        name=made.name if made else folder.name,
        revision=made.revision if made else (commits.pop() if len(commits) == 1 else None),
        files=tuple(
            FoundFile(path, folder / path, known.get(path) or download.digest, str(folder))
            for path, download in downloads.items()
        ),
        left_out=choice.left_out,
        card_folder=folder,
    )


def _relative(file: Path, folder: Path) -> str | None:
    """Return a file's path in its folder; None for hidden files of tools."""
    path = file.relative_to(folder)
    return None if path.parts[0] in {".cache", ".git"} else path.as_posix()


def _download(folder: Path, path: str) -> _Download:
    """Return the record of a file's download. It is empty if the file was changed afterwards."""
    try:
        commit, digest, time_s = (folder / _DOWNLOADS / f"{path}.metadata").read_text().split()[:3]
        if (folder / path).stat().st_mtime - 1 > float(time_s):
            return _Download()
    except (OSError, ValueError):
        return _Download()
    return _Download(commit, digest if is_digest(digest) else None)


@dataclass(frozen=True)
class StagedModel:
    """A model in a folder. `keep` moves the folder to its final path and returns that."""

    folder: Path
    license: str | None
    keep: Callable[[], Path]


def find(source: Path, revision: str | None) -> FoundModel:
    """Find the model in a folder or in a Hugging Face cache. Raises ModelRefused."""
    repository = hub_cache.repository(source)
    if repository is not None:
        return hub_cache.find_in_cache(source, repository, revision)
    if oci.is_layout(source):
        raise ModelRefused(f"{source} is an OCI layout, which needs no bundle: add it as it is")
    _require_no_revision(source, revision)
    if not source.is_dir():
        raise ModelRefused(f"there is no folder {source}")
    return find_in_folder(source)


def _require_no_revision(source: Path, revision: str | None) -> None:
    if revision is not None:
        raise ModelRefused(
            f"{source} has one revision, so --revision {revision} does not apply: it is for "
            "Hugging Face caches and OCI layouts"
        )


@contextmanager
def stage_model(
    source: Path, target: Path, revision: str | None, report: Report
) -> Iterator[StagedModel]:
    """Copy a model to the disk and verify it; `keep` then makes it permanent.

    A plain folder is used in place. Everything else is unpacked next to `target`, which `keep`
    creates. Raises ModelRefused.
    """
    repository = hub_cache.repository(source)
    if source.is_file():
        _require_no_revision(source, revision)
        with stage_folder(target, _ARCHIVE.sub("", source.name)) as folder:
            made = unpack_bundle(source, folder, report)
            yield _staged(folder, target, made)
    elif repository is not None:
        found = hub_cache.find_in_cache(source, repository, revision)
        with stage_folder(target, found.name.replace("/", "--")) as folder:
            yield _staged(folder, target, _copy_all(found, folder, report))
    elif oci.is_layout(source):
        with stage_folder(target, source.resolve().name) as folder:
            made, left_out = oci.unpack_layout(source, folder, revision, report)
            if left_out:
                report(f"left out {list_names(left_out)}")
            yield _staged(folder, target, made)
    else:
        _require_no_revision(source, revision)
        yield _in_place(source.resolve(), report)


def _staged(folder: Path, target: Path, made: Manifest) -> StagedModel:
    def keep() -> Path:
        publish(folder, target, made)
        return target

    return StagedModel(folder, made.license, keep)


def _in_place(folder: Path, report: Report) -> StagedModel:
    """Use a folder in place. `keep` verifies the files whose digests are known."""
    if not folder.is_dir():
        raise ModelRefused(f"there is no file or folder {folder}")
    made = read_manifest(folder)

    def keep() -> Path:
        known = [file for file in find_in_folder(folder).files if file.known]
        if known:
            size = sum(file.size for file in known)
            report(f"verifying {len(known)} files, {size / 1e9:,.1f} GB")
        if made is not None:
            verify_files(folder, made)
        else:
            for file in known:
                file.digest()
        return folder

    return StagedModel(folder, made.license if made else None, keep)


def _copy_all(found: FoundModel, folder: Path, report: Report) -> Manifest:
    report(found.describe("verifying and copying"))
    is_same_disk = found.card_folder.stat().st_dev == folder.stat().st_dev
    if not is_same_disk:
        require_space(folder, sum(file.size for file in found.files))
    files = []
    for file in found.files:
        checksum = Checksum(file.size, file.known)
        link_or_copy(file.file, folder / file.path, checksum)
        digest = checksum.verify(file.path, file.where)
        files.append(ModelFile(path=file.path, size=file.size, sha256=digest))
    return Manifest(name=found.name, revision=found.revision, files=tuple(files))


class Card(NamedTuple):
    """License and languages in a model card; None and empty if it does not state them."""

    license: str | None = None
    languages: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """Read the card in a model's folder; an empty one if it cannot be read."""
    try:
        with (folder / "README.md").open("rb") as source:
            text = source.read(_MAX_BYTES).decode("utf-8", errors="replace")
        front = _FRONT.match(text)
        fields = yaml.safe_load(front[1]) if front else None
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return Card()
    return Card(_license(fields), _languages(fields)) if isinstance(fields, dict) else Card()


def _license(fields: dict[str, Any]) -> str | None:
    """Return the identifier of the license; for `other`, its name."""
    found = fields.get("license")
    if isinstance(found, list) and len(found) == 1:
        [found] = found
    if found == "other":
        found = fields.get("license_name")
    return found.strip()[:128] or None if isinstance(found, str) else None


def _languages(fields: dict[str, Any]) -> tuple[str, ...]:
    found = fields.get("language")
    named = found if isinstance(found, list) else [found]
    # YAML reads the code of Norwegian as false.
    codes = ["no" if code is False else code for code in named]
    plain = [code for code in codes if isinstance(code, str) and _LANGUAGE.fullmatch(code)]
    return tuple(dict.fromkeys(plain))
