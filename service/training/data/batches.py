"""Collates the examples of an optimizer batch into tensors, in parts that fit in memory.

A part is a padded batch, or rows that hold several samples each (packing). A packed row holds only
whole samples, each with positions that start at 0, from which the model builds a mask that keeps
them apart. A joined row has no padding; `attention` keeps its samples apart. Pairs, labeled answers
(with mismatches for KTO's reference point) and graded answers are padded.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import datasets
import numpy as np
import torch
from torch import Tensor

from service.training.contract.samples import Answer
from service.training.data.layout import pack, packed_parts, padded_parts
from service.training.data.tokenization import IGNORED, Example, LabeledSample, Prompt, Sample

_PAD: Final = 0  # never attended to, never a label: any id works
# Of the columns of a pair's answers, the better one first.
_PAIR: Final = ("", "worse_")
_MISMATCH: Final = "mismatched_"
_SAMPLED: Final = "sampled_log_probs"
# One example as returned by the dataset.
Columns = Mapping[str, Tensor]
# Makes the parts of an optimizer batch.
Collator = Callable[[Sequence[Columns]], dict[str, Any]]


def to_dataset(examples: Sequence[Example], first: int = 0) -> datasets.Dataset:
    """Build an in-memory dataset that is read as tensors.

    It has int32 columns `input_ids` and `labels`. For pairs, these hold the better answer, and
    `worse_input_ids` and `worse_labels` hold the worse one. Labeled answers have a column
    `is_good`. Examples that are compared with a reference have a `number`, counted from `first`.
    """
    rows = [example.rows for example in examples]
    columns: dict[str, Any] = {}
    for at, prefix in enumerate(_PAIR[: len(rows[0])]):
        columns[f"{prefix}input_ids"] = [_integers(row[at].input_ids) for row in rows]
        columns[f"{prefix}labels"] = [_integers(row[at].labels) for row in rows]
    features = dict.fromkeys(columns, datasets.Sequence(datasets.Value("int32")))
    if labels := [example.is_good for example in examples if isinstance(example, LabeledSample)]:
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


def to_sample(prompt: Prompt, answer: Answer, advantage: float) -> dict[str, Any]:
    """Return a training sample: the prompt and the answer, of which only the answer has labels.

    ``"sampled_log_probs"``, of the shape of ``"input_ids"``, are those of the model that was
    sampled, and NaN where they are unknown.
    """
    before = prompt.tokens.input_ids
    ids = torch.tensor(before + array("i", answer.token_ids))
    labels = ids.clone()
    labels[: len(before)] = IGNORED
    sampled = torch.full(ids.shape, math.nan)
    if answer.logprobs is not None:
        known = [math.nan if value is None else value for value in answer.logprobs]
        sampled[len(before) :] = torch.tensor(known)
    return {
        "input_ids": ids,
        "labels": labels,
        _SAMPLED: sampled,
        "advantage": torch.tensor(advantage),
    }


@dataclass(frozen=True)
class PaddedCollator:
    """Collates into parts of at most `budget` positions (at least one example each).

    Each row is one sample, right-padded to the longest. The result is ``{"parts": [{"input_ids",
    "labels" of shape (samples, longest), "scored" of shape (2, tokens), "token_count"}, …],
    "units"}``. `scored` has the row and the column of each position that predicts a label, so that
    a GPU need not look for them. `token_count` is an int that excludes padding, and `units` is the
    number of supervised tokens of the batch. There is no attention mask: a causal model attends
    only to the left, so no token sees the padding.
    """

    budget: int

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
        parts = padded_parts([len(sample["input_ids"]) for sample in samples], self.budget)
        return _batch([pad_rows([samples[index] for index in part]) for part in parts])


@dataclass(frozen=True)
class PackedCollator:
    """Collates into parts of at most `budget` positions, with several samples per row.

    Rows are as long as the longest sample and hold as many samples as fit. The result is that of
    `PaddedCollator`, plus `position_ids` of the shape of `input_ids`.
    """

    budget: int

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
        parts = packed_parts([len(sample["input_ids"]) for sample in samples], self.budget)
        return _batch([_pack(samples, rows) for rows in parts])


@dataclass(frozen=True)
class JoinedCollator:
    """Collates into parts of one row each: as many whole samples as fit `budget`, end to end.

    The result is that of `PackedCollator`, plus `cu_seq_lens_q`: the start of each sample,
    followed by the total width, and `max_length_q`: the length of the longest sample, an int.
    """

    budget: int

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
        lengths = [len(sample["input_ids"]) for sample in samples]
        return _batch([_join(samples, row) for row in pack(lengths, self.budget)])


@dataclass(frozen=True)
class PairCollator:
    """Collates pairs into padded rows: the better answers of all pairs of a part, then the worse.

    `units` is the number of pairs. ``"numbers"`` of a part are those of its pairs.
    """

    budget: int

    def __call__(self, pairs: Sequence[Columns]) -> dict[str, Any]:
        lengths = [max(len(pair[f"{prefix}input_ids"]) for prefix in _PAIR) for pair in pairs]
        parts = [
            pad_rows([columns_with(prefix, pairs[index]) for prefix in _PAIR for index in part])
            | {"numbers": numbers_of(pairs[index] for index in part)}
            for part in padded_parts(lengths, self.budget // 2)
        ]
        return _batch(parts) | {"units": len(pairs)}


@dataclass(frozen=True)
class LabeledCollator:
    """Collates labeled answers, which must come from `MismatchCollator`, into padded rows.

    Each part also has ``"is_good"``, with one value per row, ``"mismatched"``, with the padded
    mismatch of each row, and ``"numbers"``, with those of its answers. `units` is the number of
    answers.
    """

    budget: int

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
        lengths = [
            max(len(sample["input_ids"]), len(sample[f"{_MISMATCH}input_ids"]))
            for sample in samples
        ]
        parts = [
            self._part([samples[index] for index in part])
            for part in padded_parts(lengths, self.budget)
        ]
        return _batch(parts) | {"units": len(samples)}

    def _part(self, samples: Sequence[Columns]) -> dict[str, Any]:
        mismatched = pad_rows([columns_with(_MISMATCH, sample) for sample in samples])
        del mismatched["token_count"]
        return pad_rows(samples) | {
            "is_good": torch.stack([sample["is_good"] for sample in samples]),
            "mismatched": mismatched,
            "numbers": numbers_of(samples),
        }


@dataclass(frozen=True)
class MismatchCollator:
    """Adds a mismatch to each sample of a batch, then collates with `whole`.

    A mismatch is the sample's prompt followed by the answer of the next sample in the batch,
    truncated at `max_length` tokens. Mismatches are added before the batch is divided, so they do
    not depend on the number of parts or GPUs. If a batch has only one sample, its mismatch has no
    labeled tokens.
    """

    whole: Collator
    max_length: int

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
        following = [*samples[1:], samples[0]]
        return self.whole(
            [
                {**sample, **self._mismatch(sample, other if other is not sample else None)}
                for sample, other in zip(samples, following, strict=True)
            ]
        )

    def _mismatch(self, sample: Columns, other: Columns | None) -> dict[str, Tensor]:
        prompt = sample["input_ids"][: _answer_start(sample)]
        answer = [] if other is None else [other["input_ids"][_answer_start(other) :]]
        ids = torch.cat([prompt, *answer])[: self.max_length]
        labels = ids.clone()
        labels[: len(prompt)] = IGNORED
        return {f"{_MISMATCH}input_ids": ids, f"{_MISMATCH}labels": labels}


@dataclass(frozen=True)
class AnswerCollator:
    """Collates answered prompts into padded rows. `units` counts the tokens of the answers.

    Each part also has ``"advantages"``, with one value per row, and ``"sampled_log_probs"``.
    """

    budget: int

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
        parts = padded_parts([len(sample["input_ids"]) for sample in samples], self.budget)
        return _batch([self._part([samples[index] for index in part]) for part in parts])

    def _part(self, samples: Sequence[Columns]) -> dict[str, Any]:
        part = pad_rows(samples)
        sampled = torch.full(part["input_ids"].shape, math.nan)
        for row, sample in enumerate(samples):
            sampled[row, : len(sample[_SAMPLED])] = sample[_SAMPLED]
        part[_SAMPLED] = sampled
        part["advantages"] = torch.stack([sample["advantage"] for sample in samples])
        return part


def collate_numbers(prompts: Sequence[Columns]) -> dict[str, Any]:
    """Return the numbers of the prompts of a batch, which have no answers yet."""
    return {"numbers": numbers_of(prompts)}


@dataclass(frozen=True)
class RankCollator:
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

    def __call__(self, samples: Sequence[Columns]) -> dict[str, Any]:
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
    """Return a part's number of positions, and its longest row (or sample, if joined)."""
    rows, width = part["input_ids"].shape
    if "cu_seq_lens_q" in part:
        return width, int(part["max_length_q"])
    return rows * width, width


