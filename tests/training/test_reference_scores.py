"""Tests of the kept scores of the reference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
kept = Lazy("service.training.methods.reference")
ranks = Lazy("service.training.parallel.ranks")


def test_scores_are_known_once_all_of_a_part_were_kept():
    scores = kept.ReferenceScores(4, 2)
    assert scores.get([3, 1]) is None
    # The better answers of all pairs of a part, then the worse.
    scores.put([3, 1], torch.tensor([-3.0, -1.0, -30.0, -10.0]))
    assert scores.get([1, 3]).tolist() == [-1.0, -3.0, -10.0, -30.0]
    assert scores.get([1, 2]) is None


def test_a_checkpoint_keeps_them(tmp_path):
    scores, other, smaller = (kept.ReferenceScores(count, 1) for count in (4, 4, 3))
    scores.put([2], torch.tensor([-2.5]))
    scores.write(tmp_path)
    for each in (other, smaller):
        each.read(tmp_path)
    assert other.get([2]).tolist() == [-2.5]
    assert other.get([1]) is None
    assert smaller.get([2]) is None  # of another run
    (tmp_path / kept.STATE_NAME).unlink()
    other.read(tmp_path)  # as a checkpoint of an older version
    assert other.get([2]).tolist() == [-2.5]


def test_ranks_share_what_each_of_them_knows():
    """The sums are those of two ranks, of which the other knows the first and the last."""
    scores, other = kept.ReferenceScores(4, 1), kept.ReferenceScores(4, 1)
    scores.put([0, 1], torch.tensor([-1.0, -2.0]))
    other.put([0, 3], torch.tensor([-1.0, -4.0]))

    one_rank: Any = ranks.Ranks

    class TwoRanks(one_rank):
        def totals(self, values):
            known = ~other._scores.isnan()
            theirs = torch.stack([other._scores.nan_to_num(), known.double()]).flatten()
            return [a + b for a, b in zip(values, theirs.tolist(), strict=True)]

    scores.share(TwoRanks(0, 2))
    assert scores.get([0, 1, 3]).tolist() == [-1.0, -2.0, -4.0]
    assert scores.get([2]) is None
