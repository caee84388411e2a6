"""The official SDK evaluates the demo model on the real stack: vLLM, a worker, and its children."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import openai
import pytest
from openai.types.evals import RunRetrieveResponse
from openai.types.evals.runs import OutputItemListResponse

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack
from tests.evals.conftest import strictly

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DONE_S = 240
QUESTIONS = [
    {"question": "What is the capital of France?", "answer": "Paris"},
    {"question": "What is the capital of Italy?", "answer": "Rome"},
    {"question": "Say nothing of capitals.", "answer": "Quxville"},
]
PYTHON = """
def grade(sample, item):
    return 1.0 if item["answer"].lower() in sample["output_text"].lower() else 0.0
"""
GRADERS: list[Any] = [
    {
        "type": "string_check",
        "name": "mentions",
        "input": "{{sample.output_text}}",
        "operation": "ilike",
        "reference": "{{item.answer}}",
    },
    {"type": "python", "name": "code", "source": PYTHON, "pass_threshold": 0.5},
    {
        "type": "text_similarity",
        "name": "similar",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "fuzzy_match",
        "pass_threshold": 0.0,
    },
]
TEMPLATE = {
    "type": "template",
    "template": [
        {"role": "developer", "content": "Answer in one short sentence."},
        {"role": "user", "content": "{{item.question}}"},
    ],
}
SAMPLING = {"temperature": 0, "max_completion_tokens": 16}


@pytest.fixture
def evaluation(sdk: openai.OpenAI):
    made = sdk.evals.create(
        name="capitals",
        data_source_config={
            "type": "custom",
            "item_schema": {
                "type": "object",
                "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                "required": ["question", "answer"],
            },
            "include_sample_schema": True,
        },
        testing_criteria=GRADERS,
        metadata={"team": "geography"},
    )
    yield made
    assert sdk.evals.delete(made.id).deleted


def ended(sdk: openai.OpenAI, run):
    """The run once it has a final status."""
    deadline = time.monotonic() + DONE_S
    while run.status in ("queued", "in_progress"):
        assert time.monotonic() < deadline, run
        time.sleep(0.2)
        run = sdk.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    return run


def counts(run) -> tuple[int, int]:
    return run.result_counts.passed, run.result_counts.failed


def asked(sample: Any) -> tuple[Any, ...]:
    """What the model was asked: its messages and how to sample."""
    messages = [(message.role, message.content) for message in sample.input]
    return messages, sample.temperature, sample.top_p, sample.seed, sample.max_completion_tokens


def test_chats_and_responses_of_the_demo_model_are_graded(sdk, stack: Stack, evaluation):
    lines = "".join(json.dumps({"item": item}) + "\n" for item in QUESTIONS)
    file = sdk.files.create(file=("capitals.jsonl", lines.encode()), purpose="evals")
    chats = sdk.evals.runs.create(
        evaluation.id,
        name="chats",
        data_source={
            "type": "completions",
            "model": DEMO_MODEL,
            "source": {"type": "file_id", "id": file.id},
            "input_messages": TEMPLATE,
            "sampling_params": SAMPLING,
        },
    )
    responses = sdk.evals.runs.create(
        evaluation.id,
        name="responses",
        data_source={
            "type": "responses",
            "model": DEMO_MODEL,
            "source": {"type": "file_content", "content": [{"item": i} for i in QUESTIONS]},
            "input_messages": TEMPLATE,
            "sampling_params": SAMPLING,
        },
    )
    chats, responses = ended(sdk, chats), ended(sdk, responses)
    assert chats.status == responses.status == "completed", (chats.error, responses.error)
    assert counts(chats) == counts(responses) == (2, 1)
    found = {}
    for run in (chats, responses):
        items = list(sdk.evals.runs.output_items.list(run.id, eval_id=evaluation.id, limit=2))
        found[run.name] = {i.datasource_item_id: asked(i.sample) for i in items}
        assert {result.name for item in items for result in item.results} == {
            "mentions",
            "code",
            "similar",
        }
        (failed,) = sdk.evals.runs.output_items.list(run.id, eval_id=evaluation.id, status="fail")
        assert failed.datasource_item_id == 2
    # The model got the same request from both. Its answers may differ by a word: the engine
    # rounds differently in batches of different sizes.
    assert found["chats"] == found["responses"]
    raw = stack_get(stack, f"/v1/evals/{evaluation.id}/runs/{chats.id}")
    strictly(RunRetrieveResponse, raw)
    assert raw["items"] == 3
    assert raw["per_model_usage"][0]["completion_tokens"] > 0
    for shown in stack_get(stack, f"/v1/evals/{evaluation.id}/runs/{chats.id}/output_items")[
        "data"
    ]:
        strictly(OutputItemListResponse, shown)


def stack_get(stack: Stack, path: str):
    """What the API says, before the SDK reads it."""
    headers = {"authorization": f"Bearer {stack.key}"}
    answer = httpx.get(f"{stack.url}{path}", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()
