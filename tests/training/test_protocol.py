import json

import pytest

from service.training import (
    CheckpointSaved,
    Failed,
    Message,
    Noted,
    ProtocolError,
    SamplesCommand,
    SamplesWanted,
    Started,
    StepDone,
    StepMetrics,
    Stopped,
    Succeeded,
    Warned,
    encode,
    parse_message,
)
from service.training.contract.protocol import parse_command

MESSAGES: list[Message] = [
    Started(
        total_steps=3,
        examples=8,
        validation_examples=0,
        supervised_tokens=90,
        device="cpu",
        dtype="bfloat16",
        resumed_step=0,
        trainable_parameters=12,
    ),
    Warned(code="rows_truncated", message="ตัดแล้ว"),
    Noted(code="packing", message="เพราะ"),
    StepDone(
        step=1,
        total_steps=3,
        train_loss=0.5,
        train_mean_token_accuracy=0.25,
        learning_rate=1e-4,
        tokens_per_second=10.0,
        trained_tokens=30,
    ),
    CheckpointSaved(
        step=1,
        path="/x/checkpoint-1",
        metrics=StepMetrics(train_loss=0.5, train_mean_token_accuracy=0.25, valid_loss=0.75),
    ),
    Succeeded(adapter_path="/x/adapter", trained_tokens=90, final_step=3),
    SamplesWanted(round=1, purpose="training", adapter_path="/x/policy-0", requests_path="/x/r"),
    SamplesWanted(round=2, purpose="validation", requests_path="/x/r", samples_path="/x/s"),
    Stopped(step=0, path=None),
    Failed(code="disk_full", message="full", param=None),
    Failed(code="out_of_memory", message="too much", suggested_tokens_at_once=512),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_a_message_survives_its_line(message):
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_message(line) == message


def test_a_step_without_validation_has_no_such_keys():
    assert "valid_loss" not in json.loads(encode(MESSAGES[3]))


def test_a_command_survives_its_line():
    command = SamplesCommand(round=3, purpose="training", path="/x/answers")
    assert parse_command(encode(command)) == command


def test_samples_of_an_unknown_purpose_are_no_command():
    line = json.dumps({"command": "samples", "round": 3, "purpose": "fun", "path": "/x"})
    assert parse_command(line) is None


def test_a_newer_trainer_may_add_fields():
    line = json.dumps(json.loads(encode(MESSAGES[5])) | {"novelty": 1})
    assert parse_message(line) == MESSAGES[5]


@pytest.mark.parametrize(
    "line",
    [
        b"progress: 50% of secret-row",
        b'{"type": "secret-row"}',
        b'{"type": "stopped", "step": "secret-row"}',
        b"[]",
        b"",
        b'{"type": "warning", "message": "\xff secret-row"}',
    ],
)
def test_a_line_that_is_no_message_is_told_without_its_text(line):
    with pytest.raises(ProtocolError) as caught:
        parse_message(line)
    assert "secret-row" not in str(caught.value)
