"""A base model's folder, as small as one can be."""

from __future__ import annotations

import json
import struct
from pathlib import Path


def model_folder(parent: Path) -> Path:
    """One tensor of 200 weights, and all the files that a base model has."""
    path = parent / "model"
    path.mkdir()
    (path / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096})
    )
    (path / "tokenizer.json").write_text("{}")
    (path / "chat_template.jinja").write_text("{{ messages }}")
    header = json.dumps(
        {"w": {"dtype": "BF16", "shape": [10, 20], "data_offsets": [0, 400]}}
    ).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 400)
    return path
