"""Unpacks models from OCI image layouts, as written by `oras copy`, `skopeo copy` and KitOps.

A layer is a file with its name in an annotation, or a tar archive: of a model (KitOps, ModelPack),
or of an image into which a model was copied. All digests are verified.
"""

from __future__ import annotations

import io
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import msgspec

from service.models.model_folder import ModelRefused
from service.models.sources.archives import entries
from service.models.sources.files import (
    CHUNK_BYTES,
    MANIFEST,
    MAX_FILES,
    WEIGHTS,
    Checksum,
    HashedReader,
    belongs,
    choose,
    require_size,
    require_weights,
    safe_path,
)
from service.models.sources.manifest import Manifest, ModelFile, Report, list_names
from service.models.sources.staging import link_or_copy, require_space, write

_MAX_JSON_BYTES: Final = 4 * 1024 * 1024
_MAX_NAME_CHARS: Final = 256
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_REF: Final = "org.opencontainers.image.ref.name"
_REVISION: Final = "org.opencontainers.image.revision"
_PATHS: Final = (
    "org.cncf.model.filepath",
    "org.cnai.model.filepath",
    "org.opencontainers.image.title",
)
_TAR: Final = re.compile(r"[.+]tar\b")
_UNPACK: Final = "io.deis.oras.content.unpack"
_ATTESTATION: Final = "attestation-manifest"
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class _Platform(msgspec.Struct):
    architecture: str = ""


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None

    def annotation(self, key: str) -> str:
        return (self.annotations or {}).get(key, "")

    def tags(self) -> set[str]:
        """Return the name of the reference, and its tag alone."""
        name = self.annotation(_REF)
        return {name, name.rpartition(":")[2]}


class _Index(msgspec.Struct, rename="camel"):
    """An index, with `manifests`, or the manifest of one image or artifact, with `layers`."""

    manifests: list[_Descriptor] | None = None
    layers: list[_Descriptor] | None = None
    annotations: dict[str, str] | None = None


class _File(NamedTuple):
    size: int
    sha256: str


def is_layout(source: Path) -> bool:
    """Whether a folder is an OCI image layout."""
    return (source / "oci-layout").is_file() and (source / "index.json").is_file()


def unpack_layout(
    layout: Path, folder: Path, revision: str | None, report: Report
) -> tuple[Manifest, tuple[str, ...]]:
    """Unpack the model in a layout into an empty folder.

    Returns its manifest, and the names of the files that were left out. Raises ModelRefused.
    """
    layers = _Layout(layout, folder)
    image, tag = layers.image(revision)
    report(f"unpacking {len(image.layers or ())} layers from {layout}")
    try:
        for layer in image.layers or ():
            layers.unpack(layer)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as e:
        raise ModelRefused(f"{layout} has a file and a folder of the same name") from e
    files, left_out = layers.model()
    image_name = tag.rpartition("/")[2].rpartition(":")[0]  # empty if only the tag is known
    made = Manifest(
        name=(image_name or layout.resolve().name)[:_MAX_NAME_CHARS],
        revision=((image.annotations or {}).get(_REVISION) or tag)[:_MAX_NAME_CHARS] or None,
        files=tuple(
            ModelFile(path=path, size=file.size, sha256=file.sha256)
            for path, file in sorted(files.items())
        ),
    )
    return made, left_out


