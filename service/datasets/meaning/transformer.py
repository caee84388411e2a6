"""Encoders of the BERT and RoBERTa families, computed with numpy.

A file of a few thousand questions takes seconds to minutes on a CPU, and the workers that read
files need no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.datasets.errors import refuse
from service.datasets.meaning.tensors import Floats, Tensor
from service.datasets.meaning.tokens import EncoderTokenizer

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")
_POSITIONS_AFTER_PADDING = MODEL_TYPES[1:]  # their first position is the one after the pad token
# Larger batches leave the processor's cache: 2,000 tokens are within 5% of the fastest.
_TOKENS_A_BATCH = 2_048
_MASKED = np.float32(-1e9)


class Pooling(NamedTuple):
    """How a text's vector follows from the vectors of its tokens."""

    first_token: bool = False
    dense: tuple[Floats, Floats | None, bool] | None = None
    """Weight, bias, and whether a hyperbolic tangent follows."""


class _Layer(NamedTuple):
    qkv: Floats
    qkv_bias: Floats
    out: Floats
    out_bias: Floats
    out_norm: tuple[Floats, Floats]
    up: Floats
    up_bias: Floats
    down: Floats
    down_bias: Floats
    down_norm: tuple[Floats, Floats]


class TransformerEncoder:
    """Runs a text encoder on the CPU."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        tensors: dict[str, Tensor],
        pooling: Pooling,
        max_tokens: int | None,
    ) -> None:
        _check(config)
        self._tokens = EncoderTokenizer(folder)
        self._pooling = pooling
        self._heads = int(config["num_attention_heads"])
        self._epsilon = np.float32(config.get("layer_norm_eps", 1e-12))
        shifted = config["model_type"] in _POSITIONS_AFTER_PADDING
        self._first_position = int(config.get("pad_token_id", 1)) + 1 if shifted else 0
        longest = int(config["max_position_embeddings"]) - self._first_position
        self._max_tokens = min(max_tokens or longest, longest)
        weights = _Weights(tensors)
        self._words = weights.tensor("embeddings.word_embeddings.weight")
        self._positions = weights["embeddings.position_embeddings.weight"]
        self._type = weights["embeddings.token_type_embeddings.weight"][0]
        self._norm = weights.norm("embeddings.LayerNorm")
        self._layers = [weights.layer(at) for at in range(int(config["num_hidden_layers"]))]
        self._hidden = self._words.shape[1]
        dense = pooling.dense
        self.dimensions = self._hidden if dense is None else len(dense[0])

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text."""
        ids = self._tokens(texts, most=self._max_tokens, with_special=True)
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for batch in _batches([len(one) for one in ids]):
            vectors[batch] = self._pooled([ids[at] for at in batch])
        return vectors

    def _pooled(self, ids: list[list[int]]) -> Floats:
        lengths = np.array([len(one) for one in ids])
        width = max(int(lengths.max()), 1)
        mask = np.arange(width) < lengths[:, None]
        padded = np.zeros((len(ids), width), dtype=np.int64)
        padded[mask] = [token for one in ids for token in one]
        hidden = self._states(padded, mask)
        if self._pooling.first_token:
            pooled = hidden[:, 0]
        else:
            kept = mask[:, :, None].astype(np.float32)
            pooled = (hidden * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)
        if self._pooling.dense is None:
            return np.asarray(pooled)
        weight, bias, has_tanh = self._pooling.dense
        pooled = pooled @ weight.T
        if bias is not None:
            pooled += bias
        return np.tanh(pooled) if has_tanh else pooled

    def _states(self, ids: Any, mask: Any) -> Floats:
        many, width = ids.shape
        words = self._words.take(np.minimum(ids.ravel(), self._words.shape[0] - 1))
        places = self._positions[self._first_position : self._first_position + width]
        x = words.reshape(many, width, -1) + places + self._type
        x = self._normed(x, self._norm).reshape(many * width, -1)
        hidden_from = np.where(mask, np.float32(0), _MASKED)[:, None, None, :]
        for layer in self._layers:
            attended = self._attention(x, layer, hidden_from, many, width)
            x = self._normed(x + attended @ layer.out + layer.out_bias, layer.out_norm)
            inner = _gelu(x @ layer.up + layer.up_bias)
            x = self._normed(x + inner @ layer.down + layer.down_bias, layer.down_norm)
        return np.asarray(x.reshape(many, width, -1))

    def _attention(self, x: Floats, layer: _Layer, bias: Floats, many: int, width: int) -> Floats:
        parts = (x @ layer.qkv + layer.qkv_bias).reshape(many, width, 3, self._heads, -1)
        query, key, value = parts.transpose(2, 0, 3, 1, 4)
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(query.shape[-1] ** 0.5) + bias
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.asarray((scores @ value).transpose(0, 2, 1, 3).reshape(many * width, -1))

    def _normed(self, x: Floats, norm: tuple[Floats, Floats]) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(x).mean(axis=-1, keepdims=True)
        return np.asarray(x / np.sqrt(variance + self._epsilon) * norm[0] + norm[1])


class _Weights:
    """The tensors of a model, with or without the prefix of the model they were saved in."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        marker = "embeddings.word_embeddings.weight"
        found = next((name for name in tensors if name.endswith(marker)), None)
        if found is None:
            raise refuse("encoder_unusable", reason=f"it has no tensor {marker}")
        self._tensors, self._prefix = tensors, found.removesuffix(marker)

    def tensor(self, name: str) -> Tensor:
        try:
            return self._tensors[self._prefix + name]
        except KeyError:
            raise refuse("encoder_unusable", reason=f"it has no tensor {name}") from None

    def __getitem__(self, name: str) -> Floats:
        return self.tensor(name).whole()

    def norm(self, name: str) -> tuple[Floats, Floats]:
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def layer(self, at: int) -> _Layer:
        start = f"encoder.layer.{at}"
        mine = [f"{start}.attention.self.{name}" for name in ("query", "key", "value")]
        return _Layer(
            np.ascontiguousarray(np.concatenate([self[f"{n}.weight"] for n in mine]).T),
            np.concatenate([self[f"{n}.bias"] for n in mine]),
            self._turned(f"{start}.attention.output.dense.weight"),
            self[f"{start}.attention.output.dense.bias"],
            self.norm(f"{start}.attention.output.LayerNorm"),
            self._turned(f"{start}.intermediate.dense.weight"),
            self[f"{start}.intermediate.dense.bias"],
            self._turned(f"{start}.output.dense.weight"),
            self[f"{start}.output.dense.bias"],
            self.norm(f"{start}.output.LayerNorm"),
        )

    def _turned(self, name: str) -> Floats:
        return np.ascontiguousarray(self[name].T)


def _check(config: dict[str, Any]) -> None:
    if config.get("hidden_act", "gelu") != "gelu":
        raise refuse("encoder_unusable", reason="its hidden_act is not gelu")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise refuse("encoder_unusable", reason="its positions are not absolute")


def _batches(lengths: list[int]) -> list[list[int]]:
    """Return the places of the texts in batches of similar length."""
    batches: list[list[int]] = []
    width = 0
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        width = max(lengths[at], 1)
        if not batches or width * (len(batches[-1]) + 1) > _TOKENS_A_BATCH:
            batches.append([])
        batches[-1].append(at)
    return batches


def _gelu(x: Floats) -> Floats:
    return x * np.float32(0.5) * (1 + _erf(x * np.float32(0.7071067811865476)))


def _erf(x: Floats) -> Floats:
    """Return the error function, within 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    series = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(factor)
    return np.asarray(np.copysign(1 - series * t * np.exp(-x * x), x))
