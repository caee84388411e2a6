"""Hyperparameters from the request over the record to the trainer's spec."""

from __future__ import annotations

from typing import Any

import pytest

from service.jobs import lifecycle
from service.jobs.create import requested_hyperparameters
from service.jobs.planning.hyperparameters import Base, Data, resolve
from service.jobs.records import JobRecord, Status
from service.jobs.schemas.create import CreateJob
from service.jobs.schemas.jobs import JobObject
from service.jobs.schemas.methods import HYPERPARAMETERS
from service.training.contract.hyperparameters import (
    RESOLVED,
    DpoHyperparameters,
    KtoHyperparameters,
)
from service.training.contract.methods import METHODS
from service.training.contract.spec import TrainSpec

# A value of each that no rule would choose.
VALUES = {
    "batch_size": 3,
    "learning_rate_multiplier": 0.7,
    "n_epochs": 4,
    "learning_rate": 0.0123,
    "lora": {
        "r": 5,
        "alpha": 9,
        "dropout": 0.25,
        "target_modules": ["q_proj"],
        "use_rslora": True,
    },
    "quantization": "none",
    "max_seq_length": 77,
    "packing": False,
    "warm_start": "ft:tiny",
    "validation_share": 0.3,
    "early_stopping": {"patience": 6, "min_delta": 0.5},
    "keep_best": True,
    "beta": 0.9,
    "desirable_weight": 1.5,
    "undesirable_weight": 2.5,
    "eval_interval": 3,
    "eval_samples": 5,
    "group_size": 6,
    "temperature": 0.9,
    "max_completion_tokens": 33,
}

GRADER = {
    "type": "string_check",
    "name": "right",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
# What a method needs besides hyperparameters.
GIVEN = {"reinforcement": {"grader": GRADER}}


def record(method: str, **fields) -> JobRecord:
    return JobRecord(
        id="ftjob-a",
        project_id="proj_a",
        created_at=1,
        project_name="acme",
        model="m",
        training_file="file-a",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=None,
        method=method,
        model_tag="abcdef",
        **fields,
    )


@pytest.mark.parametrize("method", HYPERPARAMETERS)
def test_every_value_of_a_request_reaches_the_trainer(method, tmp_path):
    values = {name: VALUES[name] for name in RESOLVED[method].model_fields}
    options = {"type": method, method: {**GIVEN.get(method, {}), "hyperparameters": values}}
    body = CreateJob.model_validate({"model": "m", "training_file": "file-a", "method": options})
    job = record(method, hyperparameters=requested_hyperparameters(body))
    job = JobRecord.model_validate_json(job.model_dump_json())
    chosen = resolve(
        job.hyperparameters, method=method, data=Data(100, 300, 300), base=Base(8192)
    ).chosen
    job = lifecycle.prepare(job, chosen, 2)
    job = JobRecord.model_validate_json(job.model_dump_json())
    assert JobObject.from_record(job).method[method]["hyperparameters"] == values
    spec = TrainSpec(
        job_id=job.id,
        base_model="m",
        base_model_path=tmp_path,
        training_file=tmp_path,
        output_dir=tmp_path,
        warm_start_path=tmp_path,
        method=METHODS[method].spec_name,
        hyperparameters=job.resolved,
    )
    spec = TrainSpec.model_validate_json(spec.model_dump_json())
    assert spec.hyperparameters.model_dump(mode="json") == values


def test_a_record_of_version_0_1_is_read():
    """It had the fields of every method, and null for those of another one."""
    stored: dict[str, Any] = {
        "batch_size": 8,
        "learning_rate_multiplier": 1.0,
        "n_epochs": 3,
        "learning_rate": 2e-4,
        "lora": {
            "r": 16,
            "alpha": 32,
            "dropout": 0.0,
            "target_modules": None,
            "use_dora": None,
            "use_rslora": None,
        },
        "quantization": "nf4",
        "max_seq_length": 512,
        "packing": "auto",
        "beta": None,
        "warm_start": None,
        "validation_share": None,
        "early_stopping": {"patience": 2, "min_delta": 0.0},
        "keep_best": False,
    }
    job = record("supervised", hyperparameters=stored)
    assert job.resolved.early_stopping is not None
    assert job.resolved.early_stopping.patience == 2
    kept = {k: stored[k] for k in stored if k != "beta"}
    kept["lora"] = {k: v for k, v in stored["lora"].items() if k != "use_dora"}
    assert job.resolved.model_dump(mode="json") == kept
    dpo = record("dpo", hyperparameters=stored | {"beta": 0.1}).resolved
    assert isinstance(dpo, DpoHyperparameters)
    assert dpo.beta == 0.1


def test_a_field_of_a_newer_version_is_ignored():
    job = record("supervised", hyperparameters={"n_epochs": 3, "new": 1, "lora": {"newer": 2}})
    assert job.hyperparameters.n_epochs == 3


def test_what_the_trainer_decides_is_recorded_where_the_method_has_it():
    """A weight that balances rare labels may be over what a request may ask for."""
    started = {"packing": True, "desirable_weight": 5000.0, "undesirable_weight": None, "device": 1}
    kto = record("kto", hyperparameters={}, status=Status.RUNNING)
    kto = JobRecord.model_validate_json(lifecycle.set_choices(kto, kto, started).model_dump_json())
    assert isinstance(kto.hyperparameters, KtoHyperparameters)
    assert (kto.hyperparameters.packing, kto.hyperparameters.desirable_weight) == (True, 5000)
    assert kto.hyperparameters.undesirable_weight == "auto"
    plain = record("supervised", hyperparameters={}, status=Status.RUNNING)
    plain = lifecycle.set_choices(plain, plain, started)
    assert plain.hyperparameters.model_dump().keys() == RESOLVED["supervised"].model_fields.keys()
