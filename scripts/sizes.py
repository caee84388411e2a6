"""Computes the tables of models and GPUs in the docs, with the code that sizes jobs and engines.

No value is measured: the tables apply `jobs/planning/memory_plan.py`, `inference/engine/sizing.py`
and `standalone/placement.py` to the shapes of well-known models (`open_models.py`) and to common
GPU sizes. With `--write`, the tables in docs/size.md and docs/models.md are replaced.
"""

from __future__ import annotations

import functools
import re
import sys
import tempfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.open_models import OPEN_MODELS, QWEN3, OpenModel
from service.config import GIB, Settings
from service.fleet.workers import Capacity
from service.inference.engine.sizing import (
    OVERHEAD,
    WORKING_BYTES,
    BaseModelSizes,
    Quantization,
    Sizes,
    SizingError,
    SizingInputs,
    size,
    trainer_budget,
)
from service.inference.engine.sizing_inputs import quantized_bytes
from service.jobs.planning.memory_plan import MemoryPlan, Training, plan
from service.jobs.planning.speed import assumed_speed
from service.models.parsers import detect_reasoning_parser, detect_tool_call_parser
from service.standalone.placement import Wanted, place
from service.standalone.sharing import training_machine
from service.training.contract.hyperparameters import RESOLVED
from service.training.model.shape import ModelShape
from service.worker.gpu_share import training_capacity

GPUS_GIB, MACHINE_GIB = (24, 48, 80), 128
ALL_GPUS_GIB = (8, 12, 16, *GPUS_GIB)
LENGTH, BATCH = 2048, 8
QUANTIZATIONS: tuple[Quantization, ...] = ("none", "fp8", "nf4")
# Minimum context of an engine that counts as suitable.
USABLE_CONTEXT = 8192
DOCS = Path(__file__).parent.parent / "docs"
SIZE, MODELS = DOCS / "size.md", DOCS / "models.md"
MACHINES = ((2, 24), (4, 24), (4, 48), (4, 80), (8, 80))
MANY = ("Qwen3-8B", "Qwen3-32B", "Llama-3.3-70B-Instruct")
# Tokens of a chat with its answer, on average.
CHAT = 2048
# Bytes per second of the memory of an L4, an L40S and an A100, of which engines reach about half.
BANDWIDTH = {24: 300e9, 48: 864e9, 80: 2039e9}
EFFICIENCY, REQUESTS_AT_ONCE = 0.5, 256
settings = functools.cache(Settings)  # reads the environment, which takes most of the time


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
    wanted = Training(chosen, "supervised", LENGTH, settings().tokens_at_once)
    return plan(wanted, shape, gpu)


def engine(shape: ModelShape, memory: int, sharing: str, context: int) -> Sizes | None:
    """Size the model's engine, with the weights that fit. Returns None if none leave room."""
    for quantization in QUANTIZATIONS:
        base = BaseModelSizes(
            "m",
            weights_bytes=quantized_bytes(shape, quantization),
            context_length=context,
            kv_bytes_per_token=2 * shape.layers * shape.kv_width * 2,
            adapter_bytes_per_rank=2 * sum(x.inputs + x.outputs for x in shape.linears),
            quantization=quantization,
        )
        facts = SizingInputs(
            base, MACHINE_GIB * GIB, True, memory, served_bytes=2 * shape.parameters
        )
        try:
            sizes = size(settings(gpu_sharing=sharing), facts)
        except SizingError:
            continue
        share = sizes.gpu_memory_utilization or 0
        if memory * share - base.weights_bytes * OVERHEAD - WORKING_BYTES > GIB:
            return sizes
    return None


class Fit(NamedTuple):
    """What one GPU can do with a model: the plan of a training, the sizes of an engine, or both."""

    training: MemoryPlan
    engine: Sizes | None
    both: str


def fit(shape: ModelShape, gib: int, context: int) -> Fit:
    """Compute what a GPU can do with a model of this shape and context length."""
    memory = gib * GIB
    gpu = Capacity(device="cuda", device_name="GPU", gpus=1, memory_bytes=memory)
    alone, made = training(shape, gpu), engine(shape, memory, "separate", context)
    shared = engine(shape, memory, "share", context)
    weights = 2 * shape.parameters
    budget = trainer_budget(settings(gpu_sharing="share"), memory, [weights])
    left = training_capacity(gpu, settings(trainer_memory_bytes=budget))
    together = shared is not None and training(shape, left).fits
    both = "share" if together else "time-slice" if alone.fits and made else "–"
    return Fit(alone, made, both)


