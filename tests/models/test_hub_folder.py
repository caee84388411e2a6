"""Tests of what Hugging Face's tools write next to a model: its card and its digests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from service.models.add import add_model
from service.models.catalogue import Catalogue
from service.models.hub_folder import Card, read_card
from service.models.model_folder import ModelRefused
from tests.models.folders import model_folder

pytestmark = pytest.mark.slow

COMMIT = "1" * 40
CARD = "---\nlicense: apache-2.0\nlanguage:\n- ja\n- th\n---\n# Tiny\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = model_folder(tmp_path)
    (found / "README.md").write_text(CARD)
    return found


def digest(path: Path) -> str:
    """The digest that Hugging Face has of a file: of small ones, that of their Git blob."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def download_to_folder(folder: Path, _: Path) -> Path:
    """Add the records of `hf download --local-dir` to a folder."""
    records = folder / ".cache" / "huggingface" / "download"
    records.mkdir(parents=True)
    for file in folder.glob("*.*"):
        if file.is_file():
            record = f"{COMMIT}\n{digest(file)}\n{file.stat().st_mtime}\n"
            (records / f"{file.name}.metadata").write_text(record)
    return folder


def download_to_cache(folder: Path, cache: Path) -> Path:
    """Store a folder in a Hugging Face cache as `hf download` does, and return its snapshot."""
    repository = cache / "models--Shop--Tiny"
    snapshot = repository / "snapshots" / COMMIT
    for part in (repository / "blobs", snapshot):
        part.mkdir(parents=True)
    for file in folder.iterdir():
        blob = repository / "blobs" / digest(file)
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(Path("../../blobs", blob.name))
    return snapshot


@pytest.mark.parametrize("download", [download_to_folder, download_to_cache])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_download_is_verified_and_used_in_place(folder, tmp_path, download, name):
    catalogue, said = Catalogue(tmp_path / "models.yaml"), list[str]()
    source = download(folder, tmp_path / "hub")

    def add(model_id):
        options = {"models_dir": tmp_path / "models", "report": said.append}
        return add_model(source, catalogue=catalogue, model_id=model_id, **options)

    entry = add("tiny")
    assert (entry.path, entry.license, entry.languages) == (source, "apache-2.0", ("ja", "th"))
    assert said == ["verifying 5 files, 0.0 GB"]
    file = (source / name).resolve()
    stat = file.stat()
    data = file.read_bytes()
    file.write_bytes(data.replace(b"4096", b"2048") if name == "config.json" else data[:-1] + b"x")
    if download is download_to_folder:  # an operator may change a file, but not weights
        os.utime(file, (stat.st_atime, stat.st_mtime + 60))
        if name == "config.json":
            assert add("edited").path == source
            os.utime(file, (stat.st_atime, stat.st_mtime))
    else:
        os.utime(file, (stat.st_atime, stat.st_mtime))
    with pytest.raises(ModelRefused, match=rf"^{name} .* is damaged"):
        add("damaged")
    assert catalogue.get("damaged") is None


def test_what_is_no_folder_of_a_model_is_refused_with_what_to_do(folder, tmp_path):
    snapshot = download_to_cache(folder, tmp_path)
    archive = tmp_path / "tiny.tar"
    archive.touch()
    for source, words in (
        (snapshot.parent.parent, "name a folder in its snapshots"),
        (archive, "unpack an archive first"),
        (Path("Shop/Tiny"), "hf download ORG/NAME --local-dir FOLDER"),
    ):
        with pytest.raises(ModelRefused, match=words):
            add_model(
                source,
                catalogue=Catalogue(tmp_path / "models.yaml"),
                models_dir=tmp_path / "models",
                model_id="tiny",
            )


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("---\nlicense: MIT\nlanguage: en\n---\n", Card("MIT", ("en",))),
        ("---\r\nlicense: other\r\nlicense_name: tongyi\r\n---\r\n", Card("tongyi")),
        ("---\nlicense: other\n---\n", Card()),
        ("---\nlicense: [gemma]\nlanguage: [no, zh-Hant, 7, multilingual, en, en]\n---",
         Card("gemma", ("no", "zh-Hant", "en"))),
        ("---\nlicense: [a, b]\n---\n", Card()),
        ("# Title\n---\nlicense: mit\n---\n", Card()),
        ("---\nlicense: !!python/object:os.system x\n---\n", Card()),
        ("---\nlicense: [\n---\n", Card()),
        ("---\n- a\n---\n", Card()),
        ("\xff", Card()),
    ],
)  # fmt: skip
def test_a_model_card_is_read(tmp_path, text, card):
    (tmp_path / "README.md").write_bytes(text.encode("latin-1"))
    assert read_card(tmp_path) == card
    assert read_card(tmp_path / "none") == Card()
