"""Tests reinforcement on the real stack, from prompts and a grader to a model that chats."""

from __future__ import annotations

import json
import os
from statistics import fmean
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import ReinforcementMethod
from openai.types.graders import PythonGraderParam, TextSimilarityGraderParam

from service.standalone.up import DEMO_MODEL
from tests.e2e.chats import said
from tests.e2e.conftest import QUESTIONS, Stack
from tests.e2e.jobs import wait_for_success

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

GRADER: TextSimilarityGraderParam = {
    "type": "text_similarity",
    "name": "alike",
    "evaluation_metric": "fuzzy_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
}
BREVITY: PythonGraderParam = {
    "type": "python",
    "name": "brief",
    "source": "def grade(sample, item):\n"
    "    return max(0.0, 1 - len(sample['output_text']) / item['most'])",
}
THINGS = ("compass", "harbor", "lantern", "sail", "rope", "map")


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


@pytest.mark.skipif(
    "FINETUNED_REINFORCEMENT" not in os.environ,
    reason="15 minutes: 'make proof NAME=reinforcement' runs it",
)
@pytest.mark.timeout(3600)
def test_the_reward_rises_with_answers_of_the_engine(sdk: openai.OpenAI) -> None:
    """The model learns to be brief, which its first answers are only sometimes."""
    questions = [*QUESTIONS, *(f"What is a {thing}?" for thing in THINGS)]
    rows = [{"messages": [{"role": "user", "content": text}], "most": 100} for text in questions]
    content = "\n".join(map(json.dumps, rows)).encode()
    file = sdk.files.create(file=("questions.jsonl", content), purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    options: Any = {"n_epochs": 6, "batch_size": 4, "quantization": "none", "learning_rate": 5e-4}
    options |= {"group_size": 8, "max_completion_tokens": 32}
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=file.id,
        suffix="brief",
        seed=1,
        method={
            "type": "reinforcement",
            "reinforcement": {"grader": BREVITY, "hyperparameters": options},
        },
    )
    wait_for_success(sdk, job.id, timeout_s=3000)
    events = sdk.fine_tuning.jobs.list_events(job.id, limit=100).data
    steps: list[Any] = [event.data for event in events if event.type == "metrics"]
    rewards = [one["train_reward_mean"] for one in sorted(steps, key=lambda one: one["step"])]
    print("mean reward by step:", " ".join(f"{reward:.2f}" for reward in rewards))
    assert fmean(rewards[-4:]) > fmean(rewards[:4]) + 0.15
