"""Tests of advice before a training with the real engine."""

from __future__ import annotations

import pytest
from finetuned.types import TrainingAdvice

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import ADVISED_ROWS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_advice_has_what_the_engine_answers(advice: TrainingAdvice):
    """So few rows are too few for an expected gain, but base and best prompt are asked."""
    assert (advice.status, advice.error) == ("completed", None)
    assert advice.model == DEMO_MODEL
    found = advice.result
    assert found is not None
    assert (found.rows, found.metric) == (ADVISED_ROWS, "chrf")
    assert found.recommendation in ("prompt", "collect")
    assert found.sentence
    assert found.base is not None
    assert found.prompt is not None
    for score in (found.base, found.prompt):
        assert score.rows == ADVISED_ROWS // 3
        assert 0 <= score.low <= score.points <= score.high <= 100
    assert found.prompt.points > 0  # the model wrote something like the answers
    assert found.headroom == pytest.approx(100 - max(found.base.points, found.prompt.points))
    assert found.prompt_gain is not None
    assert found.expected_gain is None
    assert found.retrieval is not None
    assert found.retrieval.rows == ADVISED_ROWS // 3
    assert found.estimate is not None
    assert found.estimate.fits
