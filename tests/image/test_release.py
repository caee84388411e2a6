"""Tests of a release: what it checks, and that its files are reproducible and installable."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp import web

from scripts import release
from scripts.helm_tools import folder as helm_folder
from service import __version__
from service.core.encryption.signing import PublicKey, SigningKey
from tests.http_server import http_server


def test_all_parts_have_the_same_version():
    assert set(release.versions().values()) == {__version__}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean git tree with the files whose versions must agree."""
    for name in (
        *("pyproject.toml", "openapi.json", "service/__init__.py", "helm/finetuned/Chart.yaml"),
        *("clients/python/src/finetuned/_version.py", "clients/typescript/package.json"),
        *("clients/console/package.json", "service/console/static/_app/version.json"),
    ):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(release.ROOT / name, target)
    (tmp_path / "CHANGELOG.md").write_text(f"## [{__version__}] - 2026-12-01\n\n- A change.\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(tree: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(tree), *words], check=True)


def commit(tree: Path) -> None:
    git(tree, "add", ".")
    person = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    git(tree, *person, "commit", "--quiet", "-m", "Change")


def test_a_release_needs_a_clean_tree_one_version_a_section_and_no_tag(tree):
    release.check(__version__, tree)
    with pytest.raises(release.NotReleasable, match="not all parts have version"):
        release.check("9.9.9", tree)
    (tree / "extra.txt").write_text("x")
    with pytest.raises(release.NotReleasable, match=r"not clean: commit or remove extra\.txt"):
        release.check(__version__, tree)
    (tree / "CHANGELOG.md").write_text("## [Unreleased]\n")
    chart = tree / "helm/finetuned/Chart.yaml"
    chart.write_text(
        chart.read_text("utf-8").replace(f"appVersion: {__version__}", "appVersion: 0")
    )
    commit(tree)
    with pytest.raises(release.NotReleasable, match="appVersion has 0"):
        release.check(__version__, tree)
    git(tree, "checkout", "--quiet", "HEAD~1", "--", "helm")
    commit(tree)
    with pytest.raises(release.NotReleasable, match="no section"):
        release.check(__version__, tree)
    git(tree, "tag", f"v{__version__}")
    with pytest.raises(release.NotReleasable, match="the tag"):
        release.check(__version__, tree)


def test_notes_are_the_section_of_the_version():
    text = "# Changelog\n\n## [0.3.0] - 2026-12-01\n\n- New.\n\n## [0.2.0] - 2026-11-01\n\n- Old.\n"
    assert release.notes(text, "0.3.0") == "- New.\n"
    assert release.notes(text, "0.2.0") == "- Old.\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, SigningKey]:
    """The folder of a release of the current commit, and the key that signed it."""
    home = tmp_path_factory.mktemp("release")
    key = SigningKey.generate()
    (home / "key.pem").write_bytes(key.pem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "notes", lambda _text, _version: "- A change.\n")
        release.write(__version__, home / "out", key=home / "key.pem")
    return home / "out", key


@pytest.mark.slow
def test_a_release_has_all_files_with_sums_and_a_signature(written):
    output, key = written
    names = {file.name for file in output.iterdir()}
    wheels = {"finetuned_server", "finetuned_client", "finetuned_cli", "finetuned_migrate"}
    assert {f"{name}-{__version__}-py3-none-any.whl" for name in wheels} <= names
    assert f"finetuned-client-{__version__}.tgz" in names  # of npm
    assert {"DIGESTS", "NOTES.md", "sbom.json", "SHA256SUMS", "SHA256SUMS.sig"} <= names
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=output, check=True)
    signature = (output / "SHA256SUMS.sig").read_bytes()
    public = PublicKey.from_pem(key.public.pem.encode())
    assert public.verifies_bytes((output / "SHA256SUMS").read_bytes(), signature)
    sbom = json.loads((output / "sbom.json").read_text("utf-8"))
    assert "torch" in {component["name"] for component in sbom["components"]}


class Registry(SimpleHTTPRequestHandler):
    """The part of the distribution protocol that a pull needs, on a folder in OCI layout."""

    def do_GET(self) -> None:
        kind, _, name = self.path.removeprefix("/v2/charts/finetuned/").partition("/")
        folder = Path(self.directory)
        (entry,) = json.loads((folder / "index.json").read_text("utf-8"))["manifests"]
        content = b""
        if kind in {"manifests", "blobs"}:
            tag = entry["annotations"]["org.opencontainers.image.ref.name"]
            digest = entry["digest"] if name == tag else name
            content = (folder / "blobs" / digest.replace(":", "/")).read_bytes()
            self.kind = entry["mediaType"] if kind == "manifests" else "application/octet-stream"
            self.digest = digest
        self.send_response(200)
        if content:
            self.send_header("content-type", self.kind)
            self.send_header("docker-content-digest", self.digest)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def registry(folder: Path) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Registry, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("major", [3, 4])
def test_helm_pulls_the_chart_from_its_layout(written, tmp_path, major):
    output, _ = written
    with tarfile.open(output / f"finetuned-{__version__}.oci.tar.gz") as archive:
        archive.extractall(tmp_path / "oci", filter="data")
    with registry(tmp_path / "oci") as port:
        helm = str(helm_folder(major) / "helm")
        place = f"oci://127.0.0.1:{port}/charts/finetuned"
        pull = ["pull", place, "--version", __version__, "--plain-http", "-d", str(tmp_path)]
        subprocess.run([helm, *pull], check=True, capture_output=True)
    packed = f"finetuned-{__version__}.tgz"
    assert (tmp_path / packed).read_bytes() == (output / packed).read_bytes()
    subprocess.run([helm, "show", "chart", str(tmp_path / packed)], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("buildah") is None, reason="needs buildah")
async def test_the_digest_of_an_image_is_that_in_the_registry(tmp_path, monkeypatch):
    """The copy of the builder has another one, because its layers are not compressed."""
    manifests = []

    async def take(request: web.Request) -> web.Response:
        content = await request.read()
        if "/manifests/" in request.path:
            manifests.append(content)
        status = {"HEAD": 404, "PUT": 201, "GET": 200}.get(request.method, 202)
        return web.Response(status=status, headers={"location": request.path})

    storage = f'driver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/images"\n'
    (tmp_path / "storage.conf").write_text(f"[storage]\n{storage}")
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    async with http_server(take) as url:
        registry = url.removeprefix("http://")
        (tmp_path / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
        )
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
        (tmp_path / "file").write_text("x" * 10_000)
        name = f"{registry}/team/finetuned-api:1"
        container = buildah("from", "scratch")
        buildah("copy", container, str(tmp_path / "file"), "/")
        buildah("commit", "--format", "docker", container, name)
        pushed = await asyncio.to_thread(release.push_image, name)
    (manifest,) = manifests
    assert pushed == f"{name}@sha256:{hashlib.sha256(manifest).hexdigest()}"


def buildah(*words: str) -> str:
    done = subprocess.run(["buildah", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()
