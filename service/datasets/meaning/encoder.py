"""Text encoders in folders: static ones, and transformers of the BERT and RoBERTa families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from service.datasets.errors import DatasetError, refuse
from service.datasets.meaning.static import StaticEncoder
from service.datasets.meaning.tensors import Floats, Tensor, read_tensors
from service.datasets.meaning.transformer import MODEL_TYPES, Pooling, TransformerEncoder

WEIGHTS = "model.safetensors"
_MODULES_WITHOUT_EFFECT = ("Normalize", "Dropout")  # all vectors are normalized anyway


class Encoder(Protocol):
    """Turns texts into vectors. The more two texts mean the same, the smaller the angle."""

    dimensions: int

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text."""


def open_encoder(folder: Path) -> Encoder:
    """Open the encoder in a folder. Raises DatasetError if its form is not supported."""
    modules = _modules(folder)
    body = folder / (modules[0][1] if modules else "")
    if not (body / WEIGHTS).is_file() or not (body / "tokenizer.json").is_file():
        raise refuse("encoder_unusable", reason=f"it needs {WEIGHTS} and tokenizer.json")
    tensors = read_tensors(body / WEIGHTS)
    config = _json(body / "config.json") if (body / "config.json").is_file() else {}
    if "num_hidden_layers" not in config:
        return StaticEncoder(body, tensors)
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        reason = f"its type is '{str(model_type)[:40]}', not static, {', '.join(MODEL_TYPES)}"
        raise refuse("encoder_unusable", reason=reason)
    settings = body / "sentence_bert_config.json"
    most = _json(settings).get("max_seq_length") if settings.is_file() else None
    try:
        pooling = _pooling(folder, modules[1:])
        return TransformerEncoder(body, config, tensors, pooling, most)
    except DatasetError:
        raise
    except (KeyError, TypeError, ValueError) as e:
        raise refuse("encoder_unusable", reason="its configuration is incomplete") from e


def unit_vectors(encoder: Encoder, texts: Sequence[str]) -> Floats:
    """Return a vector of length 1 for each text, or of length 0 if the encoder knows none of it."""
    vectors = encoder.encode(texts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return the class and folder of each module of a Sentence Transformers model."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        listed = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
        found = [(str(m["type"]).rpartition(".")[2], str(m["path"])) for m in listed]
    except (msgspec.DecodeError, KeyError) as e:
        raise refuse("encoder_unusable", reason="its modules.json is invalid") from e
    if not found or any(Path(path).is_absolute() or ".." in path for _, path in found):
        raise refuse("encoder_unusable", reason="its modules.json is invalid")
    return found


def _pooling(folder: Path, modules: list[tuple[str, str]]) -> Pooling:
    pooling = Pooling()
    for kind, path in modules:
        if kind == "Pooling":
            config = _json(folder / path / "config.json")
            chosen = {name for name, value in config.items() if value is True} | {
                f"pooling_mode_{config['pooling_mode']}_token"
                for _ in range("pooling_mode" in config)
            }
            first = any(name.startswith("pooling_mode_cls_token") for name in chosen)
            mean = any(name.startswith("pooling_mode_mean_token") for name in chosen)
            if first == mean:
                raise refuse("encoder_unusable", reason="its pooling is neither cls nor mean")
            pooling = pooling._replace(first_token=first)
        elif kind == "Dense":
            pooling = pooling._replace(dense=_dense(folder / path))
        elif kind not in _MODULES_WITHOUT_EFFECT:
            raise refuse("encoder_unusable", reason=f"it has a module {kind[:40]}")
    return pooling


def _dense(folder: Path) -> tuple[Floats, Floats | None, bool]:
    config = _json(folder / "config.json")
    activation = str(config["activation_function"]).rpartition(".")[2]
    if activation not in ("Tanh", "Identity"):
        raise refuse("encoder_unusable", reason=f"its activation is {activation[:40]}")
    tensors: dict[str, Tensor] = read_tensors(folder / WEIGHTS)
    bias = tensors["linear.bias"].whole() if "linear.bias" in tensors else None
    return tensors["linear.weight"].whole(), bias, activation == "Tanh"


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, FileNotFoundError) as e:
        raise refuse("encoder_unusable", reason=f"its {path.name} cannot be read") from e
