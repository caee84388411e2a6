"""Encoders that look up a vector for each token and average them.

Folders of Model2Vec and of Sentence Transformers' StaticEmbedding are such encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.datasets.errors import refuse
from service.datasets.meaning.tensors import Floats, Tensor
from service.datasets.meaning.tokens import EncoderTokenizer

_TABLES = ("embeddings", "embedding.weight")
_TEXTS_AT_ONCE = 1024


class StaticEncoder:
    """Averages the vectors of a text's tokens."""

    def __init__(self, folder: Path, tensors: dict[str, Tensor]) -> None:
        self._tokens = EncoderTokenizer(folder)
        table = next((tensors[name] for name in _TABLES if name in tensors), None)
        if table is None or len(table.shape) != 2:
            raise refuse("encoder_unusable", reason=f"it has no tensor {' or '.join(_TABLES)}")
        self._table = table
        self.dimensions = table.shape[1]
        # A quantized vocabulary: the row of each token, and a weight that its row had.
        self._rows = tensors["mapping"].integers() if "mapping" in tensors else None
        self._weights = tensors["weights"].whole() if "weights" in tensors else None

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = texts[start : start + _TEXTS_AT_ONCE]
            ids = self._tokens(part, most=None, with_special=False)
            vectors[start : start + len(part)] = self._means(ids)
        return vectors

    def _means(self, ids: list[list[int]]) -> Floats:
        lengths = np.array([len(one) for one in ids], dtype=np.int64)
        flat = np.fromiter((token for one in ids for token in one), np.int64, int(lengths.sum()))
        means = np.zeros((len(ids), self.dimensions), dtype=np.float32)
        filled = np.flatnonzero(lengths)
        if not len(filled):
            return means
        ends = np.cumsum(lengths[filled])
        sums = np.add.reduceat(self._vectors(flat), ends - lengths[filled], axis=0)
        means[filled] = sums / lengths[filled, None]
        return means

    def _vectors(self, ids: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
        rows = ids if self._rows is None else self._rows[np.minimum(ids, len(self._rows) - 1)]
        vectors = self._table.take(np.minimum(rows, self._table.shape[0] - 1))
        if self._weights is not None:
            vectors = vectors * self._weights[np.minimum(ids, len(self._weights) - 1), None]
        return vectors
