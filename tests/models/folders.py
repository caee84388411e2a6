"""The smallest possible folder of a base model."""

from __future__ import annotations

import json
import struct
from importlib import resources
from pathlib import Path


def model_folder(parent: Path) -> Path:
    """Create a folder with one tensor of 200 weights and all files of a base model."""
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


def with_template(folder: Path, name: str) -> Path:
    """Write the chat template of a real model, as shipped with TRL, into a folder."""
    source = resources.files("trl") / "chat_templates" / f"{name}.jinja"
    folder.mkdir(exist_ok=True)
    (folder / "chat_template.jinja").write_text(source.read_text("utf-8"), "utf-8")
    return folder
