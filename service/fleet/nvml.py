"""NVIDIA's management library (NVML): which GPUs there are, how they are used, and what ails them.

A GPU can fail while the others work: it falls off the bus (Xid 79), or must be reset. NVML then
refuses each question about it, which is reported as its `fault`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.core import metrics
from service.core.metric_types import Gauge

log = logging.getLogger(__name__)
_BF16_CAPABILITY = (8, 0)
_TIMEOUT_S = 2.0  # a driver may hang, and must not block a scrape or a lease
_HANGS_AFTER_S = 60.0  # a driver without persistence mode may need seconds to wake a GPU
# Clocks that are lowered because of heat, or by the power supply. A power limit of the GPU itself
# also lowers them, but that is how it works under load.
_SLOWED: Final = 0x8 | 0x20 | 0x40 | 0x80
NO_BINDINGS: Final = "nvidia-ml-py is not installed"
SLICE: Final = "MIG-"
"""How the UUID of a slice of a GPU (MIG) starts."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or a slice of one. What no source reports is None.

    `fault` says why it cannot be used. `slices` are its parts if it is divided (MIG); a process
    then uses one of them, and not the whole.
    """

    uuid: str
    name: str
    memory_bytes: int | None
    capability: tuple[int, int] | None = None
    fault: str | None = None
    slices: tuple[Gpu, ...] = ()
    is_slowed: bool = False

    @property
    def has_bf16(self) -> bool | None:
        """Whether it computes in bfloat16, which older GPUs only emulate. None if unknown."""
        return None if self.capability is None else self.capability >= _BF16_CAPABILITY


@dataclass(frozen=True)
class Report:
    """What NVML reports. `fault` says why it reports nothing, by the name of NVML's error."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    fault: str | None = None


def report() -> Report:
    """Ask NVML for the driver and all GPUs that this process may see."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return Report(fault=NO_BINDINGS)
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as e:
        return Report(fault=_words(e))
    try:
        count = nvml.nvmlDeviceGetCount()
        found = (_describe(nvml, index) for index in range(count))
        gpus = tuple(gpu for gpu in found if gpu is not None)
        return Report(gpus, _or_none(nvml, nvml.nvmlSystemGetDriverVersion))
    except nvml.NVMLError as e:
        return Report(fault=_words(e))
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _describe(nvml: Any, index: int) -> Gpu | None:
    """Describe a GPU, or return None if this process has no permission to use it."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        is_divided = _or_none(nvml, nvml.nvmlDeviceGetMigMode, handle)
        slices = _slices(nvml, handle) if is_divided and is_divided[0] else ()
        return _describe_handle(nvml, handle, slices)
    except nvml.NVMLError as e:
        if e.value == nvml.NVML_ERROR_NO_PERMISSION:
            return None
        return Gpu("", f"GPU {index}", None, fault=_words(e))


