"""Validates the request for a new job, without a worker, and builds its record."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from service.config import Settings
from service.core import clock, ids, tracing
from service.core.claims import Claim
from service.core.errors import BadRequest, NotFound, RateLimited
from service.core.redis import Client
from service.evals.judge import check_grader
from service.files.lookup import named_file
from service.files.records import FileRecord, Files, Purpose
from service.jobs import graders
from service.jobs.planning.hyperparameters import Base, Data, resolve
from service.jobs.planning.machines import online_trainers, plan_on_best, read_shape
from service.jobs.planning.memory_plan import Training
from service.jobs.records import JobRecord, Jobs, MixedFile, NewEvent, Status
from service.jobs.schemas.create import (
    CreateJob,
    MlflowIntegration,
    MlflowSettings,
    WandbIntegration,
)
from service.jobs.tracking.records import MlflowRun
from service.models.catalogue import BaseModelEntry
from service.models.lookup import model_not_found
from service.models.records import clean_suffix, new_tag
from service.models.registry import ModelRegistry
from service.training.contract.hyperparameters import REQUESTED, Requested
from service.training.contract.methods import METHODS
from service.training.model.base_folder import read_config, unquantizable, untrainable
from service.web.auth import Principal

_SETTING = "FINETUNED_MLFLOW_TRACKING_URIS"
_AUTO_SHARE = 0.2  # held out if checkpoints are compared: half of it for that, half for the test
_RETRY_AFTER_S = "30"  # a queue moves in minutes, but the SDKs ignore waits over 60 s
_MIN_LENGTH = 64  # the shortest row length in tokens that a job may have


async def create(
    body: CreateJob,
    caller: Principal,
    *,
    jobs: Jobs,
    files: Files,
    registry: ModelRegistry,
    settings: Settings,
    claim: Claim[JobRecord],
) -> JobRecord:
    """Validate the request body and store the job.

    Raises BadRequest, NotFound, RateLimited or ClaimLost.
    """
    job, entry = await build_job(body, caller, files, registry, settings)
    await check_queue(caller, jobs, settings.max_queued_jobs_per_project)
    await check_fit(job, entry, jobs.redis)
    return await jobs.create(
        job,
        NewEvent(message=f"Created fine-tuning job: {job.id}", data={"code": "created"}),
        NewEvent(message=validation_message(job), data={"code": "validating"}),
        claim=claim,
    )


async def build_job(
    body: CreateJob,
    caller: Principal,
    files: Files,
    registry: ModelRegistry,
    settings: Settings,
) -> tuple[JobRecord, BaseModelEntry]:
    """Validate the request body and build its job, unsaved. Raises BadRequest or NotFound."""
    entry = await find_base_model(body.model, caller, registry)
    _check_trainable(body, entry)
    training = await find_training_file(body.training_file, "training_file", caller, files)
    mixed_files = [
        await find_training_file(mixed.file, f"mixed_files.{place}.file", caller, files)
        for place, mixed in enumerate(body.mixed_files or ())
    ]
    if body.validation_file is not None:
        validation = await find_training_file(
            body.validation_file, "validation_file", caller, files
        )
        _check_different(validation, [training, *mixed_files])
    _check_numbers(body, entry, settings.lora_rank_limit)
    await _check_warm_start(body, caller, registry)
    grader = await _check_grader(body, entry, caller, registry)
    if grader is not None:
        await graders.check_rows(graders.parse_grader(grader), files.storage, training)
    hyperparameters = requested_hyperparameters(body)
    _check_evaluated(body, hyperparameters)
    job_id = ids.new(ids.JOB)
    job = JobRecord(
        id=job_id,
        project_id=caller.project_id,
        project_name=caller.project_name,
        created_at=clock.now_s(),
        model=body.model,
        training_file=body.training_file,
        validation_file=body.validation_file,
        mixed_files=tuple(
            MixedFile(file=mixed.file, weight=mixed.weight) for mixed in body.mixed_files or ()
        ),
        suffix=clean_suffix(body.suffix),
        seed=secrets.randbelow(2**31) if body.seed is None else body.seed,
        metadata=body.metadata,
        priority=body.priority,
        key_id=caller.key_id,
        created_by=caller.identity,
        method=body.method_name,
        grader=grader,
        hyperparameters=hyperparameters,
        keeps_test_rows=hyperparameters.selects and METHODS[body.method_name].is_evaluated,
        gate=body.gate or {},
        baseline_prompt=body.baseline_prompt,
        mlflow_run=_mlflow_run(body.integrations or (), job_id, settings.mlflow_tracking_uris),
        model_tag=new_tag(),
        trace=tracing.carrier() or None,
    )
    return job, entry


async def find_base_model(name: str, caller: Principal, registry: ModelRegistry) -> BaseModelEntry:
    """Return the catalog's base model of this name. Raises BadRequest or NotFound."""
    entry = registry.catalogue.get(name)
    if entry is not None:
        return entry
    if await registry.find(caller.project_id, name) is not None:
        raise BadRequest(
            "A job must start from a base model in the catalog, not from a trained model. To "
            "continue training a model, set the hyperparameter 'warm_start'.",
            param="model",
            code="invalid_value",
        )
    offered = ", ".join(m.id for m in registry.catalogue.all()[:10]) or "none yet"
    raise model_not_found(name, advice=f" Base models offered here: {offered}.")


