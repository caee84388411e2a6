"""Tests of the finished model's scores of a few rows, with the adapter and as the base model."""

from __future__ import annotations

import math
from array import array

import pytest

from service.training import Succeeded
from service.training.data.tokenization import IGNORED, Pair, Sample
from tests.lazy import Lazy

head = Lazy("service.training.model.head")
probe = Lazy("service.training.model.probe")
transformers = Lazy("transformers")
pytestmark = pytest.mark.slow


def sample(prompt: int, answer: int) -> Sample:
    """Create a sample whose token ids equal their positions."""
    ids = array("i", range(prompt + answer))
    labels = array("i", [IGNORED] * prompt) + ids[prompt:]
    return Sample(ids, labels, supervised=answer)


def test_short_rows_come_first_and_whole():
    short = [sample(10, 20), sample(200, 56)]
    picked = list(probe.choose_samples([sample(300, 5), *short, sample(0, 0)], 3))
    assert picked[:2] == short
    assert len(picked) == 3


@pytest.mark.parametrize(
    ("prompt", "answer"), [(1, 300), (100, 900), (300, 5), (5000, 1000), (255, 2), (256, 1)]
)
def test_a_long_row_gives_a_part_that_holds_supervised_tokens_and_what_is_before_them(
    prompt, answer
):
    (part,) = probe.choose_samples([sample(prompt, answer)], 4)
    assert 0 < part.length <= 256
    assert part.supervised == sum(label != IGNORED for label in part.labels) >= min(answer, 128)
    assert part.labels[0] == IGNORED
    assert part.labels.index(prompt) == min(prompt, 128)
    # One stretch of the row.
    assert list(part.input_ids) == list(range(part.input_ids[0], part.input_ids[0] + part.length))


def test_both_answers_of_a_pair_are_scored():
    pair = Pair(sample(3, 4), sample(3, 5))
    assert list(probe.choose_samples([pair], 4)) == [pair.better, pair.worse]


def test_a_row_has_the_same_scores_alone_and_in_a_batch():
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    head.use_frozen_head(model)
    rows = [sample(3, 5), sample(10, 30), sample(1, 2)]
    together = probe.score_samples(model, rows)
    assert [len(scores) for scores in together] == [5, 30, 2]
    for row, scores in zip(rows, together, strict=True):
        assert scores == pytest.approx(probe.score_samples(model, [row])[0], abs=1e-4)


@pytest.mark.e2e
def test_scores_are_of_the_supervised_tokens_and_moved_by_the_training(whole_run):
    (done,) = whole_run.of(Succeeded)
    (found,) = done.probes
    assert len(found.places) == len(found.tuned) == len(found.base) > 0
    assert all(0 < place < len(found.tokens) for place in found.places)
    assert all(math.isfinite(x) and x < 0 for x in [*found.tuned, *found.base])
    # After training on similar rows, the model finds the answer likelier than its base does.
    assert sum(found.tuned) > sum(found.base) + 0.1
