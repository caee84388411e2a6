"""`plan`: computes which engines and trainings fit on the GPUs of a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from service.config import GIB, Settings
from service.fleet.workers import Capacity
from service.jobs.planning.machines import read_shape
from service.jobs.planning.memory_plan import advice, plan
from service.models.catalogue import BaseModelEntry
from service.standalone.placement import PlacedEngine, Placement, wanted_engines
from service.standalone.sharing import (
    BATCH,
    LENGTH,
    choose_sharing,
    place_all,
    reference_training,
    training_machine,
)

_GPUS = re.compile(r"(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?)\s*(?:Gi?B?)?", re.IGNORECASE)
_MAX_GPUS = 64
_GAP = "  "


class BadGpus(ValueError):
    """The GPUs are not given as `4x24GiB`."""


def parse_gpus(text: str) -> tuple[int, ...]:
    """Read GPUs such as `4x24GiB` or `24GiB,2x80GiB`, in bytes each. Raises BadGpus."""
    found: list[int] = []
    for part in text.split(","):
        match = _GPUS.fullmatch(part.strip())
        if match is None or not 0 < float(match[2]) <= 1024:
            raise BadGpus(f"'{text}' is not a list of GPUs: write it as 4x24GiB, or 24GiB,2x80GiB")
        found += [int(float(match[2]) * GIB)] * int(match[1] or "1")
        if not 0 < len(found) <= _MAX_GPUS:
            raise BadGpus(f"'{text}' is not a list of GPUs: give 1 to {_MAX_GPUS}")
    return tuple(found)


def plan_of(
    gpus: Sequence[int],
    entries: Sequence[BaseModelEntry],
    settings: Settings,
    memory_bytes: int,
    *,
    has_bf16: bool | None = None,
    capability: tuple[int, int] | None = None,
    is_sharing_set: bool = True,
    row_tokens: int = LENGTH,
) -> dict[str, Any]:
    """Return the plan for GPUs of these sizes in bytes, as JSON.

    `capability` is their lowest compute capability, if known. `is_sharing_set`: the operator has
    chosen `gpu_sharing`. `row_tokens` is the length of the longest row of the trainings.
    """
    wanted = wanted_engines(entries, capability)
    choice = choose_sharing(
        gpus, entries, wanted, settings, memory_bytes, is_set=is_sharing_set, has_bf16=has_bf16
    )
    settings = settings.model_copy(update={"gpu_sharing": choice.sharing})
    placement = place_all(gpus, entries, wanted, settings, memory_bytes, has_bf16)
    return {
        "sharing": placement.sharing,
        "memory_bytes": memory_bytes,
        "why_sharing": choice.why,
        "gpus": [_gpu(placement, gpu) for gpu in range(len(gpus))],
        "engines": [_engine(engine) for engine in placement.engines],
        "workers": [list(worker) for worker in placement.workers],
        "unplaced": [vars(engine) for engine in placement.unplaced],
        "row_tokens": row_tokens,
        "trainings": _trainings(placement, entries, settings, memory_bytes, has_bf16, row_tokens),
    }


def _gpu(placement: Placement, gpu: int) -> dict[str, Any]:
    total = placement.gpus[gpu]
    return {
        "gpu": gpu,
        "memory_bytes": total,
        "engines": [
            {"model": engine.model, "memory_bytes": int(engine.share * total)}
            for engine in placement.engines_on(gpu)
        ],
        "trains": placement.trains(gpu),
        "training_bytes": placement.trainer_on(gpu),
        "free_bytes": placement.free_on(gpu),
    }


def _engine(engine: PlacedEngine) -> dict[str, Any]:
    return {
        "model": engine.model,
        "gpus": list(engine.gpus),
        "sleeps": engine.sleeps,
        "gpu_memory_utilization": engine.share,
        "quantization": engine.sizes.base.quantization,
        "weights_bytes": engine.sizes.base.weights_bytes,
        "quantization_reason": engine.sizes.quantization_reason,
        "max_model_len": engine.sizes.max_model_len,
        "max_loras": engine.sizes.max_loras,
        "max_lora_rank": engine.sizes.max_lora_rank,
    }


def _trainings(
    placement: Placement,
    entries: Iterable[BaseModelEntry],
    settings: Settings,
    memory_bytes: int,
    has_bf16: bool | None,
    row_tokens: int,
) -> list[dict[str, Any]]:
    share = memory_bytes // max(len(placement.workers), 1)
    machine = training_machine(placement, settings, has_bf16)
    machine = machine.model_copy(update={"host_memory_bytes": share})
    return [_training(entry, machine, settings, row_tokens) for entry in entries]


def _training(
    entry: BaseModelEntry, machine: Capacity, settings: Settings, row_tokens: int
) -> dict[str, Any]:
    if (shape := read_shape(entry)) is None:
        return {"model": entry.id, "fits": None}
    training = reference_training(entry, settings, row_tokens)
    there = plan(training, shape, machine)
    return {
        "model": entry.id,
        "fits": there.fits,
        "gpus": there.gpus,
        "sharding": there.sharding if there.gpus > 1 else None,
        "needed_bytes": there.needed,
        "available_bytes": there.available,
        "tokens_at_once": there.tokens_at_once,
        "gradient_checkpointing": there.gradient_checkpointing,
        "kept_layers": there.kept_layers,
        "inputs_on_host": there.inputs_on_host,
        "host_bytes": there.host_bytes,
        "host_available_bytes": there.host_available,
        "advice": None if there.fits else advice(training, shape, machine).text,
    }


def as_text(found: dict[str, Any]) -> str:
    """Return a plan as a table and sentences."""
    rows = [("GPU", "memory", "engines", "trainings", "free")]
    for gpu in found["gpus"]:
        engines = [f"{e['model']} ({_gib(e['memory_bytes'])})" for e in gpu["engines"]]
        trains = _gib(gpu["training_bytes"]) if gpu["trains"] else "–"
        rows.append(
            (
                str(gpu["gpu"]),
                _gib(gpu["memory_bytes"]),
                ", ".join(engines) or "–",
                trains,
                _gib(gpu["free_bytes"]),
            )
        )
    lines = [*_table(rows), "", _sharing(found)]
    lines += _workers(found)
    firsts = {engine["model"]: engine for engine in reversed(found["engines"])}
    for model, engine in sorted(firsts.items(), key=lambda item: item[1]["gpus"]):
        others = [e["gpus"] for e in found["engines"] if e["model"] == model][1:]
        lines += [_engine_words(engine), *_replica_words(others)]
    lines += [f"✗ engine of {e['model']}: {e['what']}\n    → {e['how']}" for e in found["unplaced"]]
    batch = f"{BATCH} rows of up to {found['row_tokens']:,} tokens in a batch"
    lines += [f"• trainings: QLoRA of rank 16, {batch}"]
    lines += [_training_words(training) for training in found["trainings"]]
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _sharing(found: dict[str, Any]) -> str:
    how = {
        "separate": "engines and trainings have GPUs of their own",
        "share": "engines and trainings divide the memory of the GPUs",
        "time-slice": "engines sleep while a job trains",
    }
    line = f"• {found['sharing']}: {how[found['sharing']]}"
    why = found["why_sharing"]
    return f"{line}\n• FINETUNED_TRAIN_SLO_MS: {why}" if why else line


def _workers(found: dict[str, Any]) -> list[str]:
    """Return how many jobs train at the same time, and what they leave of the engines."""
    workers = found["workers"]
    if len(found["gpus"]) < 2:
        return []
    memory = f"with {found['memory_bytes'] / GIB:.0f} GiB of the machine's memory"
    jobs = "1 job trains" if len(workers) == 1 else f"up to {len(workers)} jobs train"
    sizes = sorted({len(worker) for worker in workers})
    each = " or ".join(map(str, sizes)) + (" GPU" if sizes == [1] else " GPUs")
    lines = [f"• {jobs} at the same time, on {each} each ({memory})"]
    total = len(found["engines"])
    awake = sum(not engine["sleeps"] for engine in found["engines"])
    if found["sharing"] == "separate" and awake < total:
        lines.append(
            f"• while no job trains, {total} engines serve; while jobs train on all these "
            f"GPUs, {awake} {'does' if awake == 1 else 'do'}"
        )
    return lines


def _engine_words(engine: dict[str, Any]) -> str:
    gpus = ", ".join(map(str, engine["gpus"]))
    where = f"GPU {gpus}" if len(engine["gpus"]) == 1 else f"divided among GPUs {gpus}"
    count = engine["max_loras"]
    adapters = f", {count} adapter{'s' if count > 1 else ''} in a batch" if count else ""
    return (
        f"✓ engine of {engine['model']}: {where}, context of {engine['max_model_len']:,} tokens"
        f"{adapters}{', sleeps while a job trains' if engine['sleeps'] else ''}"
        f"{_why_quantized(engine)}"
    )


def _replica_words(gpus: Sequence[Sequence[int]]) -> list[str]:
    """Describe the further engines of a model on these GPUs."""
    if not gpus:
        return []
    places = "; ".join(", ".join(map(str, each)) for each in gpus)
    return [f"    → the same on GPUs {places}, asleep while a job trains there"]


def _why_quantized(engine: dict[str, Any]) -> str:
    if (reason := engine["quantization_reason"]) is None:
        return ""
    return f"\n    → {reason}"


def _training_words(training: dict[str, Any]) -> str:
    name = f"training of {training['model']}"
    if training["fits"] is None:
        return f"• {name}: unknown, because the dimensions of the model are unknown"
    needed = f"{_gib(training['needed_bytes'])} of {_gib(training['available_bytes'])}"
    where = f" on each of {training['gpus']} GPUs" if training["gpus"] > 1 else ""
    host, room = (training[n] or 0 for n in ("host_bytes", "host_available_bytes"))
    if host > room:
        needed = f"{_gib(host)} of the machine's own memory, of which {_gib(room)} are available"
        return f"✗ {name}: needs {needed}\n    → {training['advice']}"
    if not training["fits"]:
        return f"✗ {name}: needs {needed}{where}\n    → {training['advice']}"
    how = f", {training['tokens_at_once']:,} tokens at once"
    how += ", with gradient checkpointing" if training["gradient_checkpointing"] else ""
    how += f" of all but {training['kept_layers']} layers" if training["kept_layers"] else ""
    if training["inputs_on_host"]:
        how += f", inputs of layers in the machine's memory (about {_gib(host)})"
    if training["sharding"] == "fsdp":
        how += f", sharded (FSDP; loading takes about {_gib(host)} of the machine's memory)"
    return f"✓ {name}: {needed}{where}{how}"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
