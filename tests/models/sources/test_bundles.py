"""Tests of bundles: written once, verified when they are added, refused if anything is wrong."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from service.models.catalogue import Catalogue
from service.models.model_folder import ModelRefused
from service.models.sources.write_bundle import bundle_model
from tests.cli.test_cli import ROOT
from tests.models.sources.stores import (
    CARD,
    COMMIT,
    NAME,
    WEIGHTS,
    Installation,
    contents,
    hub_cache,
    kept,
    tar,
)
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow

Files = dict[str, bytes]


def bundle(source: Path, output: Path, name: str | None = NAME, **fields: str) -> Path:
    bundle_model(source, output, name, **fields, report=lambda _: None)
    return output


def members(bundled: Path) -> Files:
    with tarfile.open(bundled) as opened:
        return {info.name: opened.extractfile(info).read() for info in opened}  # type: ignore[union-attr]


@pytest.fixture
def bundled(folder: Path, tmp_path: Path) -> Path:
    return bundle(folder, tmp_path / "tiny.tar")


def test_a_bundle_becomes_a_base_model(folder, bundled, installation):
    entry = installation.add(bundled)
    assert (entry.license, entry.languages) == ("apache-2.0", ("ja", "th"))
    assert (entry.context_length, entry.parameters) == (4096, 200)
    assert entry.path == installation.models / "tiny"
    assert installation.catalogue.all() == [entry]
    assert kept(entry.path) == kept(folder)
    assert sorted(path.name for path in installation.models.iterdir()) == [".tiny.lock", "tiny"]
    assert "5 files" in " ".join(installation.said)


def test_what_is_given_replaces_the_model_card(bundled, installation):
    entry = installation.add(bundled, license_id="mit", languages=("id",))
    assert (entry.license, entry.languages) == ("mit", ("id",))


def test_an_unknown_license_must_be_given(folder, tmp_path, installation):
    (folder / "README.md").unlink()
    with pytest.raises(ModelRefused, match="add --license"):
        installation.add(bundle(folder, tmp_path / "tiny.tar"))
    assert installation.is_empty()
    named = bundle(folder, tmp_path / "named.tar", license_id="gemma")
    assert installation.add(named).license == "gemma"


def test_the_same_files_give_the_same_bytes(folder, bundled, tmp_path, installation):
    copy = tmp_path / "copy"
    for path, data in reversed(kept(folder).items()):
        copy.mkdir(exist_ok=True)
        (copy / path).write_bytes(data)
        os.utime(copy / path, (1, 1))
    assert bundle(copy, tmp_path / "copy.tar").read_bytes() == bundled.read_bytes()
    again = bundle(installation.add(bundled).path, tmp_path / "again.tar", name=None)
    assert again.read_bytes() == bundled.read_bytes()


def test_a_bundle_has_a_manifest(tmp_path, folder):
    repository = hub_cache(tmp_path, folder)
    found = members(bundle(repository, tmp_path / "tiny.tar", name=None))
    first, *rest = found
    assert first == "Shop--Tiny-1/bundle.json"
    assert rest == [f"Shop--Tiny-1/{path}" for path in sorted(kept(folder))]
    said = json.loads(found[first])
    assert (said["format_version"], said["license"]) == (1, "apache-2.0")
    assert (said["name"], said["revision"]) == (NAME, COMMIT)
    assert {file["path"]: file["size"] for file in said["files"]} == {
        path: len(data) for path, data in kept(folder).items()
    }


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_bundle_may_be_compressed(folder, bundled, installation, tmp_path, compress):
    packed = tmp_path / "packed"
    packed.write_bytes(compress(bundled.read_bytes()))
    assert kept(installation.add(packed).path) == kept(folder)
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(ModelRefused, match="damaged or cut off"):
        installation.add(packed, model_id="other")


def test_pickles_and_code_are_left_out_of_a_bundle(folder, tmp_path, installation):
    (folder / "original").mkdir()
    (folder / "original" / "weights.pkl").write_bytes(b"pickle")
    (folder / "modeling.py").write_text("import os")
    (folder / "consolidated.safetensors").write_bytes((folder / WEIGHTS).read_bytes())
    added = installation.add(bundle(folder, tmp_path / "tiny.tar"))
    assert sorted(contents(added.path)) == [
        "README.md", "bundle.json", "chat_template.jinja", "config.json", WEIGHTS, "tokenizer.json",
    ]  # fmt: skip
    assert added.parameters == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / WEIGHTS).rename(f / "weights.pkl"), "weights.pkl is a pickle"),
        (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
        (lambda f: (f / "config.json").write_text('{"auto_map": {}}'), "remove that entry"),
        (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1]), "cut off"),
        (shutil.rmtree, "there is no folder"),
    ],
)
def test_models_that_cannot_be_added_are_not_bundled(folder, tmp_path, change, words):
    change(folder)
    with pytest.raises(ModelRefused, match=words):
        bundle(folder, tmp_path / "tiny.tar")
    assert list(tmp_path.glob("*.tar*")) == []


def test_a_bundle_replaces_nothing(folder, bundled):
    with pytest.raises(ModelRefused, match="exists"):
        bundle(folder, bundled)
    with pytest.raises(ModelRefused, match=r"must end in \.tar"):
        bundle(folder, bundled.with_suffix(".zst"))
    with pytest.raises(ModelRefused, match="--name is NAME"):
        bundle(folder, bundled.with_suffix(".2.tar"), name="../outside")


def test_a_file_that_the_disk_cannot_hold(folder, tmp_path):
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        with pytest.raises(ModelRefused, match="FAT32"):
            bundle(folder, tmp_path / "tiny.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.glob("*tar*")) == []


def changed(key: str, value: object) -> Callable[[Files], bytes]:
    """Change a field of the manifest."""

    def change(files: Files) -> bytes:
        name = next(iter(files))
        return tar(files | {name: json.dumps(json.loads(files[name]) | {key: value}).encode()})

    return change


def relisted(**fields: object) -> Callable[[Files], bytes]:
    """Change what the manifest says of the model's card."""

    def change(files: Files) -> bytes:
        name = next(iter(files))
        said = json.loads(files[name])
        said["files"][0] |= fields
        return tar(files | {name: json.dumps(said).encode()})

    return change


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


