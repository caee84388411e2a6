"""Scores adapters by their loss on held-out rows, with the same code for every contestant.

    python bench/training/score.py MODEL_FOLDER HELD_OUT.jsonl ADAPTER_FOLDER …

Prints a JSON list with the mean loss per answer token of each adapter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(model_folder: str, rows: Path, adapters: list[str]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    chats = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    scores = []
    for adapter in adapters:
        base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, adapter).eval()
        total, count = 0.0, 0
        for chat in chats:
            whole = tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
            prompt = tokenizer.apply_chat_template(
                chat[:-1], return_dict=True, add_generation_prompt=True
            )["input_ids"]
            ids = torch.tensor([whole])
            labels = ids.clone()
            labels[:, : len(prompt)] = -100
            with torch.no_grad():
                loss = model(input_ids=ids, labels=labels).loss.item()
            total += loss * (len(whole) - len(prompt))
            count += len(whole) - len(prompt)
        scores.append(total / count)
    print(json.dumps(scores))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
