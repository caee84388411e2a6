"""Samples as tensors: padded batches, or several samples packed in one row.

A packed row holds whole samples only, each with positions that begin at 0; from these the
model builds a mask that keeps them apart. Not every model does, so `keeps_rows_apart` tries
it before a run relies on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import datasets
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from service.training.tokens import IGNORED, Sample

_PAD: Final = 0  # never attended to, never a label: any id does


def to_dataset(samples: Sequence[Sample]) -> datasets.Dataset:
    """An in-memory data set with int32 columns `input_ids` and `labels`, read as tensors."""
    tokens = datasets.Sequence(datasets.Value("int32"))
    return datasets.Dataset.from_dict(
        {
            "input_ids": [np.frombuffer(sample.input_ids, dtype=np.int32) for sample in samples],
            "labels": [np.frombuffer(sample.labels, dtype=np.int32) for sample in samples],
        },
        features=datasets.Features({"input_ids": tokens, "labels": tokens}),
    ).with_format("torch")


@dataclass(frozen=True)
class Padded:
    """One row a sample, padded on the right to the longest: `input_ids` and `labels` of shape
    (samples, longest), and `token_count`, padding not counted.

    There is no attention mask: a causal model looks left alone, so no token sees the padding.
    """

    def __call__(self, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
        batch = _empty(len(samples), int(lengths.max()))
        for row, sample in enumerate(samples):
            _put(batch, row, 0, sample)
        batch["token_count"] = lengths.sum()
        return batch


@dataclass(frozen=True)
class Packed:
    """Rows of at most `capacity` tokens, filled by best fit in decreasing length: `input_ids`,
    `labels` and `position_ids` of shape (rows, longest), and `token_count`."""

    capacity: int

    def __call__(self, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        lengths = [len(sample["input_ids"]) for sample in samples]
        rows = pack(lengths, self.capacity)
        width = max(sum(lengths[index] for index in row) for row in rows)
        batch = _empty(len(rows), width)
        positions = torch.zeros(len(rows), width, dtype=torch.long)
        for place, row in enumerate(rows):
            at = 0
            for index in row:
                _put(batch, place, at, samples[index])
                positions[place, at : at + lengths[index]] = torch.arange(lengths[index])
                at += lengths[index]
            # The padding is a sample of its own, with no label.
            positions[place, at:] = torch.arange(width - at)
        batch["position_ids"] = positions
        batch["token_count"] = torch.tensor(sum(lengths))
        return batch


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Which samples go in which row: each, longest first, in the row that it fills best."""
    rows: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = [row for row, room in enumerate(free) if room >= lengths[index]]
        if fitting:
            best = min(fitting, key=free.__getitem__)
            rows[best].append(index)
            free[best] -= lengths[index]
        else:
            rows.append([index])
            free.append(capacity - lengths[index])
    return rows


def _empty(rows: int, width: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.full((rows, width), _PAD),
        "labels": torch.full((rows, width), IGNORED),
    }


def _put(batch: dict[str, Tensor], row: int, at: int, sample: Mapping[str, Tensor]) -> None:
    end = at + len(sample["input_ids"])
    batch["input_ids"][row, at:end] = sample["input_ids"]
    # A sample's first label is ignored already, so no token predicts the next sample's start.
    batch["labels"][row, at:end] = sample["labels"]


@torch.no_grad()
def keeps_rows_apart(model: PreTrainedModel | Any) -> bool:
    """Whether a packed sample is blind to its neighbour: changes the first of two samples in
    a row and compares what the model makes of the second."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    positions = torch.arange(8).repeat(1, 2).to(device)
    second = torch.arange(20, 28)
    answers = []
    for first in (torch.arange(1, 9), torch.arange(40, 48)):
        ids = torch.cat([first, second])[None].to(device)
        logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        answers.append(logits[0, 8:].float())
    model.train(was_training)
    return torch.allclose(answers[0], answers[1], rtol=1e-3, atol=1e-3)
