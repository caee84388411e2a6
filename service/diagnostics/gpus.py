"""Checks that this process can compute on the machine's GPUs, each with how to fix what is wrong.

`doctor` runs them, and so do a worker before it takes trainings and the installation of a server.
Nothing here imports torch.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from service.diagnostics.checks import Finding, Level
from service.fleet import nvml
from service.fleet.capacity import driver_version, installed_gpus, visible
from service.fleet.nvml import NO_BINDINGS, Gpu, Report

# By major version of the CUDA that torch is built for: the oldest driver, and the oldest GPUs.
_OLDEST_DRIVER: Final = {13: 580, 12: 525}
_OLDEST_GPU: Final = {13: (7, 5), 12: (7, 0)}
_CUDA = re.compile(r"^cuda\b[^=]*= '(\d+)\.(\d+)'", re.MULTILINE)
_PCI: Final = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", "0x03"  # vendor and class of a PCI device
_ON_PURPOSE: Final = "to train on the CPU on purpose, set CUDA_VISIBLE_DEVICES to an empty text"
_NEVER_INSTALLED: Final = "NVML Shared Library Not Found"
# By words of NVML's error: what its cause usually is, and how to fix it.
_HOW_TO_FIX: Final[Mapping[str, str]] = {
    "mismatch": "the driver was upgraded while it was in use: restart the machine",
    "Driver Not Loaded": "load it with 'modprobe nvidia'; after a new kernel, install the driver "
    "again (DKMS)",
    _NEVER_INSTALLED: "in a container, use NVIDIA's runtime with NVIDIA_DRIVER_CAPABILITIES="
    "compute,utility; on a host, install the driver's libraries",
    NO_BINDINGS: "pip install nvidia-ml-py",
    "lost": "see 'dmesg | grep Xid'; reset it with 'nvidia-smi --gpu-reset' or restart the "
    "machine; if it happens again, check its power supply, slot and temperature",
    "requires restart": "reset it with 'nvidia-smi --gpu-reset' or restart the machine",
}


def check(environ: Mapping[str, str] = os.environ, pci: Path = _PCI) -> list[Finding]:
    """Run all checks for the GPUs that this process may use, or should be able to."""
    if environ.get("CUDA_VISIBLE_DEVICES") == "":
        return []  # the CPU was chosen
    report, cuda = nvml.report(), torch_cuda()
    installed = list(report.gpus) or installed_gpus()
    gpus = visible(installed, environ.get("CUDA_VISIBLE_DEVICES"))
    if not gpus:
        return [] if cuda is None else no_driver(pci, report)
    return [
        *driver(report.driver or driver_version(), cuda, driver_cuda()),
        *compute_capability(gpus, cuda),
        *library(report),
        *faults(gpus),
        *slices(installed, environ),
    ]


def require_usable() -> None:
    """Exit this process if its machine has a GPU that trainings could not use.

    They would otherwise fail one after another, or be planned for the CPU.
    """
    for finding in check():
        if finding.level == "missing":
            sys.exit(
                f"finetuned-server: {finding.what}: {finding.found}. To fix it: {finding.how}; "
                f"{_ON_PURPOSE}"
            )


def torch_cuda() -> tuple[int, int] | None:
    """Return the version of CUDA that torch was built for; None without torch, or for CPUs."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    match = _CUDA.search((Path(spec.origin).parent / "version.py").read_text("utf-8"))
    return (int(match[1]), int(match[2])) if match else None


def no_driver(pci: Path, report: Report) -> list[Finding]:
    """Check whether the machine has an NVIDIA GPU although its driver shows none."""
    if not _has_nvidia(pci):
        return []
    is_installed = report.fault not in (None, _NEVER_INSTALLED, NO_BINDINGS)
    found = f"it shows no GPU (NVML: {report.fault})"
    how = _how_to_fix(report.fault or "Driver Not Loaded")
    if is_installed:
        return [Finding("missing", "GPU driver", found, how, "gpu_driver_fails")]
    found = "this machine has an NVIDIA GPU without its driver: the CPU is used"
    return [Finding("note", "GPU driver", found, how, "gpu_driver_missing")]