def without(files: Files, path: str) -> Files:
    return {name: data for name, data in files.items() if not name.endswith(path)}


def long_header(files: Files) -> bytes:
    """An archive whose first header announces 8 GiB of extensions."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 8 * 1024**3 - 1
    return entry.tobuf(tarfile.USTAR_FORMAT) + tar(files)


ROOT_IN = "Shop--Tiny-1"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: tar(f | {f"{ROOT_IN}/{WEIGHTS}": f[f"{ROOT_IN}/{WEIGHTS}"][:-1] + b"x"}),
         "is damaged: it has the wrong digest"),
        (lambda f: tar(f | {f"{ROOT_IN}/{WEIGHTS}": b"short"}), "5 bytes instead of"),
        (lambda f: tar(f)[:4000], "damaged or cut off|is missing"),
        (lambda f: tar(without(f, WEIGHTS)), f"cut off: {ROOT_IN}/{WEIGHTS} is missing"),
        (lambda f: tar(f | {"../../outside": b"x"}), "not plainly inside"),
        (lambda f: tar(f | {"/etc/outside": b"x"}), "not plainly inside"),
        (lambda f: tar(f | {f"{ROOT_IN}/weights.pkl": b"x"}), "which its manifest does not list"),
        (lambda f: tar(without(f, WEIGHTS), [link(f"{ROOT_IN}/{WEIGHTS}", "/etc/passwd")]),
         "not a regular file"),
        (lambda f: tar(f, [tarfile.TarInfo(f"{ROOT_IN}/README.md")]), "does not list"),
        (long_header, "damaged or cut off"),
        (lambda f: tar(without(f, "bundle.json")), "was not made by"),
        (lambda f: tar({"oci-layout": b"{}"} | f), "archive of an OCI layout"),
        (lambda _: b"", "not a tar archive"),
        (lambda _: b"no archive" * 999, "not a tar archive"),
        (changed("format_version", 2), "upgrade"),
        (changed("format_version", 0), "not the manifest"),
        (changed("files", []), "not the manifest"),
        (changed("name", ".."), "not plainly inside"),
        (relisted(path="../outside.json"), "not plainly inside"),
        (relisted(path="weights.pkl"), "not a model file"),
        (relisted(path="modeling.py"), "not a model file"),
        (relisted(size=1024**3), "files other than weights"),
        (relisted(size=-1), "not the manifest"),
        (relisted(sha256="0" * 63), "not the manifest"),
        (relisted(path="config.json"), "lists a file twice"),
    ],
)  # fmt: skip
def test_faults_of_a_bundle_are_reported(bundled, installation, damage, words):
    bundled.write_bytes(damage(members(bundled)))
    with pytest.raises(ModelRefused, match=words):
        installation.add(bundled)
    assert installation.is_empty()


def test_a_bundle_has_one_revision(folder, bundled, installation, tmp_path):
    for source in (bundled, folder):
        with pytest.raises(ModelRefused, match="--revision v2 does not apply"):
            installation.add(source, revision="v2")
    with pytest.raises(ModelRefused, match="--revision v2 does not apply"):
        bundle(folder, tmp_path / "other.tar", revision="v2")


def test_an_invalid_id_is_refused_before_anything_is_unpacked(bundled, installation):
    with pytest.raises(ValueError, match="an id can contain"):
        installation.add(bundled, model_id="../tiny")
    assert not installation.models.exists()


def test_a_full_disk_is_reported_and_leaves_nothing(folder, bundled, tmp_path):
    (folder / "vocab.txt").write_bytes(bytes(300_000))
    large = bundle(folder, tmp_path / "large.tar")
    with small_disk(tmp_path / "disk", "200k") as disk:
        installation = Installation(disk)
        with pytest.raises(ModelRefused, match="GiB are needed"):
            installation.add(large)
        assert installation.is_empty()
        with pytest.raises(ModelRefused, match="GiB are needed"):
            bundle(folder, disk / "large.tar")
        assert installation.add(bundled).parameters == 200
    with small_disk(tmp_path / "inodes", "1m,nr_inodes=9") as disk:
        installation = Installation(disk)
        with pytest.raises(ModelRefused, match="is full"):
            installation.add(bundled)
        assert installation.is_empty()


ADD = """
import resource, signal, sys
from pathlib import Path
from service.models.add import add_model
from service.models.catalogue import Catalogue
source, data, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if limit:  # the kernel kills the process in the middle of the first larger file
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
add_model(
    source, catalogue=Catalogue(data / "models.yaml"), models_dir=data / "models", model_id="tiny"
)
"""


def adding(source: Path, installation: Installation, limit: int = 0) -> subprocess.Popen[bytes]:
    data = installation.catalogue.file.parent
    return subprocess.Popen(
        [sys.executable, "-c", ADD, str(source), str(data), str(limit)], cwd=ROOT
    )


def test_an_add_that_is_killed_while_it_unpacks_can_be_repeated(folder, bundled, installation):
    assert adding(bundled, installation, limit=100).wait(60) == -signal.SIGXFSZ
    assert installation.catalogue.all() == []
    assert not (installation.models / "tiny").exists()
    assert list((installation.models / ".tiny.part").rglob("README.md"))
    assert kept(installation.add(bundled).path) == kept(folder)
    assert sorted(path.name for path in installation.models.iterdir()) == [".tiny.lock", "tiny"]


def test_an_add_that_is_killed_before_it_registers_can_be_repeated(folder, bundled, installation):
    installation.catalogue.file.parent.mkdir()
    with installation.catalogue.file.with_name(".models.yaml.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = adding(bundled, installation)
        until = time.monotonic() + 60
        while not (installation.models / "tiny").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
    assert installation.catalogue.all() == []
    assert kept(installation.add(bundled).path) == kept(folder)
    assert len(installation.catalogue.all()) == 1


def test_a_folder_of_another_model_is_not_replaced(folder, bundled, installation):
    other = installation.models / "tiny"
    other.mkdir(parents=True)
    (other / "mine.txt").write_text("mine")
    with pytest.raises(ModelRefused, match="has other files"):
        installation.add(bundled)
    assert contents(other) == {"mine.txt": b"mine"}
    assert installation.catalogue.all() == []


def test_two_adds_of_one_model_exclude_each_other(bundled, installation):
    installation.models.mkdir(parents=True)
    with (installation.models / ".tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelRefused, match="wait until it has ended"):
            installation.add(bundled)
    assert installation.add(bundled).id == "tiny"


def test_a_folder_that_was_bundled_is_verified_in_place(bundled, installation, tmp_path):
    with tarfile.open(bundled) as opened:
        opened.extractall(tmp_path / "stick", filter="data")
    folder = tmp_path / "stick" / ROOT_IN
    assert installation.add(folder).path == folder
    assert "verifying 5 files" in installation.said[-1]
    (folder / "README.md").write_text(CARD.replace("Tiny", "tiny"))
    with pytest.raises(ModelRefused, match=r"README\.md .* is damaged"):
        installation.add(folder, model_id="other")
    (folder / "README.md").unlink()
    with pytest.raises(ModelRefused, match=r"lacks README\.md"):
        installation.add(folder, model_id="other", license_id="mit")


# What the installation of a connected machine may lack.
HEAVY = ("torch", "transformers", "vllm", "tokenizers", "zstandard", "jinja2", "pyarrow")


def test_the_command_needs_neither_torch_nor_the_worker(folder, tmp_path, installation):
    run = (
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); "
        "from service.cli.app import main; main()"
    )
    output = tmp_path / "out" / "tiny.tar"
    done = subprocess.run(
        [sys.executable, "-c", run, "models", "bundle", str(folder), "-o", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bundled model: 5 files" in done.stdout
    assert "without .gitattributes, logo.png" in done.stderr
    data = str(tmp_path / "data")
    added = subprocess.run(
        [sys.executable, "-m", "service.cli", "models", "add", str(output), "--id", "tiny",
         "--data-dir", data],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert "added tiny: 200 parameters, license apache-2.0" in added.stdout
    assert [entry.id for entry in Catalogue(tmp_path / "data" / "models.yaml").all()] == ["tiny"]
