"""Training capacity of this machine, detected without torch.

GPUs are queried through NVML (if `nvidia-ml-py` is installed), then through `nvidia-smi`, and
finally looked up in /proc, which does not report their memory. Without a GPU, the memory is that of
the machine, or of the container if its cgroup has a limit.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from service.fleet import nvml
from service.fleet.nvml import Gpu
from service.fleet.workers import Capacity
from service.training.model.shape import cpu_has_bf16

log = logging.getLogger(__name__)
_MIB = 1024 * 1024
_QUERY = ("--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")


def measure(environ: Mapping[str, str] = os.environ) -> Capacity:
    """Return the capacity of this machine for a worker. Honors CUDA_VISIBLE_DEVICES.

    Can take several seconds if a driver is slow to wake.
    """
    gpus = own_gpus(environ)
    memories = [gpu.memory_bytes for gpu in gpus if gpu.memory_bytes is not None]
    if not gpus:
        return Capacity(
            device="cpu",
            device_name=_processor(),
            gpus=0,
            memory_bytes=memory_bytes(),
            has_bf16=cpu_has_bf16(),
        )
    return Capacity(
        device="cuda",
        device_name=gpus[0].name,
        gpus=len(gpus),
        memory_bytes=min(memories, default=None),
        host_memory_bytes=memory_bytes(),
        has_bf16=all_have_bf16(gpus),
    )


def all_have_bf16(gpus: Sequence[Gpu]) -> bool | None:
    """Return whether all of these GPUs compute in bfloat16. None if unknown."""
    found = {gpu.has_bf16 for gpu in gpus}
    return False if False in found else None if None in found else True


def capability() -> tuple[int, int] | None:
    """Return the lowest compute capability of this process's GPUs; None if unknown."""
    return min((gpu.capability for gpu in own_gpus() if gpu.capability), default=None)


def own_gpus(environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Return the GPUs that this process may use."""
    return visible(installed_gpus(), environ.get("CUDA_VISIBLE_DEVICES"))


def device_names(count: int) -> list[str]:
    """Return the first GPUs of this process as values for a child's CUDA_VISIBLE_DEVICES."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in chosen.split(",")][:count]


def installed_gpus() -> list[Gpu]:
    """Return all NVIDIA GPUs that the driver exposes to this process."""
    return (
        list(nvml.report().gpus)
        or _query_nvidia_smi()
        or read_proc(Path("/proc/driver/nvidia/gpus"))
    )


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver, such as 580.65.06, or None if there is none."""
    if (version := nvml.report().driver) is not None:
        return version
    try:
        text = Path("/proc/driver/nvidia/version").read_text("utf-8", "replace")
    except OSError:
        return None
    return parse_driver_version(text)


def parse_driver_version(text: str) -> str | None:
    """Find the version in the driver's /proc file."""
    found = re.search(r"^NVRM version:.*?\s(\d{3}(?:\.\d+)+)", text, re.MULTILINE)
    return found[1] if found else None


def visible(gpus: Sequence[Gpu], chosen: str | None) -> list[Gpu]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES allows, up to its first invalid index or UUID.

    A process sees only one slice (MIG), and then no other GPU.
    """
    kept = list(gpus) if chosen is None else _chosen(gpus, chosen)
    first = next((one for gpu in kept for one in gpu.slices), None)
    if first is None:
        first = next((gpu for gpu in kept if gpu.uuid.startswith(nvml.SLICE)), None)
    return kept if first is None else [first]


def _chosen(gpus: Sequence[Gpu], names: str) -> list[Gpu]:
    kept: list[Gpu] = []
    for name in (part.strip() for part in names.split(",") if gpus):
        if name.startswith(nvml.SLICE):
            found = [one for gpu in gpus for one in gpu.slices if one.uuid.startswith(name)]
            found = found or [Gpu(name, f"{gpus[0].name} (MIG)", None)]  # NVML is missing
        elif name.startswith("GPU-"):  # CUDA accepts a UUID prefix
            found = [gpu for gpu in gpus if gpu.uuid.startswith(name)]
        else:
            found = [gpu for i, gpu in enumerate(gpus) if name == str(i)]
        if len(found) != 1:
            break
        kept += found
    return kept


def memory_bytes(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return this process's RAM: the machine's total or its lowest cgroup (v2) limit."""
    limits = [psutil.virtual_memory().total]
    for folder in (cgroups / _own_cgroup(), *(cgroups / _own_cgroup()).parents):
        if folder.is_relative_to(cgroups):
            try:
                limits.append(int((folder / "memory.max").read_text("ascii")))
            except (OSError, ValueError):  # no such file at the root; "max" without a limit
                continue
    return min(limits)


def parse_nvidia_smi(text: str) -> list[Gpu]:
    """Parse the output of `nvidia-smi --query-gpu=uuid,name,memory.total`, in MiB without unit."""
    gpus = []
    for line in text.strip().splitlines():
        uuid, name, mib = (part.strip() for part in line.split(","))
        # The value is "[N/A]" on GPUs that share the machine's memory.
        gpus.append(Gpu(uuid, name, int(mib) * _MIB if mib.isdigit() else None))
    return gpus


def read_proc(folder: Path) -> list[Gpu]:
    """Read GPUs from the driver's /proc folder: one subfolder each, with a file `information`."""
    gpus = []
    for path in sorted(folder.glob("*/information")):
        lines = (line.partition(":") for line in path.read_text("utf-8", "replace").splitlines())
        fields = {key.strip(): value.strip() for key, _, value in lines}
        gpus.append(Gpu(fields.get("GPU UUID", ""), fields.get("Model", "NVIDIA GPU"), None))
    return gpus


def _query_nvidia_smi() -> list[Gpu]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run(
            [tool, *_QUERY], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as e:
        log.warning("nvidia-smi fails: %s", type(e).__name__)
        return []
    return parse_nvidia_smi(done.stdout)


def _own_cgroup() -> str:
    """Return this process's cgroup path below the mount; empty in a container."""
    try:
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
    except OSError:
        return ""
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
