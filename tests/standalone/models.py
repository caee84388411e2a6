"""A data folder with the parts of a base model that plans need."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from scripts.open_models import OPEN_MODELS


def folder_with(name: str, tmp_path: Path) -> Path:
    """A data folder whose catalog has a model, as a config and the headers of its tensors."""
    (model,) = [model for model in OPEN_MODELS if model.id == f"Qwen/{name}"]
    assert model.shape is not None
    given, shape = model.shape, model.shape.model()
    words = [given.vocabulary, given.hidden]
    tensors = {f"model.{layer.name}": [layer.outputs, layer.inputs] for layer in shape.linears}
    tensors |= {"model.embed_tokens": words, "lm_head": words}
    header = {
        f"{name}.weight": {"dtype": "BF16", "shape": size, "data_offsets": [0, 0]}
        for name, size in tensors.items()
    }
    raw = json.dumps(header).encode()
    folder = tmp_path / name.lower()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    config = {
        "hidden_size": given.hidden,
        "intermediate_size": given.intermediate,
        "num_hidden_layers": given.layers,
        "num_attention_heads": given.heads,
        "num_key_value_heads": given.kv_heads,
        "head_dim": given.head,
        "vocab_size": given.vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "models.yaml").write_text(
        f"models:\n- {{id: {name.lower()}, path: {folder}, license: apache-2.0, "
        f"context_length: {model.context}, parameters: {shape.parameters}}}\n"
    )
    return tmp_path
