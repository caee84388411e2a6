"""Compares memory estimates with measured runs, for settings that vary each term.

    python bench/training/estimate.py [--model FOLDER] [--only NUMBER …]

The measured value is the trainer's peak resident set minus that of a process that has only imported
the trainer's libraries. All rows have max_seq_length tokens, so that batches are full.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from child import train  # noqa: E402
from corpus import write_pairs, write_rows  # noqa: E402

from bench.engine.base_model import base_model  # noqa: E402
from service.training import TrainSpec  # noqa: E402
from service.training.contract.hyperparameters import RESOLVED, Resolved  # noqa: E402
from service.training.contract.methods import METHODS, MethodName  # noqa: E402
from service.training.loop.estimate import estimate_memory  # noqa: E402
from service.training.model.shape import ModelShape  # noqa: E402

MIB = 2**20
STEPS = 2
# Settings outside the hyperparameters.
PLAN: dict[str, Any] = {"tokens_at_once": 2048, "gradient_checkpointing": False}
BASE: dict[str, Any] = {
    "n_epochs": 1,
    "batch_size": 8,
    "learning_rate": 2e-4,
    "learning_rate_multiplier": 1,
    "lora": {"r": 16},
    "quantization": "none",
    "max_seq_length": 256,
    "packing": False,
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"quantization": "nf4"},
    {"lora": {"r": 128}, "tokens_at_once": 512},
    {"max_seq_length": 1024, "batch_size": 2},
    {"packing": True},
    {"beta": 0.1, "quantization": "nf4", "batch_size": 4},  # DPO
    {"gradient_checkpointing": True},
]
IMPORTS = (
    "import resource, service.training.loop.run; "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
)


def imported_bytes() -> int:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return int(done.stdout.split()[-1])


def measure(
    model: Path, method: MethodName, chosen: Resolved, plan: dict[str, Any], folder: Path
) -> tuple[int, Literal["bfloat16", "float32"]]:
    """Run a few full steps and return the peak bytes and the compute dtype."""
    count = STEPS * chosen.batch_size
    write = write_pairs if method == "dpo" else write_rows
    # Far longer than max_seq_length: truncated there.
    rows = write(folder / "rows.jsonl", count, median_words=3 * chosen.max_seq_length)
    if method == "supervised":
        rows = _full(rows, chosen.max_seq_length)
    spec = TrainSpec.model_validate(
        {
            "job_id": "bench",
            "base_model": "demo",
            "base_model_path": model,
            "training_file": rows,
            "output_dir": folder / "out",
            "n_checkpoints": 1,
            "method": METHODS[method].spec_name,
            "hyperparameters": chosen,
        }
        | plan
    )
    run = train(spec)
    return run.peak_bytes, run.dtype


def _full(rows: Path, words: int) -> Path:
    """Write rows in which every answer has the maximum length."""
    chats = [json.loads(line) for line in rows.read_text().splitlines()]
    for chat in chats:
        answer = chat["messages"][1]
        answer["content"] = " ".join((answer["content"] + " ") * (2 * words))[: 8 * words]
    rows.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--only", type=int, nargs="*", default=None)
    given = parser.parse_args()
    model = given.model or base_model()
    before = imported_bytes()
    print(f"{model.name}; after the imports {before / MIB:.0f} MiB; MiB beyond that:")
    print(f"{'setting':52}{'measured':>9}{'estimate':>9}{'off':>6}  of which")
    for number, changes in enumerate(SETTINGS):
        if given.only and number not in given.only:
            continue
        method: MethodName = "dpo" if "beta" in changes else "supervised"
        plan = {name: changes.get(name, value) for name, value in PLAN.items()}
        own = {name: value for name, value in changes.items() if name not in PLAN}
        chosen = RESOLVED[method].model_validate(BASE | own)
        with tempfile.TemporaryDirectory() as work:
            peak, dtype = measure(model, method, chosen, plan, Path(work))
        found = estimate_memory(
            ModelShape.read(model),
            chosen,
            method=method,
            longest=chosen.max_seq_length,
            device="cpu",
            dtype=dtype,
            **plan,
        )
        measured = peak - before
        name = f"{number} " + (", ".join(f"{k}={v}" for k, v in changes.items()) or "base")
        off = found.total / measured - 1
        parts = {n: round(getattr(found, n) / MIB) for n in found.__slots__}
        print(
            f"{name:52}{measured / MIB:>9.0f}{found.total / MIB:>9.0f}{off:>+6.0%}  {parts}",
            flush=True,
        )


if __name__ == "__main__":
    main()
