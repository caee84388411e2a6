"""Training benchmark: tokens per second of our trainer, plain TRL and LLaMA-Factory in one run.

    python bench/training/run.py [--model FOLDER] [--rows 64] [--rounds 2] [--only NAME …]
        [--llamafactory VENV]

All contestants use the same rows, model, rank, batch size and learning rate. They train LoRA on
unquantized weights, since TRL does not quantize by default; "ours, QLoRA" is added for comparison.
Each contestant is a separate process, so that its peak memory is measured separately. Contestants
take turns, each round has its own seed, and the fastest round counts, since the machine may have
other work. Token counts exclude padding. Times cover training only, not loading. Afterwards, the
same code scores all adapters on held-out rows; the spread over rounds is the noise of the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from child import train  # noqa: E402
from corpus import write_rows  # noqa: E402

from bench.engine.base_model import base_model  # noqa: E402
from service.training import TrainSpec  # noqa: E402

BATCH_SIZE, RANK = 8, 16

Figures = dict[str, float]


@dataclass(frozen=True)
class Task:
    """Input of every contestant. The adapter is written to `folder / "out"`."""

    model: Path
    rows: Path
    folder: Path
    seed: int

    @property
    def adapter(self) -> Path:
        return self.folder / "out"


def ours(
    task: Task,
    *,
    packing: object = "auto",
    quantization: str = "none",
    tokens_at_once: int | None = None,
) -> Figures:
    spec = TrainSpec.model_validate(
        {
            "job_id": "bench",
            "base_model": "demo",
            "base_model_path": task.model,
            "training_file": task.rows,
            "output_dir": task.folder / "run",
            "n_checkpoints": 1,
            "seed": task.seed,
            "tokens_at_once": tokens_at_once,
            "hyperparameters": {
                "n_epochs": 1,
                "batch_size": BATCH_SIZE,
                "lora": {"r": RANK},
                "quantization": quantization,
                "max_seq_length": 1024,
                "packing": packing,
                "learning_rate": 2e-4,
                "learning_rate_multiplier": 1,
            },
        }
    )
    run = train(spec)
    if run.notes:
        print(f"    {run.notes}", flush=True)
    (task.folder / "run" / "adapter").rename(task.adapter)
    return {
        "tokens": run.trained_tokens,
        "seconds": run.step_seconds,
        "peak_bytes": run.peak_bytes,
    }


def other(python: str | Path, script: str, task: Task, *options: str) -> Figures:
    command = [str(python), str(HERE / script), str(task.model), str(task.rows)]
    command += [str(BATCH_SIZE), str(RANK), str(task.seed), str(task.adapter)]
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=task.folder,
        env=os.environ | {"HF_HOME": str(task.folder)},
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def contestants(llamafactory: Path | None) -> dict[str, Callable[[Task], Figures]]:
    def trl(*options: str) -> Callable[[Task], Figures]:
        return lambda task: other(sys.executable, "plain.py", task, *options)

    found: dict[str, Callable[[Task], Figures]] = {
        "TRL, defaults (fp32)": trl(),
        "TRL, defaults in bf16": trl("--bf16"),
        "TRL, bf16, no checkpointing": trl("--bf16", "--no-checkpointing"),
        "TRL, bf16, packing": trl("--bf16", "--packing"),
        "ours, LoRA": ours,
        "ours, QLoRA": lambda task: ours(task, quantization="nf4"),
    }
    if llamafactory is not None:
        python = llamafactory / "bin" / "python"
        found["LLaMA-Factory, bf16"] = lambda task: other(python, "llama_factory.py", task)
    return found


def losses(model: Path, held_out: Path, adapters: list[Path]) -> list[float]:
    done = subprocess.run(
        [sys.executable, str(HERE / "score.py"), str(model), str(held_out), *map(str, adapters)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--llamafactory", type=Path, default=None)
    given = parser.parse_args()
    model = (given.model or base_model()).resolve()
    best: dict[str, Figures] = {}
    adapters: dict[str, list[Path]] = {}
    with tempfile.TemporaryDirectory() as work:
        every = write_rows(Path(work) / "all.jsonl", given.rows + 32).read_text().splitlines(True)
        rows, held_out = Path(work) / "rows.jsonl", Path(work) / "held-out.jsonl"
        rows.write_text("".join(every[: given.rows]))
        held_out.write_text("".join(every[given.rows :]))
        for number in range(given.rounds):
            for name, run in contestants(given.llamafactory).items():
                if given.only and name not in given.only:
                    continue
                folder = Path(work) / f"{number}-{re.sub('[^a-zA-Z0-9]+', '-', name)}"
                folder.mkdir()
                task = Task(model, rows, folder, number)
                figures = run(task)
                print(f"  round {number + 1}: {name}: {figures['seconds']:.1f} s", flush=True)
                adapters.setdefault(name, []).append(task.adapter)
                if name not in best or figures["seconds"] < best[name]["seconds"]:
                    best[name] = figures
        scores = losses(model, held_out, [a for found in adapters.values() for a in found])
    report(model.name, given.rows, best, _by_name(adapters, scores))


def _by_name(adapters: dict[str, list[Path]], scores: list[float]) -> dict[str, list[float]]:
    left = iter(scores)
    return {name: [next(left) for _ in found] for name, found in adapters.items()}


def report(model: str, rows: int, best: dict[str, Figures], scores: dict[str, list[float]]) -> None:
    tokens = next(f["tokens"] for f in best.values() if "tokens" in f)
    base = next(iter(best.values()))
    print(f"\n{model}, {rows} rows, {tokens:.0f} tokens, batch {BATCH_SIZE}, rank {RANK}")
    print(f"{'':30}{'tokens/s':>10}{'ratio':>8}{'peak MiB':>10}  held-out loss, by seed")
    for name, figures in best.items():
        speed, ratio = tokens / figures["seconds"], base["seconds"] / figures["seconds"]
        mib = figures["peak_bytes"] / 2**20
        losses = "  ".join(f"{score:.3f}" for score in scores[name])
        print(f"{name:30}{speed:>10.0f}{ratio:>8.2f}{mib:>10.0f}  {losses}")


if __name__ == "__main__":
    main()
