"""From a create body to a job record: every check that needs no worker."""

from __future__ import annotations

import secrets

from service.core import ids
from service.core.auth import Principal
from service.core.errors import BadRequest, NotFound
from service.files.records import FileRecord, Files, Purpose
from service.jobs.records import Chosen, JobRecord, Jobs, NewEvent
from service.jobs.schemas import CreateJob
from service.models.catalogue import BaseModelEntry
from service.models.records import slug
from service.models.registry import ModelRegistry

_TAG_CHARS = 12  # 62 bits: names are unique within base, project and suffix


async def create(
    body: CreateJob,
    caller: Principal,
    *,
    jobs: Jobs,
    files: Files,
    registry: ModelRegistry,
    max_lora_rank: int,
) -> JobRecord:
    """Check the body and write the job. Raises BadRequest, NotFound."""
    entry = await _base_model(body.model, caller, registry)
    for param in ("training_file", "validation_file"):
        await _usable_file(getattr(body, param), param, caller, files)
    _check_numbers(body, entry, max_lora_rank)
    job = JobRecord(
        id=ids.new(ids.JOB),
        project_id=caller.project_id,
        project_name=caller.project_name,
        created_at=ids.now_s(),
        model=body.model,
        training_file=body.training_file,
        validation_file=body.validation_file,
        suffix=_suffix(body.suffix),
        seed=secrets.randbelow(2**31) if body.seed is None else body.seed,
        metadata=body.metadata,
        hyperparameters=Chosen.model_validate(body.asked.model_dump()),
        model_tag=ids.random_part(_TAG_CHARS),
    )
    return await jobs.create(
        job,
        NewEvent(message=f"Created fine-tuning job: {job.id}"),
        NewEvent(message=f"Validating training file: {job.training_file}"),
    )


async def _base_model(name: str, caller: Principal, registry: ModelRegistry) -> BaseModelEntry:
    entry = registry.catalogue.get(name)
    if entry is not None:
        return entry
    if await registry.find(caller.project_id, name) is not None:
        raise BadRequest(
            "A job starts from a base model of the catalogue, not from a trained model.",
            param="model",
            code="invalid_value",
        )
    offered = ", ".join(m.id for m in registry.catalogue.all()[:10]) or "none yet"
    raise NotFound(
        f"The model '{name[:200]}' does not exist or you do not have access to it. "
        f"Base models offered here: {offered}.",
        param="model",
        code="model_not_found",
    )


async def _usable_file(
    file_id: str | None, param: str, caller: Principal, files: Files
) -> FileRecord | None:
    if file_id is None:
        return None
    record = None
    if ids.is_valid(file_id, ids.FILE):
        record = await files.get(caller.project_id, file_id, ids.now_s())
    if record is None:
        raise NotFound(f"No such File object: {file_id[:80]}", param=param, code="file_not_found")
    if record.purpose is not Purpose.FINE_TUNE:
        raise BadRequest(
            f"The file {record.id} has the purpose '{record.purpose}'; upload it again with "
            "purpose 'fine-tune'.",
            param=param,
            code="invalid_file_purpose",
        )
    return record


def _suffix(value: str | None) -> str | None:
    if value is None:
        return None
    cleaned = slug(value)
    if not cleaned:
        raise BadRequest("A suffix needs a letter or a digit.", param="suffix")
    return cleaned


def _check_numbers(body: CreateJob, entry: BaseModelEntry, max_lora_rank: int) -> None:
    asked = body.asked
    if asked.lora.r != "auto" and asked.lora.r > max_lora_rank:
        raise BadRequest(
            f"lora.r {asked.lora.r} is over {max_lora_rank}, the highest rank that the serving "
            "engine is set up for.",
            param="method.supervised.hyperparameters.lora.r",
            code="invalid_value",
        )
    length = asked.max_seq_length
    if length != "auto" and length > entry.context_length:
        raise BadRequest(
            f"max_seq_length {length} is over {entry.context_length}, the context length of "
            f"{entry.id}.",
            param="method.supervised.hyperparameters.max_seq_length",
            code="invalid_value",
        )
