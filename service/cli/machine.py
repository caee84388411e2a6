"""Checks of this machine that show before the first hour what would fail in it.

`doctor` runs them. What only GPUs need is checked only on a machine that has one.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from service.config import GIB, MIB
from service.diagnostics.checks import Finding, nearest_folder
from service.fleet.nvml import Gpu

_SBOM = Path("/sbom.json")
_COMPILERS = ("cc", "gcc", "clang")
# Folders of compiled kernels, with the place that is used if the variable is not set.
_CACHES: Final = {
    "TRITON_CACHE_DIR": "~/.triton",
    "TORCHINDUCTOR_CACHE_DIR": "{tmp}",
    "VLLM_CACHE_ROOT": "~/.cache/vllm",
}
_MIN_SHARED_BYTES = GIB
_SYNCS, _BLOCK = 20, b"\0" * 4096
_SLOW_SYNC_MS = 20.0
_WRITE_BYTES, _SLOW_WRITE_MIB_S = 64 * MIB, 50
_UNSYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)


def image_role() -> str | None:
    """Return which of our container images this process runs in, or None if in none."""
    if not _SBOM.is_file():
        return None
    has = importlib.util.find_spec
    return "inference" if has("vllm") else "worker" if has("torch") else "api"


def examine_machine(gpus: Sequence[Gpu], folder: Path) -> list[Finding]:
    """Run all checks. `folder` is for the service's data; it need not exist."""
    headers = Path(sysconfig.get_paths()["include"])
    return [
        *([compiler(os.environ.get("PATH"), headers)] if gpus else []),
        noexec(cache_folders(os.environ)),
        shared_memory(Path("/dev/shm"), len(gpus)),  # noqa: S108 - its size is read
        *disk_speed(folder),
        *clock(clock_state()),
    ]


def compiler(path: str | None, headers: Path) -> Finding:
    """Check that Triton can compile the launchers of its kernels, which it does on first use.

    `path` is a PATH, and `headers` the folder of Python's headers.
    """
    name = "C compiler"
    program = shutil.which(os.environ.get("CC", ""), path=path) or next(
        filter(None, (shutil.which(each, path=path) for each in _COMPILERS)), None
    )
    why = "which Triton needs for its kernels when an engine or a training starts"
    if program is None:
        found, how = f"none found, {why}", "apt install gcc libc6-dev"
        return Finding("missing", name, found, how, "compiler_missing")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "launcher.c")
        source.write_text("#include <Python.h>\n", "ascii")
        flags = ["-shared", "-fPIC", f"-I{headers}", "-o", f"{folder}/launcher.so"]
        done = subprocess.run(
            [program, str(source), *flags], capture_output=True, text=True, check=False
        )
    if done.returncode == 0:
        return Finding("ok", name, f"{program}, with Python's headers", code="compiler_ok")
    error = next((line for line in done.stderr.splitlines() if "error" in line), "it fails")
    found = f"{program} compiles nothing against Python, {why}: {error.strip()}"
    how = f"apt install libc6-dev python{sysconfig.get_python_version()}-dev"
    return Finding("missing", name, found, how, "compiler_fails")


def cache_folders(environ: Mapping[str, str]) -> dict[str, Path]:
    """Return the folders from which compiled code is loaded, by variable."""
    tmp = tempfile.gettempdir()
    return {
        name: Path(environ.get(name) or usual.format(tmp=tmp)).expanduser()
        for name, usual in _CACHES.items()
    }


def noexec(folders: Mapping[str, Path]) -> Finding:
    """Check that compiled kernels can be loaded from the folders in which they are written."""
    name = "caches of kernels"
    for variable, folder in folders.items():
        place = nearest_folder(folder)
        if os.statvfs(place).f_flag & os.ST_NOEXEC:
            found = f"{folder} is mounted with noexec, so compiled kernels cannot be loaded from it"
            how = f"mount it with exec ('--tmpfs /tmp:exec' in Docker), or set {variable}"
            return Finding("missing", name, found, how, "cache_noexec")
    places = sorted({str(nearest_folder(folder)) for folder in folders.values()})
    return Finding("ok", name, f"code can be loaded from {', '.join(places)}", code="cache_exec")


def shared_memory(folder: Path, gpus: int) -> Finding:
    """Check the memory with which the processes of engines and trainings exchange data."""
    name = "shared memory"
    if not folder.is_dir():
        how = "mount a tmpfs there"
        return Finding("missing", name, f"there is no {folder}", how, "shared_memory_missing")
    sizes = os.statvfs(folder)
    size = sizes.f_frsize * sizes.f_blocks
    text = f"{size / GIB:.1f} GiB at {folder}"
    if size >= _MIN_SHARED_BYTES:
        return Finding("ok", name, text, code="shared_memory_ok")
    found = f"{size // MIB} MiB at {folder}; engines and trainings on several GPUs need 1 GiB"
    how = "'--shm-size 2g' in Docker; in Kubernetes, an emptyDir with medium Memory"
    return Finding("missing" if gpus > 1 else "note", name, found, how, "shared_memory_small")


def disk_speed(folder: Path) -> list[Finding]:
    """Measure how fast a folder's disk writes and syncs; nothing if it cannot be written."""
    place = nearest_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            syncs = [_sync_ms(file.fileno()) for _ in range(_SYNCS)]
            began = time.monotonic()
            for _ in range(_WRITE_BYTES // MIB):
                file.write(b"\0" * MIB)
            os.fsync(file.fileno())
            mib_s = _WRITE_BYTES / MIB / (time.monotonic() - began)
    except OSError:
        return []  # another check says that the folder cannot be written, or is full
    return [judge_disk(place, statistics.median(syncs), mib_s)]


def _sync_ms(descriptor: int) -> float:
    began = time.monotonic()
    os.write(descriptor, _BLOCK)
    os.fsync(descriptor)
    return (time.monotonic() - began) * 1000


def judge_disk(place: Path, sync_ms: float, mib_s: float) -> Finding:
    """Judge the measured speed of a disk."""
    name = "disk speed"
    text = f"{sync_ms:.1f} ms to sync a write, {mib_s:.0f} MiB/s at {place}"
    if sync_ms > _SLOW_SYNC_MS:
        found = f"{text}; every change of a record waits for a sync"
        how = "keep the records on a local SSD, not on a network file system"
        return Finding("note", name, found, how, "disk_sync_slow")
    if mib_s < _SLOW_WRITE_MIB_S:
        how = "models and checkpoints have gigabytes: use a faster disk"
        return Finding("note", name, text, how, "disk_slow")
    return Finding("ok", name, text, code="disk_speed_ok")


def clock_state() -> int:
    """Return the state of the kernel's clock, as adjtimex(2) does; -1 if it cannot be read."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256)))
    except (OSError, AttributeError):  # not Linux
        return -1


def clock(state: int) -> list[Finding]:
    """Check that something keeps the clock right."""
    if state < 0:
        return []
    if state == _UNSYNCHRONIZED:
        found = (
            "nothing keeps it right, as far as the kernel knows; leases, sign-in and S3 fail if "
            "machines differ by minutes"
        )
        how = "start chrony or systemd-timesyncd on the host"
        return [Finding("note", "clock", found, how, "clock_unsynchronized")]
    return [Finding("ok", "clock", "synchronized", code="clock_ok")]
