"""Builds the images without a container daemon or a registry.

    python -m tests.image.build [TARGET …]

buildah runs the build steps in a chroot. Everything is kept in .cache/image, so a second build
reuses what has not changed. The build itself is scripts/images.sh, as for everyone.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.image import stand_in

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".cache" / "image"
TOOLS = ("buildah", "debootstrap", "unshare", "nsenter", "setpriv")
TARGETS = ("api", "worker-cpu", "inference-cpu", "inference")
VLLM_STAND_IN = "localhost/finetuned-vllm-cpu"
_PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "constraint")


def missing() -> str | None:
    """Return what this machine lacks to build images; None if nothing is missing."""
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0:
        return "not root, which mounts and debootstrap need"
    return stand_in.missing()


def version() -> str:
    """Return the version with which the images are tagged."""
    from service import __version__

    return __version__


def environment() -> dict[str, str]:
    """Return the environment for buildah: its own storage, and build steps in a chroot."""
    CACHE.mkdir(parents=True, exist_ok=True)
    config = CACHE / "storage.conf"
    config.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{CACHE}/storage"\nrunroot = "{CACHE}/run"\n',
        "utf-8",
    )
    return os.environ | {
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_STORAGE_CONF": str(config),
        "BUILDER": "buildah",
    }


def buildah(*words: str | Path) -> str:
    """Run a buildah command and return its output."""
    done = subprocess.run(
        ["buildah", *words], env=environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def build(targets: Sequence[str] = TARGETS) -> None:
    """Build images and their base images."""
    _base()
    if plain := [target for target in targets if target != "inference"]:
        _images(plain)
    if "inference" in targets:
        # vLLM's own image is for GPUs, so the CPU build of the same version replaces it.
        _images(["vllm-cpu"])
        _images(["inference"], f"--build-arg=VLLM_IMAGE={VLLM_STAND_IN}:{version()}")


def _base() -> None:
    if any(stand_in.NAME in (image.get("names") or []) for image in _images_here()):
        return
    rootfs = CACHE / "rootfs"
    if not rootfs.exists():
        stand_in.make(rootfs)
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, rootfs, "/")
    path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    buildah("config", "--env", path, "--cmd", "python3", container)
    buildah("commit", "--quiet", "--rm", "--format", "docker", container, stand_in.NAME)


def _images_here() -> list[dict[str, Any]]:
    return json.loads(buildah("images", "--json") or "[]") or []


def _images(targets: Sequence[str], *flags: str) -> None:
    more = [*flags, "--pull=never", *limits(), *_package_sources(), *_torch()]
    env = environment() | {"FLAGS": " ".join(more), "PREFIX": "localhost/"}
    subprocess.run([ROOT / "scripts" / "images.sh", *targets], env=env, check=True)


def _torch() -> list[str]:
    """Use this machine's CPU build of torch if pip finds it in a folder."""
    for folder in _pip_settings().get("find-links", "").split():
        if any(Path(folder).glob("torch-*+cpu-*.whl")):
            words = [sys.executable, "-m", "scripts.locks", "--torch-index", folder]
            subprocess.run(words, cwd=ROOT, check=True)
            return ["--build-arg=TORCH_LOCK=-cpu"]
    return []


def limits() -> list[str]:
    """Lower the limits that buildah requests, because the chroot cannot have higher ones."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}"]


def _package_sources() -> list[str]:
    """Use the package sources of this machine's pip, including folders."""
    lines, folders = ["[global]", f"cert = {stand_in.CA_BUNDLE}"], set()
    for setting, value in _pip_settings().items():
        lines.append(f"{setting} = {value}")
        for path in map(Path, value.split()):
            if path.is_absolute() and path.exists():
                folders.add(path if path.is_dir() else path.parent)
    mounts = [f"--volume={folder}:{folder}:ro" for folder in sorted(folders)]
    config = CACHE / "pip.conf"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    return [f"--secret=id=pip,src={config}", *mounts]


def _pip_settings() -> dict[str, str]:
    """Return pip's settings from files and the environment. The environment takes precedence."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    found: dict[str, str] = {}
    for line in sorted(told.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        if (setting := name.rpartition(".")[2]) in _PIP_SETTINGS:
            found[setting] = ast.literal_eval(value)
    return found


if __name__ == "__main__":
    if why := missing():
        sys.exit(f"images cannot be built here: {why}")
    build(sys.argv[1:] or TARGETS)
