"""Tests reinforcement on the real stack, from prompts and a grader to a model that chats."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import ReinforcementMethod
from openai.types.graders import TextSimilarityGraderParam

from service.standalone.up import DEMO_MODEL
from tests.e2e.chats import said
from tests.e2e.conftest import Stack
from tests.e2e.jobs import wait_for_success

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

GRADER: TextSimilarityGraderParam = {
    "type": "text_similarity",
    "name": "alike",
    "evaluation_metric": "fuzzy_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
}


def prompts(count: int) -> bytes:
    rows = [
        {
            "messages": [{"role": "user", "content": f"What is item {n}?"}],
            "reference_answer": "a book",
        }
        for n in range(count)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def test_a_model_that_learned_from_rewards_is_served(sdk: openai.OpenAI, stack: Stack) -> None:
    file = sdk.files.create(file=("prompts.jsonl", prompts(10)), purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    # OpenAI's hyperparameters, and some that only this service has.
    options: Any = {"n_epochs": 1, "batch_size": 5, "quantization": "none"}
    options |= {"group_size": 2, "max_completion_tokens": 8}
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=file.id,
        suffix="rewarded",
        method={
            "type": "reinforcement",
            "reinforcement": {"grader": GRADER, "hyperparameters": options},
        },
    )
    done = wait_for_success(sdk, job.id)
    assert done.method is not None
    assert isinstance(done.method.reinforcement, ReinforcementMethod)
    assert done.fine_tuned_model is not None
    assert said(sdk, done.fine_tuned_model)
    events = sdk.fine_tuning.jobs.list_events(job.id, limit=100).data
    steps = [event.data for event in events if event.type == "metrics"]
    assert steps
    rounds = list((stack.data_dir / "storage").glob(f"*/jobs/{job.id}/a*/rounds"))
    assert rounds == []  # the adapters of steps are gone
    assert not any("samples the answers itself" in event.message for event in events)
