"""Training contestant: plain TRL, SFTTrainer with its defaults, as a separate process.

    python bench/training/plain.py MODEL_FOLDER ROWS.jsonl BATCH_SIZE RANK SEED ADAPTER_FOLDER
        [--packing] [--bf16 | --fp16] [--nf4] [--no-checkpointing]

TRL defaults to fp32 weights and gradient checkpointing; ours are bfloat16 without checkpointing.

Prints one JSON object: tokens (without padding), seconds in train(), and the peak of resident bytes
or, on a GPU, of allocated ones. The loss covers only the answers, which is TRL's default for rows
with prompt and completion.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def precision(torch: Any) -> dict[str, Any]:
    """Return the arguments that load and compute in the precision of the command line."""
    names = {"--bf16": "bfloat16", "--fp16": "float16"}
    dtype = next((names[option] for option in names if option in sys.argv), None)
    if dtype is None:
        return {}
    options: dict[str, Any] = {"dtype": dtype}
    if "--nf4" in sys.argv:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    return {"model_init_kwargs": options, "bf16": dtype == "bfloat16", "fp16": dtype == "float16"}


def peak_bytes(torch: Any) -> int:
    """Return the most memory that this process had on the GPU, or resident without one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(model: str, rows: Path, batch_size: int, rank: int, seed: int, out: Path) -> None:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    chats = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    dataset = Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in chats])
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=folder,
                use_cpu=not torch.cuda.is_available(),  # TRL requires it
                num_train_epochs=1,
                per_device_train_batch_size=batch_size,
                seed=seed,
                learning_rate=2e-4,
                packing="--packing" in sys.argv,
                gradient_checkpointing="--no-checkpointing" not in sys.argv,
                **precision(torch),
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=dataset,
            peft_config=LoraConfig(
                task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear"
            ),
        )
        tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        trainer.save_model(str(out))
    figures = {
        "tokens": tokens,
        "seconds": seconds,
        "peak_bytes": peak_bytes(torch),
        "steps": trainer.state.global_step,
        "dtype": str(trainer.model.dtype),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    batch_size, rank, seed = (int(number) for number in arguments[2:5])
    main(arguments[0], Path(arguments[1]), batch_size, rank, seed, Path(arguments[5]))
