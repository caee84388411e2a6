"""A real judge: graders run by OpenAI's SDK, whose prompts the demo model answers."""

from __future__ import annotations

import openai
import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROMPT = [{"role": "user", "content": "Is this answer polite?\n\n{{sample.output_text}}"}]
LABEL = {
    "type": "label_model",
    "name": "polite",
    "model": DEMO_MODEL,
    "input": PROMPT,
    "labels": ["polite", "neither", "rude"],
    "passing_labels": ["polite", "neither"],
}
SCORE = {"type": "score_model", "name": "score", "model": DEMO_MODEL, "input": PROMPT}


@pytest.fixture
def graders(stack: Stack):
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key)
    with client:
        yield client.fine_tuning.alpha.graders


def test_a_small_model_gives_labels_and_scores(graders):
    # The engine enforces the form, which this model would not keep on its own.
    for answer in ("Certainly, with pleasure!", "ご来店をお待ちしております。"):
        ran = graders.run(grader=LABEL, model_sample=answer)
        assert ran.metadata.errors.to_dict()["messages"] == []
        assert ran.reward in {0.0, 1.0}
        assert ran.metadata.sampled_model_name == DEMO_MODEL
        assert ran.metadata.token_usage > 0
    ran = graders.run(grader={**SCORE, "range": [-10, 10]}, model_sample="Certainly!")
    assert ran.metadata.errors.to_dict()["messages"] == []
    assert -10 <= ran.reward <= 10


def test_several_judges_of_one_grader(graders):
    multi = {
        "type": "multi",
        "name": "both",
        "graders": {"polite": LABEL, "score": SCORE},
        "calculate_output": "min(polite, score)",
    }
    ran = graders.run(grader=multi, model_sample="Certainly!")
    assert ran.metadata.errors.to_dict()["messages"] == []
    assert 0 <= ran.sub_rewards["score"] <= 1  # the default range
    assert ran.reward == min(ran.sub_rewards.values())
    assert ran.api_model_grader_token_usage_per_model[DEMO_MODEL] > 0