async def find_training_file(
    file_id: str, param: str, caller: Principal, files: Files
) -> FileRecord:
    """Return the project's file for trainings. Raises BadRequest or NotFound."""
    return await named_file(files, caller.project_id, file_id, param, Purpose.FINE_TUNE)


def _check_different(validation: FileRecord, training: Sequence[FileRecord]) -> None:
    """Reject a validation file with the content of a training file. Overlap is found later."""
    for file in training:
        is_same = validation.canonical is not None and validation.canonical == file.canonical
        if is_same or validation.meaning == file.meaning:
            raise BadRequest(
                f"The validation file {validation.id} has the rows of the training file {file.id}, "
                "so it cannot show what the model does on rows that it has not seen. Give other "
                "rows, or set the hyperparameter 'validation_share' instead of the file.",
                param="validation_file",
                code="invalid_value",
            )


def _check_trainable(body: CreateJob, entry: BaseModelEntry) -> None:
    """Reject a base model whose stored weights cannot be trained, or not with this quantization.

    A folder that cannot be read from here is left to the trainer, which checks the same.
    """
    config = read_config(entry.path)
    if config is None:
        return
    if why := untrainable(config):
        raise BadRequest(
            f"The base model {entry.id} cannot be trained: {why}.",
            param="model",
            code="model_not_trainable",
        )
    if why := unquantizable(config, body.asked.quantization):
        raise BadRequest(
            f"The base model {entry.id} cannot be quantized: {why}.",
            param=f"{_hyperparameters_param(body)}.quantization",
            code="invalid_value",
        )


def requested_hyperparameters(body: CreateJob) -> Requested:
    """Return the requested hyperparameters, adding a validation split if one is needed.

    Early stopping and `keep_best` need one to compare checkpoints.
    """
    fields = body.asked.model_dump()
    if body.asked.selects and body.validation_file is None and fields["validation_share"] is None:
        fields["validation_share"] = _AUTO_SHARE
    return REQUESTED[body.method_name].model_validate(fields)


def _check_evaluated(body: CreateJob, hyperparameters: Requested) -> None:
    """Reject options of the evaluation if the job will have none, or one that ignores them."""
    method = METHODS[body.method_name]
    is_held_out = body.validation_file or hyperparameters.validation_share is not None
    for param, what in (("gate", "A gate"), ("baseline_prompt", "A baseline_prompt")):
        if not getattr(body, param):
            continue
        if not method.is_evaluated:
            problem = (
                f"Pretraining jobs are not evaluated; omit '{param}'. To compare models, create an "
                "eval."
            )
        elif param == "baseline_prompt" and method.samples_answers:
            problem = (
                "The evaluation of a job with a grader compares no prompts. Omit the "
                "baseline_prompt, and compare it in an eval."
            )
        elif not is_held_out:
            problem = (
                f"{what} applies to the evaluation of the job, which needs held-out rows: give a "
                "validation_file, or set the hyperparameter 'validation_share'."
            )
        else:
            continue
        raise BadRequest(problem, param=param, code="invalid_value")


async def _check_grader(
    body: CreateJob, entry: BaseModelEntry, caller: Principal, registry: ModelRegistry
) -> dict[str, Any] | None:
    """Check the options of a reinforcement job, and return its grader as stored in records."""
    options = None if body.method is None else body.method.reinforcement
    if options is None:
        return None
    most = options.hyperparameters.max_completion_tokens
    length = options.hyperparameters.max_seq_length
    if most >= (entry.context_length if length == "auto" else length):
        raise BadRequest(
            f"Answers of up to {most} tokens leave no room for a prompt: set max_completion_tokens "
            f"lower than max_seq_length and than {entry.context_length}, the context length of "
            f"{entry.id}.",
            param=f"{_hyperparameters_param(body)}.max_completion_tokens",
            code="invalid_value",
        )
    await check_grader(options.grader, graders.PARAM, caller.project_id, registry)
    return options.grader.model_dump(mode="json", exclude_none=True)


async def _check_warm_start(body: CreateJob, caller: Principal, registry: ModelRegistry) -> None:
    name = body.asked.warm_start
    if name is None:
        return
    param = f"{_hyperparameters_param(body)}.warm_start"
    found = await registry.find(caller.project_id, name)
    if found is None or found.artifact is None:
        raise NotFound(
            f"The model '{name[:200]}' to start from does not exist, or is not a trained model.",
            param=param,
            code="model_not_found",
        )
    if found.base_model != body.model:
        raise BadRequest(
            f"The model to start from was trained on {found.base_model}, not on {body.model}.",
            param=param,
            code="invalid_value",
        )


