"""Tests of advice before a training with the real engine."""

from __future__ import annotations

import finetuned
import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROWS = 10  # the fewest that make a job; a third of them is asked


def test_advice_has_what_the_engine_answers(stack: Stack, chats, tmp_path):
    """So few rows are too few for an expected gain, but base and best prompt are asked."""
    (tmp_path / "rows.jsonl").write_bytes(chats(ROWS))
    with finetuned.Client(api_key=stack.key, base_url=stack.url) as client:
        file = client.files.upload(tmp_path / "rows.jsonl")
        advice = client.jobs.advise(model=DEMO_MODEL, training_file=file.id, timeout_s=400)
        client.files.delete(file.id)
        assert client.jobs.delete_advice(advice.id).deleted
    assert (advice.status, advice.error) == ("completed", None)
    assert (advice.model, advice.rows, advice.metric) == (DEMO_MODEL, ROWS, "chrf")
    assert advice.recommendation in ("prompt", "collect")
    assert advice.sentence
    assert advice.base is not None
    assert advice.prompt is not None
    for score in (advice.base, advice.prompt):
        assert score.rows == ROWS // 3
        assert 0 <= score.low <= score.points <= score.high <= 100
    assert advice.prompt.points > 0  # the model wrote something like the answers
    assert advice.headroom == pytest.approx(100 - max(advice.base.points, advice.prompt.points))
    assert advice.prompt_gain is not None
    assert advice.expected_gain is None
    assert advice.retrieval is not None
    assert advice.retrieval.rows == ROWS // 3
    assert advice.estimate is not None
    assert advice.estimate.fits
