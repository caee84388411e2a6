"""Prints the sizing table in docs/operations.md, with the code that sizes jobs and engines.

Nothing here is measured: the table applies `jobs/planning/memory_plan.py` and
`inference/engine/sizing.py` to the shapes of well-known models and to common GPU sizes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from service.config import GIB, Settings
from service.fleet.workers import Capacity
from service.inference.engine.sizing import (
    OVERHEAD,
    WORKING_BYTES,
    BaseFacts,
    Facts,
    Sizes,
    SizingError,
    size,
    trainer_budget,
)
from service.jobs.planning.memory_plan import MemoryPlan, Training, plan
from service.jobs.planning.speed import assumed_speed
from service.training.contract.hyperparameters import RESOLVED
from service.training.model.shape import Linear, ModelShape
from service.worker.gpu_share import within_budget

GPUS_GIB, MACHINE_GIB = (24, 48, 80), 128
LENGTH, BATCH = 2048, 8
CONTEXT = 40_960


@dataclass(frozen=True)
class Shape:
    """A model of the Qwen3 family, with the values of its config.json."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    tied: bool
    head: int = 128
    vocabulary: int = 151_936

    def model(self) -> ModelShape:
        h, i = self.hidden, self.intermediate
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        sizes = [(h, queries), (h, keys), (h, keys), (queries, h), (h, i), (h, i), (i, h)]
        linears = tuple(
            Linear(f"layers.{n}.{k}", *s) for n in range(self.layers) for k, s in enumerate(sizes)
        )
        words = self.vocabulary * h * (1 if self.tied else 2)
        return ModelShape(
            parameters=words + sum(x.inputs * x.outputs for x in linears),
            linears=linears,
            layers=self.layers,
            hidden=h,
            intermediate=i,
            heads_width=queries,
            kv_width=keys,
            kv_heads=self.kv_heads,
            vocabulary=self.vocabulary,
        )


MODELS = (
    Shape("Qwen3-1.7B", 2048, 28, 16, 8, 6144, tied=True),
    Shape("Qwen3-4B", 2560, 36, 32, 8, 9728, tied=True),
    Shape("Qwen3-8B", 4096, 36, 32, 8, 12_288, tied=False),
    Shape("Qwen3-14B", 5120, 40, 40, 8, 17_408, tied=False),
    Shape("Qwen3-32B", 5120, 64, 64, 8, 25_600, tied=False),
)


def training(shape: ModelShape, gpu: Capacity) -> MemoryPlan:
    """Plan a rank-16 QLoRA job on rows of up to LENGTH tokens."""
    chosen = RESOLVED["supervised"].model_validate(
        {
            "batch_size": BATCH,
            "n_epochs": 1,
            "learning_rate_multiplier": 1,
            "learning_rate": 2e-4,
            "max_seq_length": LENGTH,
            "packing": False,
        }
    )
    asked = Training(chosen, "supervised", LENGTH, Settings().tokens_at_once)
    return plan(asked, shape, gpu)


def engine(shape: ModelShape, memory: int, sharing: str) -> Sizes | None:
    """Size the model's engine in 16 bits. Returns None if the weights leave no room."""
    weights = 2 * shape.parameters
    base = BaseFacts(
        "m",
        weights_bytes=weights,
        context_length=CONTEXT,
        kv_bytes_per_token=2 * shape.layers * shape.kv_width * 2,
        adapter_bytes_per_rank=2 * sum(x.inputs + x.outputs for x in shape.linears),
    )
    facts = Facts(base, MACHINE_GIB * GIB, True, memory, served_bytes=weights)
    try:
        sizes = size(Settings(gpu_sharing=sharing), facts)
    except SizingError:
        return None
    room = memory * (sizes.gpu_memory_utilization or 0) - weights * OVERHEAD - WORKING_BYTES
    return sizes if room > GIB else None


def row(model: Shape, gib: int) -> str:
    """Return one row of the table."""
    shape, memory = model.model(), gib * GIB
    gpu = Capacity(device="cuda", device_name="GPU", gpus=1, memory_bytes=memory)
    alone, made = training(shape, gpu), engine(shape, memory, "separate")
    speed = assumed_speed(gpu, shape.parameters, "supervised")
    trains = "does not fit"
    if alone.fits:
        checkpointed = ", checkpointed" if alone.gradient_checkpointing else ""
        trains = f"{alone.needed / GIB:.0f} GiB, {alone.tokens_at_once:,} at once{checkpointed}"
    serves = "does not fit"
    if made is not None:
        serves = f"{made.max_loras} / {made.max_cpu_loras}, {made.max_model_len:,} tokens"
    shared = engine(shape, memory, "share")
    weights = 2 * shape.parameters
    budget = trainer_budget(Settings(gpu_sharing="share"), memory, [weights])
    left = within_budget(gpu, Settings(trainer_memory_bytes=budget))
    together = shared is not None and training(shape, left).fits
    both = "share" if together else "time-slice" if alone.fits and made else "–"
    return f"| {model.name} | {gib} GiB | {trains} | {speed.expected:,.0f} | {serves} | {both} |"


def table() -> str:
    """Return the table as Markdown."""
    head = (
        "| model | GPU | training: memory, tokens per pass | tokens/s "
        "| serving: adapters, context | both on one GPU |"
    )
    rows = [row(model, gib) for model in MODELS for gib in GPUS_GIB]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(table())
