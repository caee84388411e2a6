"""Models as other tools store them, made by hand according to their specifications."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from service.models.add import add_model
from service.models.catalogue import BaseModelEntry, Catalogue
from tests.models.folders import model_folder

NAME = "Shop/Tiny-1"
COMMIT = "1" * 40
CARD = "---\nlicense: apache-2.0\nlanguage:\n- ja\n- th\n---\n# Tiny\n"
WEIGHTS = "model.safetensors"


def carded_folder(parent: Path) -> Path:
    """Create a model's folder with a model card, and with files that nobody needs."""
    parent.mkdir(exist_ok=True)
    folder = model_folder(parent)
    (folder / "README.md").write_text(CARD)
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    (folder / "logo.png").write_bytes(b"png")
    return folder


class Installation:
    """The catalog and the folder of models of an installation."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.catalogue = Catalogue(folder / "models.yaml")
        self.said: list[str] = []

    def add(self, source: Path, **fields: Any) -> BaseModelEntry:
        options = {"model_id": "tiny"} | fields
        return add_model(
            source,
            catalogue=self.catalogue,
            models_dir=self.models,
            report=self.said.append,
            **options,
        )

    def is_empty(self) -> bool:
        """Whether nothing is registered, and no file of a model is left."""
        left = self.models.rglob("*") if self.models.exists() else iter(())
        return self.catalogue.all() == [] and all(path.suffix == ".lock" for path in left)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their paths."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kept(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that `models add` takes over from it."""
    unneeded = (".gitattributes", "logo.png", "weights.pkl", "modeling.py", "bundle.json")
    return {path: data for path, data in contents(folder).items() if path not in unneeded}


def hub_cache(hub: Path, folder: Path, name: str = NAME, commit: str = COMMIT) -> Path:
    """Store a folder in a Hugging Face cache as `hf download` does, and return its folder there."""
    repository = hub / f"models--{name.replace('/', '--')}"
    for part in ("blobs", "refs", f"snapshots/{commit}"):
        (repository / part).mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    for path, data in contents(folder).items():
        is_large = path.endswith((".safetensors", ".pkl"))
        git = hashlib.sha1(b"blob %d\0" % len(data) + data)
        digest = hashlib.sha256(data) if is_large else git
        (repository / "blobs" / digest.hexdigest()).write_bytes(data)
        link = repository / "snapshots" / commit / path
        link.symlink_to(Path("../../blobs", digest.hexdigest()))
    return repository


def tar(files: dict[str, bytes], others: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """Return an archive of files, followed by entries that are not files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry in others:
            archive.addfile(entry)
    return out.getvalue()


class Layout:
    """An OCI image layout, https://github.com/opencontainers/image-spec/blob/main/image-layout.md."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._manifests: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str, **annotations: str) -> dict[str, Any]:
        """Store a blob and return its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(data)
        found = {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
        return {**found, "annotations": annotations} if annotations else found

    def layers(self, layers: list[dict[str, Any]]) -> dict[str, Any]:
        """Store the manifest of an artifact and return its descriptor."""
        media_type = "application/vnd.oci.image.manifest.v1+json"
        content = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": layers,
        }
        return self.blob(json.dumps(content).encode(), media_type)

    def index(self, manifests: list[dict[str, Any]]) -> bytes:
        """Return an index of manifests."""
        media_type = "application/vnd.oci.image.index.v1+json"
        content = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        return json.dumps(content).encode()

    def entry(self, descriptor: dict[str, Any], tag: str | None = None) -> None:
        """Add a manifest to the layout's index."""
        if tag is not None:
            descriptor = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}}
        self._manifests.append(descriptor)
        (self.folder / "index.json").write_bytes(self.index(self._manifests))


def file_layers(layout: Layout, files: dict[str, bytes], key: str) -> list[dict[str, Any]]:
    """Store each file as a layer of its own, with its name in an annotation."""
    return [
        layout.blob(data, "application/octet-stream", **{key: path}) for path, data in files.items()
    ]
