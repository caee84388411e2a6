"""Validates the request for a new sweep, and builds its record and those of its jobs."""

from __future__ import annotations

import secrets
from typing import Any

from service.config import Settings
from service.core import clock, ids
from service.core.errors import BadRequest
from service.files.records import Files
from service.jobs.create import build_job, check_fit, requested_hyperparameters, validation_message
from service.jobs.records import JobRecord, NewEvent
from service.jobs.schemas.create import CreateJob
from service.jobs.schemas.methods import Method
from service.jobs.sweeps.halving import first_rungs
from service.jobs.sweeps.records import SweepRecord, Sweeps, Trial
from service.jobs.sweeps.schemas import CreateSweep
from service.models.registry import ModelRegistry
from service.training.contract.hyperparameters import Requested
from service.training.contract.methods import METHODS
from service.web.auth import Principal


async def build_sweep(
    body: CreateSweep,
    caller: Principal,
    *,
    sweeps: Sweeps,
    files: Files,
    registry: ModelRegistry,
    settings: Settings,
) -> tuple[SweepRecord, list[JobRecord]]:
    """Validate the request body and return the sweep with its jobs, unsaved.

    Raises BadRequest or NotFound.
    """
    _check_method(body)
    _check_held_out(body)
    _check_lora_values(body)
    sweep_id = ids.new(ids.SWEEP)
    # With one seed, all trials hold out the same rows and see the others in the same order.
    seed = secrets.randbelow(2**31) if body.seed is None else body.seed
    trials: list[Trial] = []
    jobs: list[JobRecord] = []
    for values in body.values.combinations():
        trial_body = _with_values(body.model_copy(update={"seed": seed}), values)
        job, entry = await build_job(trial_body, caller, files, registry, settings)
        await check_fit(job, entry, sweeps.redis)
        jobs.append(job)
        trials.append(Trial(job_id=job.id, hyperparameters=values))
    started = first_rungs(trials) if body.stop_losers else tuple(trials)
    record = SweepRecord(
        id=sweep_id,
        project_id=caller.project_id,
        created_at=clock.now_s(),
        model=body.model,
        method=body.method_name,
        training_file=body.training_file,
        validation_file=body.validation_file,
        mixed_files=jobs[0].mixed_files,
        suffix=jobs[0].suffix,
        seed=seed,
        metadata=body.metadata,
        key_id=caller.key_id,
        stop_losers=body.stop_losers,
        trials=started,
    )
    return record, [
        job.model_copy(
            update={
                "sweep": sweep_id,
                "pause_after": trial.pause_after,
                "keeps_test_rows": METHODS[job.method].is_evaluated,
            }
        )
        for job, trial in zip(jobs, started, strict=True)
    ]


def first_events(job: JobRecord) -> list[NewEvent]:
    """Return the first events of a trial."""
    created = f"Created fine-tuning job: {job.id}, a trial of the sweep {job.sweep}"
    return [
        NewEvent(message=created, data={"code": "created"}),
        NewEvent(message=validation_message(job), data={"code": "validating"}),
    ]


def _check_method(body: CreateSweep) -> None:
    if METHODS[body.method_name].samples_answers:
        raise BadRequest(
            "A sweep compares its trials by their loss on held-out rows, and the loss of the "
            f"method '{body.method_name}' says nothing about the answers. Create jobs, and compare "
            "their mean rewards.",
            param="method.type",
            code="invalid_value",
        )


def _check_held_out(body: CreateSweep) -> None:
    share = requested_hyperparameters(body).validation_share
    if body.validation_file is None and share is None:
        raise BadRequest(
            "A sweep compares its trials by their loss on held-out rows: give a validation_file, "
            "or set the hyperparameter 'validation_share', for example to 0.1.",
            param="validation_file",
            code="invalid_value",
        )


def _check_lora_values(body: CreateSweep) -> None:
    if body.asked.warm_start is not None and body.values.lora.given():
        raise BadRequest(
            "With warm_start, all trials keep the LoRA options of the model that they start from. "
            "Omit values.lora.",
            param="values.lora",
            code="invalid_value",
        )


def _with_values(body: CreateJob, values: dict[str, Any]) -> CreateJob:
    """Return the request for the job with these hyperparameters."""
    options = {**values, "lora": body.asked.lora.model_copy(update=values.get("lora", {}))}
    asked: Requested = body.asked.model_copy(update=options)
    kind = body.method_name
    method = Method.model_validate(
        {"type": kind, kind: {"hyperparameters": asked.model_dump(exclude_none=True)}}
    )
    return body.model_copy(update={"method": method, "hyperparameters": None})