def row(model: OpenModel, gib: int) -> str:
    """Return one row of the table for operators."""
    assert model.shape is not None
    assert model.context is not None
    shape = model.shape.model()
    alone, made, both = fit(shape, gib, model.context)
    gpu = Capacity(device="cuda", device_name="GPU", gpus=1, memory_bytes=gib * GIB)
    speed = assumed_speed(gpu, shape.parameters, "supervised")
    trains = "does not fit"
    if alone.fits:
        checkpointed = ", checkpointed" if alone.gradient_checkpointing else ""
        checkpointed = f", partly{checkpointed[1:]}" if alone.kept_layers else checkpointed
        trains = f"{alone.needed / GIB:.0f} GiB, {alone.tokens_at_once:,} at once{checkpointed}"
    serves = "does not fit"
    if made is not None:
        adapters = f"{made.max_loras} / {made.max_cpu_loras}"
        serves = f"{adapters}, {made.max_model_len:,} tokens{weights_of(made)}"
    answers = "–" if made is None else answers_of(made, gib, 1)
    return (
        f"| {model.name} | {gib} GiB | {trains} | {speed.expected:,.0f} | {serves} | {answers} "
        f"| {both} |"
    )


def answers_of(engine: Sizes, gib: int, gpus: int) -> str:
    """Return how many chats an engine runs at once, and its tokens per second, as a cell.

    Each step of an engine reads the weights, and the cache of all running chats, once.
    """
    kv_bytes = engine.base.kv_bytes_per_token or 0
    chats = max(min((engine.cache_tokens or 0) // CHAT, REQUESTS_AT_ONCE), 1)

    def tokens_per_second(running: int) -> float:
        read = engine.base.weights_bytes + running * CHAT * kv_bytes
        return running * EFFICIENCY * gpus * BANDWIDTH[gib] / read

    return f"{chats}; {tokens_per_second(1):,.0f}, {tokens_per_second(chats):,.0f}"


def wanted(model: OpenModel) -> Wanted:
    """Return the engine of a model, which loads smaller weights if those in 16 bits do not fit."""
    assert model.shape is not None
    assert model.context is not None
    shape = model.shape.model()
    base = BaseModelSizes(
        model.name,
        weights_bytes=quantized_bytes(shape, "none"),
        context_length=model.context,
        kv_bytes_per_token=4 * shape.layers * shape.kv_width,
        adapter_bytes_per_rank=2 * sum(x.inputs + x.outputs for x in shape.linears),
        kv_heads=shape.kv_heads,
        heads=model.shape.heads,
    )
    smaller = tuple(
        replace(base, quantization=form, weights_bytes=quantized_bytes(shape, form))
        for form in ("fp8", "nf4")
    )
    return Wanted(model.name, base, alternatives=smaller)


def machine_row(model: OpenModel, count: int, gib: int) -> str:
    """Return one row of the table of machines with several GPUs."""
    assert model.shape is not None
    shape, memory = model.shape.model(), max(MACHINE_GIB, 2 * count * gib) * GIB
    chosen = settings(gpu_sharing="share")
    for each in range(1, count + 1):
        found = place([gib * GIB] * count, [wanted(model)], chosen, memory, each)
        if fits := training(shape, training_machine(found, chosen, None)).fits:
            break
    jobs = f"{len(found.workers)} on {len(found.workers[0])}" if fits else "does not fit"
    place_ = f"| {model.name} | {count} × {gib} GiB | "
    if not found.engines:
        return f"{place_}does not fit | – | – | {jobs} |"
    first, awake = found.engines[0], sum(not engine.sleeps for engine in found.engines)
    gpus = len(first.gpus)
    engines = f"{len(found.engines)} on {gpus}" + (f"; {awake}" if fits else "")
    sizes = f"{first.sizes.max_loras}, {first.sizes.max_model_len:,} tokens"
    sizes += weights_of(first.sizes)
    return f"{place_}{engines} | {sizes} | {answers_of(first.sizes, gib, gpus)} | {jobs} |"


def machine_table() -> str:
    """Return what `up` does with several GPUs, as Markdown."""
    head = (
        "| model | GPUs | engines, each on GPUs; while jobs train | adapters, context "
        "| per engine: chats at once; tokens/s of one, of all | jobs at once, each on GPUs |"
    )
    models = [next(m for m in OPEN_MODELS if m.name == name) for name in MANY]
    rows = [machine_row(model, count, gib) for model in models for count, gib in MACHINES]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows, ""])


