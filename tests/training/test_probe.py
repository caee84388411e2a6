"""Tests of the finished model's scores of a few rows, with the adapter and as the base model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from service.training import Succeeded, TrainSpec
from tests.training.specs import spec_of

pytestmark = pytest.mark.slow


@pytest.fixture
def spec(tiny_model_path: Path, few_chats: Path, tmp_path: Path) -> TrainSpec:
    return spec_of(
        job_id="ftjob-probe",
        base_model="tiny",
        base_model_path=tiny_model_path,
        training_file=few_chats,
        output_dir=tmp_path / "out",
        n_epochs=4,
        batch_size=4,
        learning_rate=5e-3,
        quantization="none",
        max_seq_length=256,
        probe_rows=3,
    )


def test_scores_are_of_the_supervised_tokens_and_moved_by_the_training(start, spec):
    ended = start(spec).until(Succeeded)
    assert len(ended.probes) == 3
    for probe in ended.probes:
        assert len(probe.places) == len(probe.tuned) == len(probe.base) > 0
        assert all(0 < place < len(probe.tokens) for place in probe.places)
        assert all(math.isfinite(x) and x < 0 for x in [*probe.tuned, *probe.base])
    # After training on these rows, the model finds their answers likelier than its base.
    tuned, base = (
        [x for probe in ended.probes for x in getattr(probe, name)] for name in ("tuned", "base")
    )
    assert sum(tuned) > sum(base) + 0.1


def test_no_rows_are_probed_unless_asked_for(start, spec):
    ended = start(spec.model_copy(update={"probe_rows": 0})).until(Succeeded)
    assert ended.probes == ()