def _describe_handle(nvml: Any, handle: Any, slices: tuple[Gpu, ...] = ()) -> Gpu:
    memory = _or_none(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _or_none(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Gpu(
        nvml.nvmlDeviceGetUUID(handle),
        nvml.nvmlDeviceGetName(handle),
        memory.total if memory else None,  # None on GPUs that share the machine's memory
        tuple(capability) if capability else None,
        slices=slices,
        is_slowed=_is_slowed(nvml, handle),
    )


def _slices(nvml: Any, handle: Any) -> tuple[Gpu, ...]:
    found = []
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except nvml.NVMLError:  # no slice has this number, or another process has it
            continue
        capability = _or_none(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
        memory = nvml.nvmlDeviceGetMemoryInfo(part)
        found.append(
            Gpu(
                nvml.nvmlDeviceGetUUID(part),
                nvml.nvmlDeviceGetName(part),
                memory.total,
                tuple(capability) if capability else None,
            )
        )
    return tuple(found)


def _is_slowed(nvml: Any, handle: Any) -> bool:
    reasons = _or_none(nvml, nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:  # the driver knows the function by its older name
        reasons = _or_none(nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    return bool((reasons or 0) & _SLOWED)


def _or_none(nvml: Any, function: Any, *arguments: Any) -> Any:
    """Call a function of NVML. None if this GPU, driver or container does not offer it."""
    try:
        return function(*arguments)
    except nvml.NVMLError as e:
        if _is_fault(nvml, e):
            raise
        return None


def _is_fault(nvml: Any, error: Any) -> bool:
    """Return whether an error means that a GPU, or the driver, cannot be used."""
    return error.value not in (
        nvml.NVML_ERROR_NOT_SUPPORTED,
        nvml.NVML_ERROR_NO_PERMISSION,
        nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        nvml.NVML_ERROR_INVALID_ARGUMENT,  # of a slice, which lacks some functions
        nvml.NVML_ERROR_TIMEOUT,
    )


def _words(error: Any) -> str:
    return str(error).rstrip(".")


class GpuMonitor:
    """Watches the GPUs that a process may use: updates their gauges, and knows their faults."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = {str(place): gpu for place, gpu in enumerate(gpus) if gpu.uuid}
        self._querying: asyncio.Task[str | None] | None = None
        self._began = 0.0
        self._reported: str | None = None
        self._fault: str | None = None
        self._is_open = False
        self._seen: set[str] = set()
        try:
            self._nvml: Any = importlib.import_module("pynvml")
        except ModuleNotFoundError:
            self._nvml = None

    @property
    def fault(self) -> str | None:
        """Why the GPUs cannot be used; None if nothing is known."""
        return self._reported or self._fault

    def keep(self, fault: str) -> None:
        """Remember a fault that NVML does not see, such as CUDA's, until the process ends."""
        self._reported = fault

    async def observe(self) -> None:
        """Query the driver in a thread, and give up after a timeout."""
        if self._nvml is None or not self._gpus:
            return
        if self._querying is None or self._querying.done():
            self._querying = asyncio.create_task(asyncio.to_thread(self._query))
            self._began = time.monotonic()
        querying = self._querying  # a heartbeat and a scrape may wait for the same query
        await asyncio.wait([querying], timeout=_TIMEOUT_S)
        if querying.done():
            self._set_fault(querying.result())
        elif time.monotonic() - self._began > _HANGS_AFTER_S:
            self._set_fault(f"NVIDIA's driver has not answered for {_HANGS_AFTER_S:.0f} s")

    def _set_fault(self, fault: str | None) -> None:
        if fault != self._fault:
            log.warning("%s", f"GPU fault: {fault}" if fault else "the GPUs can be used again")
        self._fault = fault

    def _query(self) -> str | None:
        """Update the gauges, and return the first fault."""
        nvml, faults = self._nvml, []
        values: dict[Gauge, list[tuple[tuple[str, ...], float]]] = {gauge: [] for gauge in GAUGES}
        for place, gpu in self._gpus.items():
            try:
                if not self._is_open:
                    nvml.nvmlInit()
                    self._is_open = True
                found = _usage(nvml, nvml.nvmlDeviceGetHandleByUUID(gpu.uuid))
                self._seen.add(place)
            except nvml.NVMLError as e:
                # NVML may never know a slice by the name that CUDA has for it.
                has_failed = place in self._seen and _is_fault(nvml, e)
                if has_failed:
                    faults.append(f"GPU {place} ({gpu.name}): {_words(e)}")
                found = {metrics.GPU_FAULT: float(has_failed)}
            for gauge, value in found.items():
                values[gauge].append(((place,), value))
        for gauge in GAUGES:
            gauge.replace(values[gauge])
        if faults and self._is_open:  # only a library that starts again sees a repaired driver
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()
            self._is_open = False
        return faults[0] if faults else None


def _usage(nvml: Any, handle: Any) -> dict[Gauge, float]:
    """Return the values of a GPU's gauges. A slice (MIG), for example, has no utilization."""
    found = {metrics.GPU_FAULT: 0.0, metrics.GPU_SLOWED: float(_is_slowed(nvml, handle))}
    if (memory := _or_none(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)) is not None:
        found[metrics.GPU_MEMORY_USED_BYTES] = memory.used
        found[metrics.GPU_MEMORY_BYTES] = memory.total
    if (busy := _or_none(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)) is not None:
        found[metrics.GPU_UTILIZATION] = busy.gpu / 100
    return found


GAUGES: Final = (
    metrics.GPU_FAULT,
    metrics.GPU_SLOWED,
    metrics.GPU_MEMORY_USED_BYTES,
    metrics.GPU_MEMORY_BYTES,
    metrics.GPU_UTILIZATION,
)
