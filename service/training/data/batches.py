"""Examples as tensors: one optimizer batch is split into parts that fit in memory.

A part is a padded batch, or rows that hold several samples each (packing). A packed row holds only
whole samples, each with positions that start at 0, from which the model builds a mask that keeps
them apart. A joined row has no padding; `attention` keeps its samples apart.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import datasets
import numpy as np
import torch
from torch import Tensor

from service.training.data.layout import pack, packed_parts, padded_parts
from service.training.data.tokens import IGNORED, Example, JudgedSample, Sample

_PAD: Final = 0  # never attended to, never a label: any id works
_PREFIXES: Final = ("", "worse_")
# One example as returned by the dataset.
_Columns = Mapping[str, Tensor]
# Makes the parts of an optimizer batch.
Collator = Callable[[Sequence[_Columns]], dict[str, Any]]


def to_dataset(examples: Sequence[Example], first: int = 0) -> datasets.Dataset:
    """Build an in-memory dataset that is read as tensors.

    It has int32 columns `input_ids` and `labels`. For pairs, these hold the better answer, and
    `worse_input_ids` and `worse_labels` hold the worse one. Judged answers have a column `is_good`.
    Examples that are compared with a reference have a `number`, counted from `first`.
    """
    rows = [example.rows for example in examples]
    columns: dict[str, Any] = {}
    for place in range(len(rows[0])):
        prefix = _PREFIXES[place]
        columns[f"{prefix}input_ids"] = [_integers(row[place].input_ids) for row in rows]
        columns[f"{prefix}labels"] = [_integers(row[place].labels) for row in rows]
    features = dict.fromkeys(columns, datasets.Sequence(datasets.Value("int32")))
    if labels := [example.is_good for example in examples if isinstance(example, JudgedSample)]:
        columns["is_good"] = labels
        features["is_good"] = datasets.Value("bool")
    if not isinstance(examples[0], Sample):
        columns["number"] = list(range(first, first + len(examples)))
        features["number"] = datasets.Value("int32")
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features)).with_format(
        "torch"
    )


def _integers(values: array[int]) -> Any:
    return np.frombuffer(values, dtype=np.int32)


@dataclass(frozen=True)
class Padded:
    """Collates into parts of at most `budget` positions (at least one example each).

    Each row is one sample, right-padded to the longest. The result is ``{"parts": [{"input_ids",
    "labels" of shape (samples, longest), "token_count"}, …], "units"}``. `token_count` excludes
    padding, and `units` is the number of supervised tokens of the batch. There is no attention
    mask: a causal model attends only to the left, so no token sees the padding.
    """

    budget: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        parts = padded_parts([len(sample["input_ids"]) for sample in samples], self.budget)
        return _batch([pad_rows([samples[index] for index in part]) for part in parts])


@dataclass(frozen=True)
class PaddedPairs:
    """`Padded` with two rows per pair: the better answers of all pairs of a part, then the worse.

    `units` is the number of pairs. ``"numbers"`` of a part are those of its pairs.
    """

    budget: int

    def __call__(self, pairs: Sequence[_Columns]) -> dict[str, Any]:
        lengths = [max(len(pair[f"{prefix}input_ids"]) for prefix in _PREFIXES) for pair in pairs]
        parts = [
            pad_rows([side(pairs[index], prefix) for prefix in _PREFIXES for index in part])
            | {"numbers": numbers_of(pairs[index] for index in part)}
            for part in padded_parts(lengths, self.budget // 2)
        ]
        return _batch(parts) | {"units": len(pairs)}


@dataclass(frozen=True)
class Packed:
    """Collates into parts of at most `budget` positions, with several samples per row.

    Rows are as long as the longest sample and hold as many samples as fit. The result is that of
    `Padded`, plus `position_ids` of the shape of `input_ids`.
    """

    budget: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        parts = packed_parts([len(sample["input_ids"]) for sample in samples], self.budget)
        return _batch([_pack(samples, rows) for rows in parts])


@dataclass(frozen=True)
class Joined:
    """Collates into parts of one row each: as many whole samples as fit `budget`, end to end.

    The result is that of `Packed`, plus `cu_seq_lens_q`: the start of each sample, followed by the
    total width, and `max_length_q`: the length of the longest sample, an int.
    """

    budget: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        lengths = [len(sample["input_ids"]) for sample in samples]
        return _batch([_join(samples, row) for row in pack(lengths, self.budget)])


@dataclass(frozen=True)
class Shared:
    """One rank's share of the batches of `whole`.

    The share is every `size`-th sample of a batch that is sorted by length, so that all shares have
    similar lengths. The result has the rank's own ``"parts"`` and the ``"units"`` of the whole
    batch. All ranks compute the same number of parts, because they exchange weights (FSDP) and
    control messages at each. A rank with fewer parts goes through ``"fillers"`` after its own,
    which must not count toward anything.
    """

    whole: Collator
    index: int
    size: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        shares = [samples[rank :: self.size] for rank in range(min(self.size, len(samples)))]
        batches = [self.whole(share) for share in shares]
        own = batches[self.index]["parts"] if self.index < len(batches) else []
        missing = max(len(batch["parts"]) for batch in batches) - len(own)
        shortest = min(samples, key=lambda sample: len(sample["input_ids"]))
        return {
            "parts": own,
            "fillers": [self.whole([shortest])["parts"][0] for _ in range(missing)],
            "units": sum(batch["units"] for batch in batches),
        }


def extent(part: Mapping[str, Any]) -> tuple[int, int]:
    """Number of positions in a part, and the length of its longest row (or sample, if joined)."""
    rows, width = part["input_ids"].shape
    if "cu_seq_lens_q" in part:
        return width, int(part["max_length_q"])
    return rows * width, width


def numbers_of(samples: Iterable[_Columns]) -> list[int]:
    """The numbers of examples."""
    return [int(sample["number"]) for sample in samples]


def side(pair: _Columns, prefix: str) -> _Columns:
    """The columns that have the prefix, under their plain names."""
    return {name: pair[f"{prefix}{name}"] for name in ("input_ids", "labels")}


def _batch(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"parts": parts, "units": sum(int((p["labels"] != IGNORED).sum()) for p in parts)}


def pad_rows(samples: Sequence[_Columns]) -> dict[str, Tensor]:
    """One row a sample, padded on the right to the longest, and `token_count`."""
    lengths = [len(sample["input_ids"]) for sample in samples]
    part = _empty(len(samples), max(lengths))
    for row, sample in enumerate(samples):
        _put(part, row, 0, sample)
    part["token_count"] = torch.tensor(sum(lengths))
    return part


def _pack(samples: Sequence[_Columns], rows: list[list[int]]) -> dict[str, Tensor]:
    lengths = {index: len(samples[index]["input_ids"]) for row in rows for index in row}
    width = max(sum(lengths[index] for index in row) for row in rows)
    part = _empty(len(rows), width)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    for place, row in enumerate(rows):
        at = 0
        for index in row:
            _put(part, place, at, samples[index])
            positions[place, at : at + lengths[index]] = torch.arange(lengths[index])
            at += lengths[index]
        # The padding is treated as a separate sample, without labels.
        positions[place, at:] = torch.arange(width - at)
    part["position_ids"] = positions
    part["token_count"] = torch.tensor(sum(lengths.values()))
    return part


def _join(samples: Sequence[_Columns], row: list[int]) -> dict[str, Any]:
    lengths = [len(samples[index]["input_ids"]) for index in row]
    places = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    return _pack(samples, [row]) | {"cu_seq_lens_q": places, "max_length_q": max(lengths)}


def _empty(rows: int, width: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.full((rows, width), _PAD),
        "labels": torch.full((rows, width), IGNORED),
    }


def _put(batch: dict[str, Tensor], row: int, at: int, sample: _Columns) -> None:
    end = at + len(sample["input_ids"])
    batch["input_ids"][row, at:end] = sample["input_ids"]
    # A sample's first label is already ignored, so no token predicts the next sample's start.
    batch["labels"][row, at:end] = sample["labels"]
