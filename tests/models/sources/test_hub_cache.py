"""Tests of models in Hugging Face caches, and in folders that `hf download` made."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.models.model_folder import ModelRefused
from service.models.sources.detect import Card, read_card
from tests.models.sources.stores import COMMIT, NAME, WEIGHTS, Installation, hub_cache, kept
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow

OLD = "2" * 40


@pytest.fixture
def repository(folder: Path, tmp_path: Path) -> Path:
    return hub_cache(tmp_path / "home" / "hub", folder)


def test_a_model_is_hard_linked_from_the_cache(folder, repository, installation):
    entry = installation.add(repository)
    assert (entry.license, entry.languages) == ("apache-2.0", ("ja", "th"))
    assert kept(entry.path) == kept(folder)
    weights = entry.path / WEIGHTS
    blob = (repository / "snapshots" / COMMIT / WEIGHTS).resolve()
    assert not weights.is_symlink()
    assert weights.stat().st_ino == blob.stat().st_ino
    shutil.rmtree(repository)
    assert kept(entry.path) == kept(folder)


def test_a_model_is_copied_to_another_disk(folder, repository, tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        entry = Installation(disk).add(repository)
        assert kept(entry.path) == kept(folder)
    with small_disk(tmp_path / "full", "4k") as disk:
        with pytest.raises(ModelRefused, match="is full"):
            Installation(disk).add(repository)
        assert Installation(disk).is_empty()


@pytest.mark.parametrize(
    "means",
    [
        lambda repository: repository / "snapshots" / COMMIT,
        lambda repository: repository.parent,
        lambda repository: repository.parent.parent,
        lambda _: Path(NAME),
    ],
    ids=["snapshot", "hub", "home", "name"],
)
def test_a_model_is_found_by_folder_snapshot_cache_or_name(
    repository, installation, monkeypatch, means
):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(repository.parent.parent))
    assert installation.add(means(repository)).parameters == 200


def test_a_name_that_is_not_in_the_cache(repository, installation, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(repository.parent))
    with pytest.raises(ModelRefused, match="'hf download Shop/Other' puts it there"):
        installation.add(Path("Shop/Other"))
    with pytest.raises(ModelRefused, match="there is no file or folder"):
        installation.add(Path("no/such/folder"))


def test_one_of_several_models_has_to_be_named(folder, repository, installation):
    hub_cache(repository.parent, folder, "Shop/Other")
    with pytest.raises(ModelRefused, match=r"2 models .* name one"):
        installation.add(repository.parent)


def test_a_revision_is_a_branch_a_tag_or_a_commit(folder, repository, installation):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    hub_cache(repository.parent, folder, commit=OLD)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "refs" / "v1.0").write_text(OLD)
    assert installation.add(repository, model_id="main").license == "apache-2.0"
    assert installation.add(repository, model_id="tag", revision="v1.0").license == "mit"
    assert installation.add(repository, model_id="commit", revision=OLD).license == "mit"
    for revision in ("v2", "../../x", OLD[:7]):
        with pytest.raises(ModelRefused, match=r"no revision .*there: .*v1\.0"):
            installation.add(repository, model_id="none", revision=revision)
    (repository / "refs" / "main").unlink()
    with pytest.raises(ModelRefused, match="no revision 'main'"):
        installation.add(repository, model_id="none")
    shutil.rmtree(repository / "snapshots" / OLD)
    assert installation.add(repository, model_id="only").license == "apache-2.0"


def blob(repository: Path, path: str) -> Path:
    return (repository / "snapshots" / COMMIT / path).resolve()


def damaged(path: str) -> Callable[[Path], object]:
    def damage(repository: Path) -> None:
        file = blob(repository, path)
        file.write_bytes(file.read_bytes()[:-1] + b"x")

    return damage


def linked(target: Path) -> Callable[[Path], object]:
    def damage(repository: Path) -> None:
        link = repository / "snapshots" / COMMIT / "config.json"
        link.unlink()
        link.symlink_to(target)

    return damage


def copied(repository: Path) -> None:
    link = repository / "snapshots" / COMMIT / WEIGHTS
    data = link.read_bytes()
    link.unlink()
    link.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged(WEIGHTS), f"{WEIGHTS} .* is damaged"),
        (damaged("tokenizer.json"), r"tokenizer\.json .* is damaged"),
        (lambda r: blob(r, WEIGHTS).unlink(), "repeat 'hf download Shop/Tiny-1'"),
        (linked(Path("/etc/hostname")), "not a blob of its cache"),
        (linked(Path("../../refs/main")), "not a blob of its cache"),
        (copied, "copy .* to a folder of its own"),
        (lambda r: (r / "snapshots" / COMMIT / WEIGHTS).unlink(), "no weights"),
        (lambda r: (r / "snapshots" / COMMIT / "chat_template.jinja").unlink(), "no chat template"),
    ],
)
def test_faults_of_a_cache_are_reported(repository, installation, damage, words):
    damage(repository)
    with pytest.raises(ModelRefused, match=words):
        installation.add(repository)
    assert installation.is_empty()


def test_pickles_in_a_cache_are_not_copied(folder, tmp_path, installation):
    (folder / "weights.pkl").write_bytes(b"pickle")
    (folder / "modeling.py").write_text("import os")
    entry = installation.add(hub_cache(tmp_path, folder))
    assert kept(entry.path) == kept(folder)
    assert "modeling.py" in installation.said[0]


def downloaded(folder: Path) -> Path:
    """Add the notes of `hf download --local-dir` to a folder."""
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for path, data in kept(folder).items():
        digest = hashlib.sha256(data).hexdigest()
        time_s = (folder / path).stat().st_mtime
        (notes / f"{path}.metadata").write_text(f"{COMMIT}\n{digest}\n{time_s}\n")
    return folder


def test_a_downloaded_folder_is_verified(folder, installation):
    assert installation.add(downloaded(folder)).path == folder
    assert "verifying 5 files" in installation.said[-1]
    stat = (folder / "config.json").stat()
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    os.utime(folder / "config.json", (stat.st_atime, stat.st_mtime + 60))
    assert installation.add(folder, model_id="edited").path == folder
    os.utime(folder / "config.json", (stat.st_atime, stat.st_mtime))
    with pytest.raises(ModelRefused, match=r"config\.json .* is damaged"):
        installation.add(folder, model_id="damaged")


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