def pad_rows(samples: Sequence[Columns]) -> dict[str, Any]:
    """Return one row per sample, padded on the right to the longest, as `PaddedCollator` does."""
    lengths = [len(sample["input_ids"]) for sample in samples]
    part = _empty(len(samples), max(lengths))
    for row, sample in enumerate(samples):
        _put(part, row, 0, sample)
    return part | {"scored": scored_positions(part["labels"]), "token_count": sum(lengths)}


def scored_positions(labels: Tensor) -> Tensor:
    """Return the row and the column of each position that predicts a label, of shape (2, N)."""
    return (labels[:, 1:] != IGNORED).nonzero().T


def numbers_of(samples: Iterable[Columns]) -> list[int]:
    """Return the numbers of examples."""
    return [int(sample["number"]) for sample in samples]


def columns_with(prefix: str, example: Columns) -> Columns:
    """Return the columns that have the prefix, under their plain names."""
    return {name: example[f"{prefix}{name}"] for name in ("input_ids", "labels")}


def _answer_start(sample: Columns) -> int:
    """Index of the first supervised token. The answer is at the end of the sample."""
    return int((sample["labels"] != IGNORED).int().argmax())


def _batch(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"parts": parts, "units": sum(part["scored"].shape[1] for part in parts)}


def _pack(samples: Sequence[Columns], rows: list[list[int]]) -> dict[str, Any]:
    lengths = {index: len(samples[index]["input_ids"]) for row in rows for index in row}
    width = max(sum(lengths[index] for index in row) for row in rows)
    part = _empty(len(rows), width)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        at = 0
        for index in row:
            _put(part, number, at, samples[index])
            positions[number, at : at + lengths[index]] = torch.arange(lengths[index])
            at += lengths[index]
        # The padding is treated as a separate sample, without labels.
        positions[number, at:] = torch.arange(width - at)
    return part | {
        "position_ids": positions,
        "scored": scored_positions(part["labels"]),
        "token_count": sum(lengths.values()),
    }


def _join(samples: Sequence[Columns], row: list[int]) -> dict[str, Any]:
    lengths = [len(samples[index]["input_ids"]) for index in row]
    starts = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    return _pack(samples, [row]) | {"cu_seq_lens_q": starts, "max_length_q": max(lengths)}


def _empty(rows: int, width: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.full((rows, width), _PAD),
        "labels": torch.full((rows, width), IGNORED),
    }


def _put(batch: dict[str, Tensor], row: int, at: int, sample: Columns) -> None:
    end = at + len(sample["input_ids"])
    batch["input_ids"][row, at:end] = sample["input_ids"]
    # A sample's first label is already ignored, so no token predicts the next sample's start.
    batch["labels"][row, at:end] = sample["labels"]