class _Layout:
    """A layout that is unpacked into a folder.

    The model's location in the layers is known only at the end. So all files that may belong to a
    model are unpacked next to the folder, and those of the model are then moved into it.
    """

    def __init__(self, layout: Path, folder: Path) -> None:
        self._layout, self._folder = layout, folder
        self._all = folder.with_name("layers")
        self._files: dict[str, _File] = {}
        self._others: list[str] = []
        self._unusable: list[str] = []

    def image(self, revision: str | None) -> tuple[_Index, str]:
        """Return the image or artifact with this tag, or the only one, and its tag."""
        index, tag = self._json(self._layout / "index.json", None), ""
        while index.layers is None:
            chosen = self._choose(index.manifests or [], None if tag else revision)
            tag = tag or chosen.annotation(_REF)
            index = self._json(self._blob(chosen), chosen)
        return index, tag

    def _choose(self, manifests: list[_Descriptor], revision: str | None) -> _Descriptor:
        usable = [m for m in manifests if m.annotation("vnd.docker.reference.type") != _ATTESTATION]
        tags = tuple(sorted({m.annotation(_REF) for m in usable} - {""}))
        if revision is not None:
            usable = [m for m in usable if revision in m.tags()]
        machine = _MACHINES.get(platform.machine(), platform.machine())
        if len(usable) > 1 and all(m.platform for m in usable):
            usable = [m for m in usable if m.platform and m.platform.architecture == machine]
        if len({m.digest for m in usable}) != 1:
            there = f" (tags there: {list_names(tags)})" if tags else ""
            asked = f"'{revision}'" if revision else "just one"
            raise ModelRefused(
                f"{self._layout} does not have {asked} of its images{there}: name a tag with "
                "--revision"
            )
        return usable[0]

    def _json(self, file: Path, descriptor: _Descriptor | None) -> _Index:
        try:
            with file.open("rb") as source:
                content = source.read(_MAX_JSON_BYTES)
            if descriptor is not None:
                checksum = Checksum(descriptor.size, _digest(descriptor, self._layout))
                checksum.update(content)
                checksum.verify(descriptor.digest, str(self._layout))
            found = msgspec.json.decode(content, type=_Index)
        except FileNotFoundError:
            raise self._missing(file.name) from None
        except (msgspec.DecodeError, RecursionError) as e:
            raise ModelRefused(
                f"{file.name} in {self._layout} is not an OCI index or manifest"
            ) from e
        if found.layers is None and not found.manifests:
            raise ModelRefused(f"{file.name} in {self._layout} names no image")
        return found

    def _blob(self, descriptor: _Descriptor) -> Path:
        return self._layout / "blobs" / "sha256" / _digest(descriptor, self._layout)

    def _missing(self, name: str) -> ModelRefused:
        return ModelRefused(f"{self._layout} lacks the blob {name}: copy it again")

    def unpack(self, layer: _Descriptor) -> None:
        """Unpack the files of a layer that may belong to a model."""
        blob = self._blob(layer)
        if not blob.is_file():
            raise self._missing(blob.name)
        name = next(filter(None, map(layer.annotation, _PATHS)), "")
        is_tar = _TAR.search(layer.media_type) or layer.annotation(_UNPACK) == "true"
        if is_tar or _TAR.search(name):  # the name of a bundle that was pushed as a file
            self._unpack_tar(blob, layer)
            return
        if not name:
            self._others.append(layer.media_type or layer.digest)
            return
        path = str(safe_path(name, str(self._layout)))
        if self._should_unpack(path, layer.size):
            checksum = Checksum(layer.size, blob.name)
            link_or_copy(blob.resolve(), self._all / path, checksum)
            self._add_file(path, layer.size, checksum)

    def _unpack_tar(self, blob: Path, layer: _Descriptor) -> None:
        whole = Checksum(layer.size, blob.name)
        where = f"the layer {layer.digest[:19]}… of {self._layout}"
        with (
            blob.open("rb") as opened,
            io.BufferedReader(HashedReader(opened, whole), CHUNK_BYTES) as source,
        ):
            with entries(source, where) as found:
                for entry in found:
                    path = str(entry.path)
                    if not entry.is_file or entry.path.name.startswith(".wh."):
                        self._unusable.append(path)
                    elif self._should_unpack(path, entry.size):
                        checksum = Checksum(entry.size)
                        write(self._all / path, entry.chunks, checksum)
                        self._add_file(path, entry.size, checksum)
            while source.read(CHUNK_BYTES):
                pass  # what follows the archive's end, for the digest
        whole.verify(layer.digest, str(self._layout))

    def _should_unpack(self, path: str, size: int) -> bool:
        """Return whether to unpack a file, after removing the same file of an earlier layer."""
        target = self._all / path
        self._files.pop(path, None)
        target.unlink(missing_ok=True)
        if not belongs(target.name) or target.name == MANIFEST:
            self._others.append(path)
            return False
        require_size(path, size, str(self._layout))
        if len(self._files) >= 10 * MAX_FILES:
            raise ModelRefused(f"{self._layout} has more than {10 * MAX_FILES:,} files")
        self._all.mkdir(exist_ok=True)
        require_space(self._all, size)
        return True

    def _add_file(self, path: str, size: int, checksum: Checksum) -> None:
        self._files[path] = _File(size, checksum.verify(path, str(self._layout)))

    def model(self) -> tuple[dict[str, _File], tuple[str, ...]]:
        """Move the model's files to its folder. Returns them, and the names of all others."""
        root = self._root()
        inside = dict(_below(root, self._files))
        choice = choose([*inside, *(path for path, _ in _below(root, dict.fromkeys(self._others)))])
        require_weights(str(self._layout), choice)
        if unusable := [path for path in self._unusable if not root or path.startswith(f"{root}/")]:
            raise ModelRefused(
                f"{unusable[0]} in {self._layout} is a link, a device or a deletion: pack the "
                "model's files themselves, in one layer each"
            )
        for path in choice.taken:
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (self._all / root / path).rename(target)
        shutil.rmtree(self._all)
        return {path: inside[path] for path in choice.taken}, choice.left_out

    def _root(self) -> str:
        """Return the folder of the model: the one with a config.json and weights."""
        paths = [PurePosixPath(path) for path in self._files]
        configs = {path.parent for path in paths if path.name == "config.json"}
        weights = {path.parent for path in paths if path.suffix == WEIGHTS}
        found = configs & weights
        # Some models have the same weights in another form in a folder below.
        roots = sorted(str(folder) for folder in found if found.isdisjoint(folder.parents))
        if not roots:
            require_weights(str(self._layout), choose([*self._files, *self._others]))
            raise ModelRefused(f"{self._layout} has no folder with a config.json and weights")
        if len(roots) > 1:
            names = list_names(tuple(roots))
            raise ModelRefused(f"{self._layout} has several models ({names}): pack one at a time")
        return "" if roots[0] == "." else roots[0]


def _below(root: str, files: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    prefix = f"{root}/" if root else ""
    for path, file in files.items():
        if path.startswith(prefix):
            yield path.removeprefix(prefix), file


def _digest(descriptor: _Descriptor, layout: Path) -> str:
    found = _DIGEST.fullmatch(descriptor.digest)
    if found is None:
        raise ModelRefused(
            f"{layout} uses the digest {descriptor.digest[:80]!r}; only SHA-256 is read"
        )
    return found[1]
