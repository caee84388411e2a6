"""Tokens a second of this trainer and of plain TRL, side by side in one run.

    python bench/training/run.py [--model FOLDER] [--rows 64] [--rounds 2] [--only NAME …]

The same rows, model, rank and batch size; LoRA on unquantised weights, for TRL's default
quantises nothing. Each contestant is a process of its own, so that its peak memory is its
own; they take turns and the best round counts, since the machine may have other work. Tokens
leave padding out. Seconds are of training alone, loading not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from child import train  # noqa: E402
from corpus import write_rows  # noqa: E402

from service.training import TrainSpec  # noqa: E402

BATCH_SIZE, RANK = 8, 16

Figures = dict[str, float]


def ours(model: Path, rows: Path, folder: Path, *, packing: object) -> Figures:
    spec = TrainSpec.model_validate(
        {
            "job_id": "bench",
            "base_model": "demo",
            "base_model_path": model,
            "training_file": rows,
            "output_dir": folder / "out",
            "n_epochs": 1,
            "batch_size": BATCH_SIZE,
            "lora": {"r": RANK},
            "quantization": "none",
            "max_seq_length": 1024,
            "packing": packing,
            "n_checkpoints": 1,
        }
    )
    run = train(spec)
    if run.notes:
        print(f"    {run.notes}", flush=True)
    return {
        "tokens": run.trained_tokens,
        "seconds": run.step_seconds,
        "peak_bytes": run.peak_bytes,
    }


def plain(model: Path, rows: Path, folder: Path, *options: str) -> Figures:
    command = [sys.executable, HERE / "plain.py", model, rows, str(BATCH_SIZE), str(RANK)]
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HF_HOME": str(folder)},
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def contestants() -> dict[str, Callable[[Path, Path, Path], Figures]]:
    return {
        "TRL, defaults": plain,
        "TRL, packing=True": lambda *a: plain(*a, "--packing"),
        "TRL, bf16, no checkpointing": lambda *a: plain(*a, "--tuned"),
        "ours, by length": lambda *a: ours(*a, packing=False),
        "ours, packed": lambda *a: ours(*a, packing=True),
        "ours, auto": lambda *a: ours(*a, packing="auto"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None)
    given = parser.parse_args()
    model = given.model or next((ROOT / ".cache" / "models").iterdir())
    best: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as work:
        rows = write_rows(Path(work) / "rows.jsonl", given.rows)
        for round_number in range(given.rounds):
            for name, run in contestants().items():
                if given.only and name not in given.only:
                    continue
                folder = Path(work) / f"{round_number}-{name.replace(' ', '-')}"
                folder.mkdir()
                figures = run(model, rows, folder)
                speed = figures["tokens"] / figures["seconds"]
                print(f"  round {round_number + 1}: {name}: {speed:.0f} tokens/s", flush=True)
                if name not in best or speed > best[name]["tokens"] / best[name]["seconds"]:
                    best[name] = figures
    print(f"\n{model.name}, {given.rows} rows, batch {BATCH_SIZE}, rank {RANK}")
    print(f"{'':36}{'tokens/s':>10}{'ratio':>8}{'peak MiB':>10}{'tokens':>9}")
    base = best.get("TRL, defaults") or next(iter(best.values()))
    for name, figures in best.items():
        speed = figures["tokens"] / figures["seconds"]
        ratio = speed / (base["tokens"] / base["seconds"])
        mib = figures["peak_bytes"] / 2**20
        print(f"{name:36}{speed:>10.0f}{ratio:>8.2f}{mib:>10.0f}{figures['tokens']:>9.0f}")


if __name__ == "__main__":
    main()
