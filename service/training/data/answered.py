"""Batches of graded answers as tensors, for reinforcement."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from service.training.contract.samples import Answer
from service.training.data.batches import numbers_of, pad_rows
from service.training.data.layout import padded_parts
from service.training.data.tokens import IGNORED, Prompt

_Columns = Mapping[str, Any]
_SAMPLED: Final = "sampled_log_probs"


def collate_numbers(prompts: Sequence[_Columns]) -> dict[str, Any]:
    """The numbers of the prompts of a batch, to which there are no answers yet."""
    return {"numbers": numbers_of(prompts)}


def answered(prompt: Prompt, answer: Answer, advantage: float) -> dict[str, Any]:
    """A training sample: the prompt and the answer, of which only the answer has labels.

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
class PaddedAnswers:
    """Collator like `Padded` for answered prompts, whose `units` are the tokens of the answers.

    Each part also has ``"advantages"``, with one value per row, and ``"sampled_log_probs"``.
    """

    budget: int

    def __call__(self, samples: Sequence[_Columns]) -> dict[str, Any]:
        lengths = [len(sample["input_ids"]) for sample in samples]
        parts = [
            _part([samples[index] for index in part]) for part in padded_parts(lengths, self.budget)
        ]
        return {
            "parts": parts,
            "units": sum(int((part["labels"] != IGNORED).sum()) for part in parts),
        }


def _part(samples: Sequence[_Columns]) -> dict[str, Tensor]:
    part = pad_rows(samples)
    sampled = torch.full(part["input_ids"].shape, math.nan)
    for row, sample in enumerate(samples):
        sampled[row, : len(sample[_SAMPLED])] = sample[_SAMPLED]
    part[_SAMPLED] = sampled
    part["advantages"] = torch.stack([sample["advantage"] for sample in samples])
    return part
