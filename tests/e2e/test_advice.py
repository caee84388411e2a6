"""Tests of advice before a training with the real engine."""

from __future__ import annotations

import pytest
from finetuned.types import AdviceObject

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import ADVISED_ROWS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_advice_has_what_the_engine_answers(advice: AdviceObject):
    """So few rows are too few for an expected gain, but base and best prompt are asked."""
    assert (advice.status, advice.error) == ("completed", None)
    assert (advice.model, advice.rows, advice.metric) == (DEMO_MODEL, ADVISED_ROWS, "chrf")
    assert advice.recommendation in ("prompt", "collect")
    assert advice.sentence
    assert advice.base is not None
    assert advice.prompt is not None
    for score in (advice.base, advice.prompt):
        assert score.rows == ADVISED_ROWS // 3
        assert 0 <= score.low <= score.points <= score.high <= 100
    assert advice.prompt.points > 0  # the model wrote something like the answers
    assert advice.headroom == pytest.approx(100 - max(advice.base.points, advice.prompt.points))
    assert advice.prompt_gain is not None
    assert advice.expected_gain is None
    assert advice.retrieval is not None
    assert advice.retrieval.rows == ADVISED_ROWS // 3
    assert advice.estimate is not None
    assert advice.estimate.fits
