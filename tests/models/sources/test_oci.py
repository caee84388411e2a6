"""Tests of models in OCI image layouts, as registries' tools write them."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from service.models.model_folder import ModelRefused
from service.models.sources.write_bundle import bundle_model
from tests.models.sources.stores import (
    WEIGHTS,
    Installation,
    Layout,
    contents,
    file_layers,
    kept,
    tar,
)

pytestmark = pytest.mark.slow

TITLE = "org.opencontainers.image.title"
MODEL_PACK = "org.cncf.model.filepath"
TAR = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def below(root: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{root}/{path}": data for path, data in files.items()}


@pytest.mark.parametrize("key", [TITLE, MODEL_PACK, "org.cnai.model.filepath"])
def test_layers_that_are_files(folder, layout, installation, key):
    layout.entry(layout.layers(file_layers(layout, contents(folder), key)))
    entry = installation.add(layout.folder)
    assert entry.license == "apache-2.0"
    assert kept(entry.path) == kept(folder)
    assert json.loads((entry.path / "bundle.json").read_text())["name"] == "layout"
    assert "left out .gitattributes, logo.png" in installation.said


def test_a_folder_that_oras_packed(folder, layout, installation):
    data = gzip.compress(tar(below("tiny", kept(folder))))
    unpack = {"io.deis.oras.content.unpack": "true", TITLE: "tiny"}
    layout.entry(layout.layers([layout.blob(data, "application/vnd.any", **unpack)]), "v1")
    assert kept(installation.add(layout.folder).path) == kept(folder)


def test_a_bundle_that_was_pushed_as_a_file(folder, layout, installation, tmp_path):
    bundle_model(folder, tmp_path / "tiny.tar", report=lambda _: None)
    files = {"tiny.tar": (tmp_path / "tiny.tar").read_bytes()}
    layout.entry(layout.layers(file_layers(layout, files, TITLE)), "1")
    assert kept(installation.add(layout.folder).path) == kept(folder)


def test_a_model_kit(folder, layout, installation):
    files = kept(folder)
    weights = {WEIGHTS: files.pop(WEIGHTS)}
    model = layout.blob(tar(weights), "application/vnd.kitops.modelkit.model.v1.tar")
    parts = layout.blob(tar(files), "application/vnd.kitops.modelkit.modelpart.v1.tar")
    layout.entry(layout.layers([model, parts]))
    assert kept(installation.add(layout.folder).path) == kept(folder)


@pytest.mark.parametrize(
    ("kind", "compress"),
    [("", bytes), ("+gzip", gzip.compress), ("+zstd", zstandard.ZstdCompressor().compress)],
)
def test_an_image_into_which_a_model_was_copied(folder, layout, installation, kind, compress):
    link = tarfile.TarInfo("bin/sh")
    link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
    system = tar(
        {"etc/passwd": b"root", "usr/share/a.json": b"{}", "bin/busybox": b"\x7fELF"}, [link]
    )
    old = below("model", kept(folder) | {"README.md": b"old"})
    layers = [system, tar(old), tar({"model/README.md": (folder / "README.md").read_bytes()})]
    layout.entry(layout.layers([layout.blob(compress(data), TAR + kind) for data in layers]))
    assert kept(installation.add(layout.folder).path) == kept(folder)


def test_an_image_for_several_machines(folder, layout, installation):
    image = layout.layers(file_layers(layout, kept(folder), TITLE))
    other = layout.layers(file_layers(layout, {"config.json": b"{}"}, TITLE))
    attestation = layout.layers([])
    index = layout.index(
        [
            *(
                {**image, "platform": {"os": "linux", "architecture": a}}
                for a in ("amd64", "arm64")
            ),
            {**other, "platform": {"os": "linux", "architecture": "s390x"}},
            {**attestation, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ]
    )
    layout.entry(layout.blob(index, "application/vnd.oci.image.index.v1+json"), "shop/tiny:v1")
    entry = installation.add(layout.folder)
    assert kept(entry.path) == kept(folder)
    made = json.loads((entry.path / "bundle.json").read_text())
    assert (made["name"], made["revision"]) == ("tiny", "shop/tiny:v1")


def test_one_of_several_tags_has_to_be_named(folder, layout, installation):
    for tag, card in (("v1", b"---\nlicense: mit\n---"), ("v2", b"---\nlicense: isc\n---")):
        files = kept(folder) | {"README.md": card}
        layout.entry(layout.layers(file_layers(layout, files, TITLE)), tag)
    with pytest.raises(ModelRefused, match=r"just one of its images \(tags there: v1, v2\)"):
        installation.add(layout.folder)
    with pytest.raises(ModelRefused, match="'v3' of its images"):
        installation.add(layout.folder, revision="v3")
    assert installation.add(layout.folder, revision="v2").license == "isc"


def test_weights_in_a_second_form_are_left_out(folder, layout, installation):
    files = kept(folder)
    layers = file_layers(layout, files | below("original", files) | {"a.pkl": b"x"}, TITLE)
    layout.entry(layout.layers(layers))
    assert kept(installation.add(layout.folder).path) == files


Change = Callable[[Layout, dict[str, bytes]], object]


def files_with(**changes: bytes) -> Change:
    """Add files to the model, or remove those without bytes."""

    def change(layout: Layout, files: dict[str, bytes]) -> None:
        named = {name.replace("__", "."): data for name, data in changes.items()}
        changed = {path: data for path, data in (files | named).items() if data}
        layout.entry(layout.layers(file_layers(layout, changed, TITLE)))

    return change


def archived(
    *entries: tuple[str, bytes], more: dict[str, bytes] | None = None, keep: int | None = None
) -> Change:
    """Store the model in an archive, with entries of a name and a type."""

    def change(layout: Layout, files: dict[str, bytes]) -> None:
        others = []
        for name, kind in entries:
            other = tarfile.TarInfo(name)
            other.type, other.linkname = kind, "/etc/passwd"
            others.append(other)
        data = tar(below("model", files) | (more or {}), others)
        layout.entry(layout.layers([layout.blob(data[:keep], TAR)]))

    return change


def damaged(what: str) -> Change:
    """Store the model, and damage a blob."""

    def change(layout: Layout, files: dict[str, bytes]) -> None:
        layers = file_layers(layout, files, TITLE)
        manifest = layout.layers(layers)
        layout.entry(manifest)
        chosen = {"manifest": manifest, "weights": layers[list(files).index(WEIGHTS)]}
        blob = (
            layout.folder
            / "blobs"
            / chosen[what.rsplit(maxsplit=1)[-1]]["digest"].replace(":", "/")
        )
        if what.startswith("no "):
            blob.unlink()
        else:
            blob.write_bytes(blob.read_bytes()[:-1] + b" ")

    return change


def described(**fields: object) -> Change:
    """Store the model with another descriptor of its card."""

    def change(layout: Layout, files: dict[str, bytes]) -> None:
        first, *rest = file_layers(layout, dict(sorted(files.items())), TITLE)
        layout.entry(layout.layers([first | fields, *rest]))

    return change


def indexed(text: str) -> Change:
    return lambda layout, _: (layout.folder / "index.json").write_text(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damaged("weights"), "is damaged"),
        (damaged("manifest"), "is damaged"),
        (damaged("no weights"), "lacks the blob"),
        (damaged("no manifest"), "lacks the blob"),
        (described(digest="sha512:" + "0" * 128), "only SHA-256"),
        (described(digest="sha256:../../../etc/passwd"), "only SHA-256"),
        (described(size=1), "bytes instead of 1"),
        (described(size=2**40), "files other than weights"),
        (described(annotations={TITLE: "../outside.json"}), "not plainly inside"),
        (described(annotations={TITLE: "/etc/outside.json"}), "not plainly inside"),
        (indexed("{}"), "names no image"),
        (indexed("["), "not an OCI index"),
        (files_with(model__safetensors=b"", model__pkl=b"x"), "model.pkl is a pickle"),
        (files_with(config__json=b""), "no folder with a config.json and weights"),
        (files_with(tokenizer__json=b""), "no tokenizer.json"),
        (files_with(config__json=b'{"auto_map": {}}'), "auto_map"),
        (archived(("model/chat.json", tarfile.SYMTYPE)), "is a link"),
        (archived(("model/chat.json", tarfile.LNKTYPE)), "is a link"),
        (archived(("model/chat.json", tarfile.CHRTYPE)), "is a link"),
        (archived(("../outside.json", tarfile.REGTYPE)), "not plainly inside"),
        (archived(("../outside", tarfile.SYMTYPE)), "not plainly inside"),
        (archived(more={"model/.wh.README.md": b""}), "a deletion"),
        (archived(keep=520), "cut off"),
        (archived(more={"model/config.json/a.json": b"{}"}), "a file and a folder"),
        (
            lambda layout, files: archived(more=below("other", files))(layout, files),
            "several models",
        ),
    ],
)
def test_faults_of_a_layout_are_reported(folder, layout, installation: Installation, change, words):
    change(layout, kept(folder))
    with pytest.raises(ModelRefused, match=words):
        installation.add(layout.folder)
    assert installation.is_empty()
