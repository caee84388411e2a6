"""Training contestant: LLaMA-Factory, as a process in its own virtual environment.

    VENV/bin/python bench/training/llama_factory.py MODEL ROWS.jsonl BATCH_SIZE RANK SEED ADAPTER

Prints one JSON object, like plain.py; the caller fills in `tokens`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path


def main(model: str, rows: Path, batch_size: int, rank: int, seed: int, out: Path) -> None:
    from llamafactory.train.tuner import run_exp

    data = out.parent / f"{out.name}-data"
    data.mkdir(parents=True)
    described = {
        "file_name": str(rows),
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
    (data / "dataset_info.json").write_text(json.dumps({"rows": described}))
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": model,
            "dataset": "rows",
            "dataset_dir": str(data),
            "template": "chatml",  # SmolLM2's template
            "finetuning_type": "lora",
            "lora_rank": rank,
            "lora_alpha": 2 * rank,
            "lora_target": "all",
            "bf16": True,
            "cutoff_len": 1024,
            "num_train_epochs": 1,
            "per_device_train_batch_size": batch_size,
            "gradient_accumulation_steps": 1,
            "learning_rate": 2e-4,
            "seed": seed,
            "output_dir": str(out),
            "overwrite_output_dir": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": "none",
            "preprocessing_num_workers": 1,
            "use_cpu": True,
        }
    )
    results = json.loads((out / "train_results.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": results["train_runtime"], "peak_bytes": peak}))


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    given = sys.argv[1:]
    batch_size, rank, seed = (int(number) for number in given[2:5])
    main(given[0], Path(given[1]), batch_size, rank, seed, Path(given[5]))
