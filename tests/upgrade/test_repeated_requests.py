"""Tests that both versions compare the bodies of repeated create requests alike."""

from __future__ import annotations

from typing import Any

import pytest

from service.jobs.schemas.create import CreateJob
from service.web.idempotency import comparable

_LORA = (
    '"lora":{"r":"auto","alpha":"auto","dropout":0.0,"target_modules":null,"use_dora":null,'
    '"use_rslora":null}'
)
_SUPERVISED = (
    '{"type":"supervised","supervised":{"hyperparameters":{"batch_size":"auto",'
    '"learning_rate_multiplier":"auto","n_epochs":2,"learning_rate":"auto",' + _LORA + ","
    '"quantization":"nf4","max_seq_length":"auto","packing":"auto","warm_start":null,'
    '"validation_share":null,"early_stopping":null,"keep_best":false}},"dpo":null,"kto":null}'
)
_OF_0_2_0 = (
    '{"model":"m","training_file":"f","validation_file":null,"suffix":null,"seed":null,'
    '"metadata":null,"method":%s,"hyperparameters":null,"priority":0,"gate":null,'
    '"integrations":null}'
)
_REQUIRED = {"model": "m", "training_file": "f"}


@pytest.mark.parametrize(
    ("sent", "method"),
    [
        ({}, "null"),
        (
            {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            _SUPERVISED,
        ),
    ],
    ids=["without", "with"],
)
def test_jobs_have_the_body_that_0_2_0_compares(sent: dict[str, Any], method: str):
    body = CreateJob.model_validate({**_REQUIRED, **({"method": sent} if sent else {})})
    assert comparable(body).decode() == _OF_0_2_0 % method


def test_added_fields_count_where_they_are_sent():
    with_files = {**_REQUIRED, "mixed_files": [{"file": "file-1"}]}
    assert comparable(CreateJob.model_validate(with_files)) != comparable(
        CreateJob.model_validate(_REQUIRED)
    )