async def check_fit(job: JobRecord, entry: BaseModelEntry, redis: Client) -> None:
    """Reject a job that fits no worker even with the smallest possible data.

    Memory that depends on the data is checked when the job is prepared.
    """
    shape = read_shape(entry)
    if shape is None:
        return
    online, method = await online_trainers(redis), METHODS[job.method]
    # Each GPU of a worker needs a row of the batch, and several GPUs hold a larger base model.
    batch_size = job.hyperparameters.batch_size
    if batch_size == "auto":
        batch_size = max([method.least_batch_size, *(worker.gpus for worker in online)])
    smallest = job.hyperparameters.model_copy(update={"batch_size": batch_size})
    least = resolve(
        smallest,
        method=job.method,
        data=Data(rows=1, longest=_MIN_LENGTH),
        base=Base(entry.context_length, entry.parameters),
    ).chosen
    training = Training(least, job.method, longest=_MIN_LENGTH, tokens_at_once=_MIN_LENGTH)
    there = plan_on_best(training, shape, online)
    if there is not None and there.refusal is not None:
        raise BadRequest(there.refusal, param="model", code="does_not_fit")


async def check_queue(caller: Principal, jobs: Jobs, most: int, new: int = 1) -> None:
    """Reject new jobs of a project that would have too many waiting ones. Raises RateLimited."""
    # Not atomic with the write: concurrent requests may exceed the limit by their number.
    unfinished = await jobs.unfinished(caller.project_id)
    queued = sum(job.status in (Status.VALIDATING, Status.QUEUED) for job in unfinished)
    if queued + new > most:
        more = "" if new == 1 else f"; {new} more would exceed it"
        raise RateLimited(
            f"The project has {queued} waiting jobs, and the limit is {most}{more}. Try again when "
            "some have started, or cancel some.",
            code="limit_reached",
            headers={"retry-after": _RETRY_AFTER_S},
        )


def validation_message(job: JobRecord) -> str:
    """Return the message of the event with which the validation of a job's files begins."""
    if not job.mixed_files:
        return f"Validating training file: {job.training_file}"
    names = [job.training_file, *(mixed.file for mixed in job.mixed_files)]
    return f"Validating training files: {', '.join(names)}"


def _hyperparameters_param(body: CreateJob) -> str:
    return f"method.{body.method_name}.hyperparameters"


def _check_numbers(body: CreateJob, entry: BaseModelEntry, max_lora_rank: int) -> None:
    requested = body.asked
    if requested.lora.r != "auto" and requested.lora.r > max_lora_rank:
        raise BadRequest(
            f"lora.r {requested.lora.r} is over {max_lora_rank}, the highest rank that the serving "
            f"engine is configured for.",
            param=f"{_hyperparameters_param(body)}.lora.r",
            code="invalid_value",
        )
    length = requested.max_seq_length
    if length != "auto" and length > entry.context_length:
        raise BadRequest(
            f"max_seq_length {length} is over {entry.context_length}, the context length of "
            f"{entry.id}.",
            param=f"{_hyperparameters_param(body)}.max_seq_length",
            code="invalid_value",
        )


def _mlflow_run(
    integrations: Sequence[MlflowIntegration | WandbIntegration],
    job_id: str,
    allowed_uris: Sequence[str],
) -> MlflowRun | None:
    """Return the MLflow run of a new job, or None. Raises BadRequest."""
    for number, integration in enumerate(integrations):
        param = f"integrations[{number}]"
        if isinstance(integration, WandbIntegration):
            raise BadRequest(
                "The integration 'wandb' is not supported, because Weights & Biases does not "
                "document an HTTP API for metrics. Use the integration 'mlflow', or log the events "
                "of the job from your own program, with Weights & Biases' SDK.",
                param=f"{param}.type",
                code="invalid_value",
            )
        asked = integration.mlflow
        return MlflowRun(
            tracking_uri=_allowed_uri(asked, f"{param}.mlflow", allowed_uris),
            experiment_name=asked.experiment_name,
            run_name=asked.run_name or job_id,
            tags=asked.tags or {},
        )
    return None


def _allowed_uri(asked: MlflowSettings, param: str, allowed_uris: Sequence[str]) -> str:
    if not allowed_uris:
        raise BadRequest(
            "Integrations are disabled on this server. To enable them, the operator must list the "
            f"MLflow servers that jobs may send metrics to in {_SETTING}.",
            param="integrations",
            code="feature_disabled",
        )
    uri = allowed_uris[0] if asked.tracking_uri is None else asked.tracking_uri.rstrip("/")
    if uri not in allowed_uris:
        raise BadRequest(
            f"This server does not allow the tracking_uri. Use {allowed_uris[0]}, or "
            f"omit it; or ask the operator to add yours to {_SETTING}.",
            param=f"{param}.tracking_uri",
            code="host_not_allowed",
        )
    return uri
