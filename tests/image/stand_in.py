"""A local replacement for `python:3.11-slim-trixie`, for machines without an image registry.

Debian from debootstrap, slimmed like Debian's own slim image, with the running Python in
/usr/local, where the official image has it. For the Dockerfile, it is the same: the same Debian,
Python, pip and setuptools, and a shell.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "docker.io/library/python:3.11-slim-trixie"
_DEBIAN = "trixie"
_SOURCES = Path("/etc/apt")
# Libraries that Python's modules link to, and further packages of the official image.
_PACKAGES = (
    "ca-certificates,libbz2-1.0,libexpat1,libffi8,libgdbm6t64,liblzma5,libncursesw6,"
    "libreadline8t64,libsqlite3-0,libssl3t64,libuuid1,netbase,tzdata,zlib1g"
)
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Debian's slim image has none of these.
_SLIMMED = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
    *("var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log"),
)
# Files over which something is mounted when a container starts.
_MOUNT_POINTS = ("etc/hosts", "etc/hostname", "etc/resolv.conf")


def missing() -> str | None:
    """Return why the replacement cannot be built here; None if it can."""
    if sys.version_info[:2] != (3, 11) or Path(sys.base_prefix) == Path("/usr"):
        return "needs a Python 3.11 of its own folder, not the system's"
    return None


def mirror(sources: Path = _SOURCES) -> str:
    """Return the address from which apt of this machine gets Debian. Raises LookupError.

    Reads both formats: lines such as `deb [options] URI SUITE …`, and paragraphs with `URIs:` and
    `Suites:`.
    """
    lists = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*.list"))]
    found = [
        (uri, [suite])
        for file in lists
        if file.exists()
        for uri, suite in re.findall(
            r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", file.read_text(), re.MULTILINE
        )
    ]
    for file in sorted((sources / "sources.list.d").glob("*.sources")):
        for paragraph in re.split(r"\n\s*\n", file.read_text()):
            fields = dict(
                re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE)
            )
            suites = fields.get("Suites", "").split()
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
                found += [(uri, suites) for uri in fields.get("URIs", "").split()]
    for uri, suites in found:
        if _DEBIAN in suites:
            return uri
    raise LookupError(f"apt has no source of Debian {_DEBIAN} in {sources}: add one")


def make(rootfs: Path) -> None:
    """Write the image's file system to `rootfs`, which must not exist."""
    part = rootfs.with_name(f"{rootfs.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _DEBIAN, part, mirror()],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for name in _SLIMMED:
        shutil.rmtree(part / name, ignore_errors=True)
        (part / name).mkdir(parents=True)
    for name in _MOUNT_POINTS:
        (part / name).unlink(missing_ok=True)
        (part / name).touch()
    shutil.copy(CA_BUNDLE, part / "etc/ssl/certs")
    _put_python(part)
    part.rename(rootfs)


def _put_python(rootfs: Path) -> None:
    """Copy this Python, without the parts that the official image omits."""
    ours, there, name = Path(sys.base_prefix), rootfs / "usr/local", "python3.11"
    skipped = shutil.ignore_patterns(
        "__pycache__", "site-packages", "test", "tests", "idlelib", "config-3.11-*", "*.a"
    )
    shutil.copytree(ours / "lib" / name, there / "lib" / name, ignore=skipped)
    (there / "lib" / name / "site-packages").mkdir()
    shutil.copytree(ours / "include" / name, there / "include" / name)
    shutil.copy(ours / "bin" / name, there / "bin")
    for library in (ours / "lib").glob("libpython3.11.so*"):
        shutil.copy(library, there / "lib", follow_symlinks=False)
    for link in ("python3", "python"):
        (there / "bin" / link).symlink_to(name)
    for command in (["ldconfig"], ["python3", "-m", "ensurepip"]):
        subprocess.run(["chroot", rootfs, *command], check=True, stdout=subprocess.DEVNULL)
