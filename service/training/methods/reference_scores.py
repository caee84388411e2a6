"""The reference's scores of the training and validation examples, each computed once.

The reference does not change, so its score of an example is the same in every epoch and every
evaluation. A run computes it when it first sees the example, and keeps it, also in checkpoints.
From the second epoch on, a step then needs no forward pass of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.training.parallel.ranks import Ranks

STATE_NAME: Final = "reference_scores.safetensors"
_KEY: Final = "scores"


class ReferenceScores:
    """Log-probabilities of answers under the reference, in nats: [examples, rows of each]."""

    def __init__(self, examples: int, rows: int) -> None:
        self._scores = torch.full((examples, rows), math.nan, dtype=torch.float64)

    def get(self, numbers: Sequence[int]) -> Tensor | None:
        """Return the scores of these examples, or None if one is not known yet.

        The order is that of a part: the first rows of all examples, then the second ones.
        """
        found = self._scores[list(numbers)].T.flatten()
        return None if bool(found.isnan().any()) else found

    def put(self, numbers: Sequence[int], scores: Tensor) -> None:
        """Keep the scores of these examples, in the same order."""
        rows = self._scores.shape[1]
        self._scores[list(numbers)] = scores.detach().double().cpu().view(rows, -1).T

    def share(self, ranks: Ranks) -> None:
        """Let every rank know what one of them knows."""
        if ranks.size == 1:
            return
        both = torch.stack([self._scores.nan_to_num(), (~self._scores.isnan()).double()])
        sums = torch.tensor(ranks.totals(both.flatten().tolist()), dtype=torch.float64)
        total, count = sums.view(both.shape)
        self._scores = total / count  # 0 / 0 is NaN: no rank knows it

    def write(self, checkpoint: Path) -> None:
        """Add the scores to a checkpoint that is not sealed yet. Raises OSError."""
        save_file({_KEY: self._scores}, checkpoint / STATE_NAME)

    def read(self, checkpoint: Path) -> None:
        """Restore the scores from a verified checkpoint, if it has those of this run."""
        try:
            found = load_file(checkpoint / STATE_NAME).get(_KEY)
        except (OSError, SafetensorError):
            return  # of an older version: they are computed again
        if found is not None and found.shape == self._scores.shape:
            self._scores = found
