"""`make release VERSION=0.3.0`: checks, tags and writes a release, with all that its users install.

    python -m scripts.release 0.3.0 --output build/release [--sign KEY.pem] [--images] [--dry-run]

It checks that the tree is clean, that all parts have this version and that the changelog has its
section; saves the contract and the records that later versions are tested with; runs the tests of
upgrades from released versions; and sets the tag. The folder then has wheels and the chart, which
are built twice and must have the same bytes, a bill of materials, notes, the digests of images, and
SHA256SUMS with an Ed25519 signature, as a bundle has. `--dry-run` neither commits nor tags.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.helm_tools import folder as helm_folder
from service.core.encryption.signing import from_file
from tests.node import built, npm

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = (".", "clients/python", "clients/cli", "clients/migrate")
CHART: Final = "helm/finetuned"
_IMAGES: Final = ("api", "worker", "worker-cpu", "inference", "inference-cpu")
_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
_CONTENT: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.+!-]+)")


class NotReleasable(Exception):
    """The release cannot be made; the message says what to do."""


def versions(root: Path = ROOT) -> dict[str, str]:
    """Return the version that each part of the tree states, by file."""

    def read(name: str) -> str:
        return (root / name).read_text("utf-8")

    python = r'^__version__ = "(.+)"'
    found = {
        "pyproject.toml": tomllib.loads(read("pyproject.toml"))["project"]["version"],
        **{
            name: (re.findall(python, read(name), re.MULTILINE) or ["none"])[0]
            for name in ("service/__init__.py", "clients/python/src/finetuned/_version.py")
        },
        **{
            f"clients/{name}/package.json": json.loads(read(f"clients/{name}/package.json"))[
                "version"
            ]
            for name in ("typescript", "console")
        },
        "service/console/static": json.loads(read("service/console/static/_app/version.json"))[
            "version"
        ],
        "openapi.json": json.loads(read("openapi.json"))["info"]["version"],
    }
    chart = yaml.safe_load(read(f"{CHART}/Chart.yaml"))
    return {**found, "Chart.yaml": chart["version"], "Chart.yaml appVersion": chart["appVersion"]}


def notes(changelog: str, version: str) -> str:
    """Return the dated section of a version. Raises NotReleasable."""
    start = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n", changelog, re.MULTILINE
    )
    if start is None:
        raise NotReleasable(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD': write it")
    section, _, _ = changelog[start.end() :].partition("\n## ")
    return section.strip() + "\n"


def check(version: str, root: Path = ROOT) -> None:
    """Check what a release needs of the tree. Raises NotReleasable."""
    if changed := _git(root, "status", "--porcelain"):
        raise NotReleasable(f"the tree is not clean: commit or remove {changed.split()[1]}")
    if others := {name: found for name, found in versions(root).items() if found != version}:
        listed = ", ".join(f"{name} has {found}" for name, found in others.items())
        raise NotReleasable(f"not all parts have version {version}: {listed}")
    if _git(root, "tag", "--list", f"v{version}"):
        raise NotReleasable(f"the tag v{version} exists: raise the version")
    notes((root / "CHANGELOG.md").read_text("utf-8"), version)


def save_contract(version: str) -> None:
    """Save openapi.json and this version's records, which later versions are tested with."""
    folder = ROOT / "docs" / "openapi"
    shutil.rmtree(folder, ignore_errors=True)  # only the last release is compared with
    folder.mkdir()
    shutil.copy(ROOT / "openapi.json", folder / f"{version}.json")
    _run(sys.executable, "-m", "tests.upgrade.write")
    if _git(ROOT, "status", "--porcelain"):
        _git(ROOT, "add", "docs/openapi", "tests/upgrade/data")
        _git(ROOT, "commit", "--quiet", "-m", f"Release {version}")


