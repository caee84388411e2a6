"""Batches of judged answers as tensors, with the mismatches for KTO's reference point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from service.training.data.batches import Collator, numbers_of, pad_rows, side
from service.training.data.layout import padded_parts
from service.training.data.tokens import IGNORED

_PREFIX: Final = "mismatched_"
_Columns = Mapping[str, Tensor]


@dataclass(frozen=True)
class PaddedJudged:
    """Collator like `Padded` for judged answers.

    Each part also has ``"is_good"``, with one value per row, ``"mismatched"``, with the padded
    mismatch of each row, and ``"numbers"``, with those of its answers. `units` is the number of
    answers. The samples must come from `Mismatched`.
    """

    budget: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        lengths = [max(_length(sample), _length(sample, _PREFIX)) for sample in samples]
        parts = [
            _part([samples[index] for index in part]) for part in padded_parts(lengths, self.budget)
        ]
        return {"parts": parts, "units": len(samples)}


@dataclass(frozen=True)
class Mismatched:
    """Collator that adds a mismatch to each sample of a whole batch, then calls `whole`.

    A mismatch is the sample's prompt followed by the answer of the next sample in the batch,
    truncated at `max_length` tokens. Mismatches are added before the batch is divided, so they do
    not depend on the number of parts or GPUs. If a batch has only one sample, its mismatch has no
    labeled tokens.
    """

    whole: Collator
    max_length: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        following = [*samples[1:], samples[0]]
        return self.whole(
            [
                {**sample, **self._mismatch(sample, other if other is not sample else None)}
                for sample, other in zip(samples, following, strict=True)
            ]
        )

    def _mismatch(self, sample: _Columns, other: _Columns | None) -> dict[str, Tensor]:
        prompt = sample["input_ids"][: _answer_start(sample)]
        answer = [] if other is None else [other["input_ids"][_answer_start(other) :]]
        ids = torch.cat([prompt, *answer])[: self.max_length]
        labels = ids.clone()
        labels[: len(prompt)] = IGNORED
        return {f"{_PREFIX}input_ids": ids, f"{_PREFIX}labels": labels}


def _answer_start(sample: _Columns) -> int:
    """Index of the first supervised token. The answer is at the end of the sample."""
    return int((sample["labels"] != IGNORED).int().argmax())


def _length(sample: _Columns, prefix: str = "") -> int:
    return len(sample[f"{prefix}input_ids"])


def _part(samples: Sequence[_Columns]) -> dict[str, Any]:
    mismatched = pad_rows([side(sample, _PREFIX) for sample in samples])
    del mismatched["token_count"]
    return pad_rows(samples) | {
        "is_good": torch.stack([sample["is_good"] for sample in samples]),
        "mismatched": mismatched,
        "numbers": numbers_of(samples),
    }
