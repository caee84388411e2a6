"""Tests continued pre-training on the real stack, from texts and chats to a model that chats."""

from __future__ import annotations

import json

import openai
import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.chats import said
from tests.e2e.jobs import wait_for_success

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def texts(count: int) -> bytes:
    rows = [{"text": f"Shelf {n} of the bookshop holds volume {n}."} for n in range(count)]
    return "\n".join(map(json.dumps, rows)).encode()


def chats(count: int) -> bytes:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Where is volume {n}?"},
                {"role": "assistant", "content": f"On shelf {n}."},
            ]
        }
        for n in range(count)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def test_a_model_of_texts_and_chats_is_served(sdk: openai.OpenAI) -> None:
    """Its training mixes two files with different weights."""
    own, general = (
        sdk.files.create(file=(name, rows), purpose="fine-tune").id
        for name, rows in (("texts.jsonl", texts(12)), ("chats.jsonl", chats(8)))
    )
    options = {"n_epochs": 1, "batch_size": 16, "quantization": "none"}
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=own,
        suffix="pretrained",
        extra_body={
            "mixed_files": [{"file": general, "weight": 0.5}],
            "method": {"type": "pretraining", "pretraining": {"hyperparameters": options}},
        },
    )
    done = wait_for_success(sdk, job.id)
    assert done.fine_tuned_model is not None
    assert said(sdk, done.fine_tuned_model)
    messages = [event.message for event in sdk.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert any(message.startswith("mixture → 16 rows per epoch") for message in messages)
