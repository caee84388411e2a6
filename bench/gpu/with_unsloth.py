"""Training contestant: Unsloth's FastLanguageModel with TRL's SFTTrainer, as a separate process.

    python bench/gpu/with_unsloth.py MODEL_FOLDER ROWS.jsonl BATCH_SIZE RANK SEED ADAPTER_FOLDER
        [--bf16 | --fp16] [--nf4]

Its own settings are those of Unsloth's notebooks: all linear layers, no dropout, its gradient
checkpointing. Prints what `bench/training/plain.py` prints. Written for Unsloth's documented API,
and not run yet, because it needs a GPU.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main(model: str, rows: Path, batch_size: int, rank: int, seed: int, out: Path) -> None:
    from unsloth import FastLanguageModel  # isort: skip  # patches the libraries below

    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    half: Any = torch.float16 if "--fp16" in sys.argv else torch.bfloat16
    base, tokenizer = FastLanguageModel.from_pretrained(
        model_name=model, max_seq_length=1024, dtype=half, load_in_4bit="--nf4" in sys.argv
    )
    adapted = FastLanguageModel.get_peft_model(
        base,
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0,
        bias="none",
        target_modules=_LAYERS,
        use_gradient_checkpointing="unsloth",
        random_state=seed,
    )
    chats = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    dataset = Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in chats])
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=adapted,
            processing_class=tokenizer,
            train_dataset=dataset,
            args=SFTConfig(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=batch_size,
                seed=seed,
                learning_rate=2e-4,
                bf16=half == torch.bfloat16,
                fp16=half == torch.float16,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
        )
        tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        adapted.save_pretrained(str(out))
    peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"tokens": tokens, "seconds": seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    batch_size, rank, seed = (int(number) for number in arguments[2:5])
    main(arguments[0], Path(arguments[1]), batch_size, rank, seed, Path(arguments[5]))
