"""GPU benchmark: TRL, Unsloth and our trainer side by side, on the GPU of this machine.

    python bench/gpu/run.py [--model FOLDER] [--rows 256] [--rounds 2] [--only NAME …]
        [--unsloth PYTHON] [--write] [--device cuda|cpu] [--tiny] [--no-loss]
        [--tokens-at-once N]

All contestants use the same base model, rows, batch size, rank, learning rate and precision
(bfloat16, or float16 on GPUs that lack it), with LoRA on 16-bit weights and QLoRA on NF4. Each is a
separate process, so that its peak memory is measured separately. They take turns, each round has
its own seed, and the fastest round counts. Token counts exclude padding, and times cover training
only. Afterwards, the same code scores all adapters on held-out rows, unless `--no-loss` is given.

Unsloth is measured if this environment has it, or that of `--unsloth PYTHON`. `--write` puts the
table into docs/benchmarks.md. Without a GPU, this ends with exit code 2, except with
`--device cpu`. `--tokens-at-once` is for our trainer. With `--tiny`, the base model is tiny and
random, which only shows that the benchmark works.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from bench.engine.base_model import base_model  # noqa: E402
from bench.gpu.table import Result, section, table, write_into  # noqa: E402
from bench.training.run import BATCH_SIZE, RANK, Figures, Task, losses, other, ours  # noqa: E402
from service.fleet.capacity import own_gpus  # noqa: E402
from service.fleet.nvml import Gpu  # noqa: E402

NO_GPU = 2
HELD_OUT = 32
PAGE = ROOT / "docs" / "benchmarks.md"
_LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "unsloth")

Contestant = Callable[[Task], Figures]


def contestants(
    half: str, unsloth: str | None, tokens_at_once: int | None = None
) -> dict[str, Contestant]:
    """Return the contestants by name. `half` is `bf16` or `fp16`.

    `tokens_at_once` is for our trainer, or None for its default.
    """
    options = {"LoRA": (f"--{half}",), "QLoRA": (f"--{half}", "--nf4")}

    def plain(*given: str) -> Contestant:
        return lambda task: other(sys.executable, "plain.py", task, *given)

    def fast(python: str, *given: str) -> Contestant:
        return lambda task: other(python, str(HERE / "with_unsloth.py"), task, *given)

    found: dict[str, Contestant] = {}
    for kind, given in options.items():
        found[f"TRL, {kind}"] = plain(*given)
        found[f"TRL, {kind}, no checkpointing"] = plain(*given, "--no-checkpointing")
        if unsloth is not None:
            found[f"Unsloth, {kind}"] = fast(unsloth, *given)
    found["finetuned, LoRA"] = lambda task: ours(task, tokens_at_once=tokens_at_once)
    found["finetuned, QLoRA"] = lambda task: ours(
        task, quantization="nf4", tokens_at_once=tokens_at_once
    )
    return found


def rounds(work: Path, model: Path, rows: Path, number: int) -> Iterator[Callable[[str], Task]]:
    """Yield, for each round, how to make the task of a contestant."""
    for seed in range(number):

        def task(name: str, seed: int = seed) -> Task:
            folder = work / f"{seed}-{re.sub('[^a-zA-Z0-9]+', '-', name)}"
            folder.mkdir()
            return Task(model, rows, folder, seed)

        yield task


def measure(
    chosen: dict[str, Contestant], model: Path, rows: int, number: int, *, score: bool = True
) -> tuple[float, dict[str, Result]]:
    """Run the rounds. Returns the tokens in an epoch, and the results by contestant."""
    from bench.training.corpus import write_rows

    results = {name: Result() for name in chosen}
    tokens, adapters = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        every = write_rows(work / "all.jsonl", rows + HELD_OUT).read_text().splitlines(True)
        training, held_out = work / "rows.jsonl", work / "held-out.jsonl"
        training.write_text("".join(every[:rows]))
        held_out.write_text("".join(every[rows:]))
        for task_of in rounds(work, model, training, number):
            for name, run in chosen.items():
                result = results[name]
                if result.failure is not None:
                    continue
                task = task_of(name)
                try:
                    figures = run(task)
                except RuntimeError as error:  # the others continue
                    result.failure = _reason(str(error))
                    print(f"  {name}: {error}", flush=True)
                    continue
                print(f"  seed {task.seed}: {name}: {figures['seconds']:.1f} s", flush=True)
                tokens = tokens or figures["tokens"]
                result.seconds.append(figures["seconds"])
                result.peak_bytes.append(figures["peak_bytes"])
                adapters.append((result, task.adapter))
        if score:
            found = losses(model, held_out, [adapter for _, adapter in adapters])
            for (result, _), loss in zip(adapters, found, strict=True):
                result.losses.append(loss)
    return tokens, results


def _reason(error: str) -> str:
    if "out of memory" in error.lower():
        return "out of memory"
    return (error.strip().splitlines() or ["failed"])[-1][:120].replace("|", "/")


def tiny_model(folder: Path) -> Path:
    """Write a random model of two small layers with the demo model's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(base_model())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _facts(gpu: Gpu | None, model: str, rows: int, tokens: float, rounds: int) -> list[str]:
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    memory = "" if gpu is None or gpu.memory_bytes is None else f" ({gpu.memory_bytes >> 30} GiB)"
    return [
        f"{gpu.name if gpu else 'CPU'}{memory}, {model}, {rows} chats of uneven length",
        f"({tokens:,.0f} tokens), batch {BATCH_SIZE}, rank {RANK}; the best of {rounds} rounds.",
        f"Versions: {', '.join(versions)}.",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--unsloth", default=None)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--no-loss", action="store_true")
    parser.add_argument("--tokens-at-once", type=int, default=None)
    given = parser.parse_args()
    gpus = own_gpus() if given.device == "cuda" else []
    if given.device == "cuda" and not gpus:
        print("This machine has no GPU that this process may use. Nothing was measured.")
        return NO_GPU
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    gpu = gpus[0] if gpus else None
    half = "fp16" if gpu is not None and gpu.has_bf16 is False else "bf16"
    has_unsloth = gpu is not None and importlib.util.find_spec("unsloth") is not None
    unsloth = given.unsloth or (sys.executable if has_unsloth else None)
    if unsloth is None:
        print("Unsloth is not installed here, and is not measured (--unsloth PYTHON).")
    every = contestants(half, unsloth, given.tokens_at_once)
    chosen = {n: run for n, run in every.items() if given.only is None or n in given.only}
    if unknown := set(given.only or ()) - every.keys():
        parser.error(f"--only {', '.join(unknown)}: choose from {', '.join(every)}")
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(Path(folder)) if given.tiny else (given.model or base_model()).resolve()
        tokens, results = measure(chosen, model, given.rows, given.rounds, score=not given.no_loss)
        name = "a tiny random model" if given.tiny else model.name
    facts = _facts(gpu, name, given.rows, tokens, given.rounds)
    title = f"{gpu.name if gpu else 'CPU'}, {name}"
    made = section(title, facts, table(tokens, results))
    print(f"\n{made}")
    if given.write:
        write_into(PAGE, made)
    return int(all(result.failure is not None for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
