"""Tests KTO on the real stack, from labeled answers to a model that chats."""

from __future__ import annotations

import json

import openai
import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.chats import said
from tests.e2e.conftest import wait_for
from tests.e2e.jobs import wait_for_success

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def judged(count: int) -> bytes:
    """Return answers in TRL's format, of which every third is labeled bad."""
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What is item {i}?"}],
            "completion": [
                {"role": "assistant", "content": f"Item {i} is a book." if i % 3 else "No idea."}
            ],
            "label": bool(i % 3),
        }
        for i in range(count)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def test_a_model_of_judged_answers_chats_until_it_is_deleted(
    sdk: openai.OpenAI,
) -> None:
    file = sdk.files.create(file=("judged.jsonl", judged(10)), purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    # The other jobs of the stack are quantized.
    options = {"n_epochs": 1, "batch_size": 10, "quantization": "none"}
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=file.id,
        suffix="judged",
        extra_body={"method": {"type": "kto", "kto": {"hyperparameters": options}}},
    )
    done = wait_for_success(sdk, job.id)
    assert done.fine_tuned_model is not None
    assert ":judged:" in done.fine_tuned_model
    assert said(sdk, done.fine_tuned_model)
    delete_both(sdk, done.fine_tuned_model, file.id)


def delete_both(sdk: openai.OpenAI, model: str, file_id: str) -> None:
    """Delete a model that was served and its training file; neither is found afterward."""
    assert sdk.models.delete(model).deleted
    wait_for(lambda: model not in [m.id for m in sdk.models.list()], 60, "the deletion")

    def refused() -> bool:
        try:
            said(sdk, model)
        except openai.NotFoundError:
            return True
        return False

    wait_for(refused, 60, "the refusal of the deleted model")
    assert sdk.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(file_id)