def build_wheels(source: Path, output: Path, epoch: str) -> None:
    """Build the wheels of a source tree with the installed build backend."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    for name in PACKAGES:
        package = [str(source / name), "--no-build-isolation", "--wheel-dir", str(output)]
        subprocess.run([*command, *package], check=True, env=env)


def build_chart(source: Path, output: Path, epoch: str) -> Path:
    """Package the chart in the form that `helm package` writes, without the time of the build."""
    chart = source / CHART
    meta = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    helm = helm_folder(4) / "helm"
    _run(
        str(helm), "package", str(chart), "--destination", str(output), "--version", meta["version"]
    )
    packed = output / f"{meta['name']}-{meta['version']}.tgz"
    with tarfile.open(packed) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
    write_tar(packed, files, int(epoch))
    return packed


def write_tar(path: Path, files: dict[str, bytes], epoch: int) -> None:
    """Write a compressed archive whose bytes depend only on the arguments."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=epoch, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        # `helm` wants Chart.yaml first.
        for name in sorted(files, key=lambda name: (not name.endswith("/Chart.yaml"), name)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(files[name]), epoch, 0o644
            archive.addfile(info, io.BytesIO(files[name]))


def write_oci_layout(chart: Path, folder: Path) -> str:
    """Write a packaged chart as an OCI layout, for skopeo and oras. Returns its digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    with tarfile.open(chart) as archive:
        meta = yaml.safe_load(archive.extractfile("finetuned/Chart.yaml").read())  # type: ignore[union-attr]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": add(json.dumps(meta).encode(), _CONFIG),
        "layers": [add(chart.read_bytes(), _CONTENT)],
    }
    tag = {"org.opencontainers.image.ref.name": meta["version"]}
    entry = add(json.dumps(manifest).encode(), _MANIFEST, annotations=tag)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(entry["digest"])


def bill_of_materials(version: str, root: Path = ROOT) -> dict[str, Any]:
    """Return the packages of all locks in CycloneDX. Each image has one of its own."""
    pinned = {
        (match[1].lower(), match[2])
        for lock in sorted((root / "requirements" / "locks").glob("*.txt"))
        for line in lock.read_text("utf-8").splitlines()
        if (match := _PINNED.match(line))
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "finetuned", "version": version}},
        "components": [
            {"type": "library", "name": name, "version": at, "purl": f"pkg:pypi/{name}@{at}"}
            for name, at in sorted(pinned)
        ],
    }


def pack_client(output: Path) -> None:
    """Pack the TypeScript client. npm writes no time of the build."""
    client = built(ROOT / "clients" / "typescript")
    npm("pack", "--pack-destination", str(output), cwd=client)


def require_builder() -> None:
    """Check what --images needs. Raises NotReleasable."""
    if shutil.which("buildah") is None:
        raise NotReleasable("--images needs buildah, which reports the digests of images")
    if not os.environ.get("PREFIX"):
        raise NotReleasable("--images needs a registry, such as PREFIX=registry.example.com/team/")


def build_images(version: str) -> list[str]:
    """Build the images and return their names. Raises NotReleasable."""
    env = {**os.environ, "BUILDER": "buildah"}
    try:
        subprocess.run(["scripts/images.sh", *_IMAGES], check=True, cwd=ROOT, env=env)
    except subprocess.CalledProcessError as e:
        raise NotReleasable("the images cannot be built; buildah has printed the cause") from e
    return [f"{os.environ['PREFIX']}finetuned-{image}:{version}" for image in _IMAGES]


def push_image(name: str) -> str:
    """Push an image to its registry and return `NAME@DIGEST`. Compression changes the digest."""
    with tempfile.NamedTemporaryFile() as digest:
        _run("buildah", "push", "--quiet", "--digestfile", digest.name, name, f"docker://{name}")
        return f"{name}@{Path(digest.name).read_text().strip()}"


def write(version: str, output: Path, *, key: Path | None, digests: Sequence[str] = ()) -> None:
    """Write the folder of a release from the current commit. Raises NotReleasable."""
    if output.exists() and any(output.iterdir()):
        raise NotReleasable(f"{output} is not empty: name another folder")
    output.mkdir(parents=True, exist_ok=True)
    epoch = _git(ROOT, "log", "-1", "--format=%ct")
    with tempfile.TemporaryDirectory() as place:
        source, again = Path(place, "source"), Path(place, "again")
        source.mkdir()
        again.mkdir()
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(source)], check=True, input=archive)
        for folder in (output, again):
            build_wheels(source, folder, epoch)
            chart = build_chart(source, folder, epoch)
            pack_client(folder)
        for file in sorted(again.iterdir()):
            if file.read_bytes() != (output / file.name).read_bytes():
                raise NotReleasable(f"{file.name} is not reproducible: two builds differ")
        digest = write_oci_layout(output / chart.name, Path(place, "oci"))
        oci = {
            str(file.relative_to(Path(place, "oci"))): file.read_bytes()
            for file in Path(place, "oci").rglob("*")
            if file.is_file()
        }
        write_tar(output / f"{chart.stem}.oci.tar.gz", oci, int(epoch))
    text = notes((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    lines = [f"chart finetuned:{version}@{digest}", *digests]
    (output / "DIGESTS").write_text("\n".join(lines) + "\n")
    (output / "NOTES.md").write_text(f"# finetuned {version}\n\n{text}")
    sbom = json.dumps(bill_of_materials(version), indent=1)
    (output / "sbom.json").write_text(sbom + "\n")
    sums = output / "SHA256SUMS"
    sums.write_text("".join(_sums(output)))
    if key is not None:
        sums.with_suffix(".sig").write_bytes(from_file(key).sign_bytes(sums.read_bytes()))


def _sums(folder: Path) -> Iterator[str]:
    for file in sorted(folder.iterdir()):
        yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _git(root: Path, *words: str) -> str:
    return _output("git", "-C", str(root), *words)


def main() -> None:
    """Make a release."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "release")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="Ed25519 private key, PEM")
    parser.add_argument("--images", action="store_true", help="build images and push them")
    parser.add_argument("--dry-run", action="store_true", help="neither commit, tag nor push")
    given = parser.parse_args()
    try:
        check(given.version)
        if given.images:
            require_builder()
        _run(sys.executable, "-m", "pytest", "-q", "tests/upgrade")
        if not given.dry_run:
            save_contract(given.version)
        names = build_images(given.version) if given.images else []
        digests = [] if given.dry_run else [push_image(name) for name in names]
        write(given.version, given.output, key=given.sign, digests=digests)
    except NotReleasable as e:
        sys.exit(f"release: {e}")
    if not given.dry_run:
        _git(ROOT, "tag", "--annotate", f"v{given.version}", "-m", f"finetuned {given.version}")
    sys.stdout.write(
        f"finetuned {given.version} is in {given.output}\n"
        "next: push the tag, the wheels, the images and the chart, and publish NOTES.md\n"
    )


if __name__ == "__main__":
    main()