def _has_nvidia(pci: Path) -> bool:
    for device in pci.glob("*"):
        try:
            vendor, kind = ((device / name).read_text("ascii") for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor.startswith(_NVIDIA) and kind.startswith(_DISPLAY):
            return True
    return False


def driver_cuda() -> int | None:
    """Return the major version of CUDA that the driver's library supports; None without one.

    NVIDIA's forward-compatibility packages bring a newer one for an older driver.
    """
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed or version.value < 1000 else version.value // 1000


def driver(
    version: str | None, cuda: tuple[int, int] | None, supported: int | None = None
) -> list[Finding]:
    """Check that the driver is recent enough for torch, which otherwise finds no GPU.

    `supported` is the major version of CUDA that the driver's library supports, if known.
    """
    if importlib.util.find_spec("torch") is not None and cuda is None:
        found = "torch is built for CPUs, so that nothing here uses the GPU"
        how = "install PyPI's torch: delete .venv and run 'make install'"
        return [Finding("missing", "CUDA", found, how, "torch_without_cuda")]
    if cuda is None or version is None:
        return []
    oldest = _OLDEST_DRIVER.get(cuda[0], max(_OLDEST_DRIVER.values()))
    needs = f"{version}; torch is built for CUDA {cuda[0]}.{cuda[1]}"
    if int(version.partition(".")[0]) >= oldest or (supported or 0) >= cuda[0]:
        return [Finding("ok", "GPU driver", needs, code="gpu_driver_ok")]
    found = f"{needs}, which needs {oldest} or later and otherwise finds no GPU"
    how = (
        f"install NVIDIA's driver {oldest} on the host; for GPUs of data centers, the package "
        f"cuda-compat-{cuda[0]}-{cuda[1]} also serves with some older drivers"
    )
    return [Finding("missing", "GPU driver", found, how, "gpu_driver_old")]


def compute_capability(gpus: Sequence[Gpu], cuda: tuple[int, int] | None) -> list[Finding]:
    """Check that torch has kernels for these GPUs."""
    if cuda is None:
        return []
    oldest = _OLDEST_GPU.get(cuda[0], max(_OLDEST_GPU.values()))
    old = [gpu for gpu in gpus if gpu.capability is not None and gpu.capability < oldest]
    if not old:
        return []
    one = old[0]
    assert one.capability is not None
    found = (
        f"{one.name} has {_dotted(one.capability)}, and torch for CUDA {cuda[0]} has kernels from "
        f"{_dotted(oldest)} on (T4 and RTX 20)"
    )
    how = "leave it out with CUDA_VISIBLE_DEVICES, or use a newer GPU"
    return [Finding("missing", "compute capability", found, how, "gpu_too_old")]


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def library(report: Report) -> list[Finding]:
    """Check that NVML works where there is a GPU: plans, metrics and faults come from it."""
    if report.fault is None:
        return []
    how = _how_to_fix(report.fault)
    level: Level = "note" if report.fault == NO_BINDINGS else "missing"
    return [Finding(level, "NVML", report.fault, how, "nvml_fails")]


def faults(gpus: Sequence[Gpu]) -> list[Finding]:
    """Check that no GPU has failed, and that none is slowed by heat or its power supply."""
    findings = []
    for gpu in gpus:
        if gpu.fault is not None:
            how = f"{_how_to_fix(gpu.fault)}; or name the others in CUDA_VISIBLE_DEVICES by UUID"
            findings.append(Finding("missing", gpu.name, gpu.fault, how, "gpu_fault"))
        elif gpu.is_slowed:
            found = "it lowers its clocks because of heat or its power supply"
            how = "see 'nvidia-smi -q -d PERFORMANCE': check fans, air flow and power cables"
            findings.append(Finding("note", gpu.name, found, how, "gpu_slowed"))
    return findings


def slices(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> list[Finding]:
    """Say that a process uses one slice only, if a GPU is divided into several (MIG)."""
    parts = [one.uuid for gpu in gpus for one in gpu.slices]
    if len(parts) < 2 or environ.get("CUDA_VISIBLE_DEVICES", "").startswith(nvml.SLICE):
        return []
    found = f"{len(parts)} slices (MIG); CUDA shows a process the first one only, which is used"
    how = f"to use another, start each worker and engine with CUDA_VISIBLE_DEVICES={parts[1]}"
    return [Finding("note", "GPU slices", found, how, "gpu_slices")]


def _how_to_fix(fault: str) -> str:
    found = (how for words, how in _HOW_TO_FIX.items() if words.lower() in fault.lower())
    return next(found, "see 'nvidia-smi' and 'dmesg'")


if __name__ == "__main__":
    for one in check():
        print(one)  # noqa: T201