def weights_of(engine: Sizes) -> str:
    """Return how an engine quantizes the weights, as the end of a cell."""
    quantization = engine.base.quantization
    return "" if quantization == "none" else f", {quantization.upper()}"


def gpu_sizes_table() -> str:
    """Return what one GPU does, as Markdown."""
    head = (
        "| model | GPU | training: memory, tokens per pass | tokens/s "
        "| serving: adapters, context | chats at once; tokens/s of one, of all | both on one GPU |"
    )
    rows = [row(model, gib) for model in QWEN3[3:] for gib in GPUS_GIB]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows, ""])


def model_table() -> str:
    """Return the licenses, languages and parsers of the models as Markdown."""
    head = "| model | license | commercial use | languages | context | tools | thinks |"
    rows = [
        f"| [{m.id}](https://huggingface.co/{m.id}) | {m.license.name} | {m.license.commercial} | "
        f"{m.languages} | {f'{m.context:,}' if m.context else 'see its card'} | "
        f"{' | '.join(m.seen or parsers_of(m.template))} |"
        for m in OPEN_MODELS
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows, ""])


@functools.cache
def parsers_of(template: str | None) -> tuple[str, str]:
    """Return the parsers of tool calls and reasoning that a chat template needs."""
    if template is None:
        return "–", "–"
    source = resources.files("trl") / "chat_templates" / f"{template}.jinja"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "chat_template.jinja").write_text(source.read_text("utf-8"), "utf-8")
        found = detect_tool_call_parser(Path(folder)), detect_reasoning_parser(Path(folder))
    tools, reasoning = (f"`{parser}`" if parser else "no" for parser in found)
    return tools, reasoning


def gpu_table() -> str:
    """Return the smallest GPUs for the models, as Markdown."""
    head = "| model | parameters | serve it | train it | both on one GPU |"
    rows = [f"| {m.name} | {_gpus(m)} |" for m in OPEN_MODELS if m.shape is not None]
    return "\n".join([head, "|---|---|---|---|---|", *rows, ""])


def language_table() -> str:
    """Return the models whose cards name a language of Southeast or East Asia, as Markdown."""
    rows = [
        f"| {language} | {', '.join(m.name for m in OPEN_MODELS if language in m.languages)} |"
        for language in ("Indonesian", "Japanese", "Korean", "Thai", "Vietnamese")
    ]
    return "\n".join(["| language | models |", "|---|---|", *rows, ""])


def _gpus(model: OpenModel) -> str:
    assert model.shape is not None
    shape, context = model.shape.model(), model.context or USABLE_CONTEXT
    serves, trains, both = _smallest_gpus(shape, context)
    return f"{shape.parameters / 1e9:.2g} B | {serves} | {trains} | {both}"


@functools.cache
def _smallest_gpus(shape: ModelShape, context: int) -> tuple[str, str, str]:
    """Return the smallest GPUs that serve a model, train it, and do both."""
    serves = trains = both = ""
    for gib in ALL_GPUS_GIB:
        found = fit(shape, gib, context)
        if found.training.fits:
            trains = trains or f"{gib} GiB"
        if found.engine and found.engine.max_model_len >= min(context, USABLE_CONTEXT):
            tokens = f"{found.engine.max_model_len:,} tokens"
            serves = serves or f"{gib} GiB, {tokens}{weights_of(found.engine)}"
            if found.both != "–":
                both = f"{gib} GiB, `{found.both}`"
                break
    missing = f"more than {ALL_GPUS_GIB[-1]} GiB"
    return serves or missing, trains or missing, both or missing


def replace_table(text: str, table: str) -> str:
    """Return a page with a newer version of one of its tables."""
    head = table.partition("\n")[0]
    return re.sub(re.escape(head) + r"\n(?:\|.*\n)*", lambda _: table, text)


def main(arguments: list[str]) -> None:
    """Print the tables, or replace them in the pages."""
    tables = {
        SIZE: [gpu_sizes_table(), machine_table()],
        MODELS: [language_table(), model_table(), gpu_table()],
    }
    for page, found in tables.items():
        for table in found:
            if arguments == ["--write"]:
                page.write_text(replace_table(page.read_text("utf-8"), table), "utf-8")
            else:
                sys.stdout.write(f"{table}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
