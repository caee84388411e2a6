"""Creates evals and runs: validates what needs no worker, and stores the records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from service.config import Settings
from service.core import clock, ids, tracing
from service.core.claims import Claim, ClaimLost
from service.core.errors import BadRequest, Conflict, LimitReached, NotFound, RateLimited
from service.core.records import Missing
from service.core.storage import Storage
from service.datasets.limits import MAX_EVAL_ITEM_BYTES, MAX_EVAL_ITEMS
from service.evals import prompts
from service.evals.data_sources import (
    CompletionsSamplingParams,
    EvalItem,
    FileContentSource,
    FileIdSource,
    SampledDataSource,
    is_sampled,
    stored_source,
)
from service.evals.item_schema import ItemSchema, SchemaInvalid
from service.evals.records import EvalRecord, Evals, RunRecord
from service.evals.schemas import CreateEval, CreateEvalRun, LogsDataSourceConfig
from service.evals.stored_items import select_chats
from service.files.lookup import named_file
from service.files.records import Files, FileStatus, Purpose
from service.files.stored_chats.records import StoredChats
from service.grading.check import check
from service.grading.errors import GraderInvalid
from service.grading.results import pass_threshold
from service.grading.schemas import Grader
from service.inference.gateway.tools import (
    chat_format,
    check_chat_tools,
    check_response_tools,
    text_format,
)
from service.models.lookup import named_model
from service.models.registry import ModelRegistry
from service.web.auth import Principal
from service.web.permissions import Permission

# A run's record is written once for each chunk of outcomes.
_MAX_DATA_SOURCE_BYTES: Final = 64 * 1024
_RETRY_AFTER_S: Final = "30"


async def create_eval(
    body: CreateEval,
    caller: Principal,
    evals: Evals,
    settings: Settings,
    claim: Claim[EvalRecord],
) -> EvalRecord:
    """Validate the request body and store the eval. Raises BadRequest and ClaimLost."""
    config = body.data_source_config
    try:
        ItemSchema(config.item_schema)
    except SchemaInvalid as e:
        raise BadRequest(
            f"Invalid value for 'data_source_config.item_schema': {e}.",
            param="data_source_config.item_schema",
            code="invalid_json_schema",
        ) from e
    _check_graders(body)
    if await evals.count(caller.project_id) >= settings.max_evals_per_project:
        raise LimitReached(
            f"The project has {settings.max_evals_per_project} evals, the maximum. Delete some."
        )
    now_s = clock.now_s()
    return await evals.create(
        EvalRecord(
            id=ids.new(ids.EVAL),
            project_id=caller.project_id,
            created_at=now_s,
            updated_at=now_s,
            name=body.name or "",
            metadata=body.metadata or {},
            item_schema=config.item_schema,
            include_sample_schema=config.include_sample_schema,
            testing_criteria=[_with_threshold(grader) for grader in body.testing_criteria],
            logs=config.model_dump() if isinstance(config, LogsDataSourceConfig) else None,
            key_id=caller.key_id,
        ),
        claim,
    )


async def create_run(
    body: CreateEvalRun,
    record: EvalRecord,
    caller: Principal,
    *,
    evals: Evals,
    files: Files,
    stored_chats: StoredChats,
    registry: ModelRegistry,
    settings: Settings,
    claim: Claim[RunRecord],
) -> RunRecord:
    """Validate the request body, and store and enqueue the run.

    Raises BadRequest, Forbidden, NotFound, RateLimited and ClaimLost.
    """
    source = body.data_source
    lines: Sequence[Any] | None = items_of(body)
    if is_sampled(source):
        await _check_sampling(source, record, caller, registry)
        _check_formats(source)
    if isinstance(source.source, FileIdSource):
        await _check_file(source.source, caller, files)
    elif isinstance(source.source, FileContentSource):
        _check_items(source.source.content, ItemSchema(record.item_schema))
    elif (stored := stored_source(source)) is not None:
        caller.require(Permission.DATA_READ)
        lines = await select_chats(stored, record, stored_chats)
    run = RunRecord(
        id=ids.new(ids.EVAL_RUN),
        project_id=caller.project_id,
        created_at=clock.now_s(),
        eval_id=record.id,
        key_id=caller.key_id,
        name=body.name or "",
        metadata=body.metadata or {},
        data_source=_without_items(body),
        model=source.model if is_sampled(source) else None,
        trace=dict(tracing.carrier()) or None,
    )
    await check_room(record, evals, settings)
    return await _store(run, lines, evals, files.storage, claim)


def items_of(body: CreateEvalRun) -> list[dict[str, Any]] | None:
    """Return the items in the request body, or None if it has none."""
    source = body.data_source.source
    return [_line(row) for row in source.content] if isinstance(source, FileContentSource) else None


def _check_graders(body: CreateEval) -> None:
    names = Counter(grader.name for grader in body.testing_criteria)
    if repeated := next((name for name, times in names.items() if times > 1), None):
        raise Conflict(
            f"Two testing criteria have the name '{repeated}'. Give each its own name.",
            param="testing_criteria",
            code="name_taken",
        )
    config = body.data_source_config
    for place, grader in enumerate(body.testing_criteria):
        try:
            check(grader, config.item_schema, has_sample=config.include_sample_schema)
        except GraderInvalid as e:
            param = f"testing_criteria.{place}.{e.param}"
            raise BadRequest(
                f"Invalid value for '{param}': {e.message}", param=param, code="invalid_grader"
            ) from e


def _with_threshold(grader: Grader) -> dict[str, Any]:
    """Return the grader with the threshold that applies, which the SDK's types require."""
    stored = grader.model_dump(mode="json", exclude_none=True)
    if "pass_threshold" in type(grader).model_fields:
        stored["pass_threshold"] = pass_threshold(grader)
    return stored


async def _check_sampling(
    source: SampledDataSource, record: EvalRecord, caller: Principal, registry: ModelRegistry
) -> None:
    for name in ("model", "input_messages"):
        if getattr(source, name) is None:
            raise BadRequest(
                f"Missing required parameter: 'data_source.{name}'.",
                param=f"data_source.{name}",
                code="missing_required_parameter",
            )
    assert source.model is not None
    assert source.input_messages is not None
    await named_model(registry, caller.project_id, source.model, "data_source.model")
    try:
        prompts.check(source.input_messages, record.item_schema)
    except prompts.PromptInvalid as e:
        param = f"data_source.input_messages.{e.param}"
        raise BadRequest(
            f"Invalid value for '{param}': {e}", param=param, code="invalid_template"
        ) from e


def _check_formats(source: SampledDataSource) -> None:
    """Check the tools and the format of the answers as the gateway does. Raises BadRequest."""
    params = source.sampling_params
    checks: list[tuple[Callable[[bytes], object], object]] = []
    if isinstance(params, CompletionsSamplingParams):
        checks = [(check_chat_tools, params.tools), (chat_format, params.response_format)]
    elif params is not None:
        checks = [(check_response_tools, params.tools), (text_format, params.text)]
    for check_value, value in checks:
        try:
            check_value(json.dumps(value).encode())
        except BadRequest as e:
            param = f"data_source.sampling_params.{e.param}"
            raise BadRequest(e.message, param=param, code=e.code) from e


async def _check_file(source: FileIdSource, caller: Principal, files: Files) -> None:
    param = "data_source.source.id"
    file = await named_file(files, caller.project_id, source.id, param, Purpose.EVALS)
    if file.status is FileStatus.ERROR:
        raise BadRequest(
            f"The file {file.id} cannot be used. {file.status_details}",
            param=param,
            code="invalid_file",
        )


def _check_items(items: list[EvalItem], schema: ItemSchema) -> None:
    param = "data_source.source.content"
    if len(items) > MAX_EVAL_ITEMS:
        raise BadRequest(
            f"Invalid value for '{param}': a run has at most {MAX_EVAL_ITEMS} items.",
            param=param,
            code="array_above_max_length",
        )
    for place, row in enumerate(items):
        fault = schema.fault(row.item)
        if fault is None and len(msgspec.json.encode(_line(row))) > MAX_EVAL_ITEM_BYTES:
            fault = f"the item is over the limit of {MAX_EVAL_ITEM_BYTES} bytes"
        if fault is not None:
            raise BadRequest(
                f"Invalid value for '{param}.{place}' (line {place + 1}): {fault}.",
                param=f"{param}.{place}",
                code="invalid_item",
            )


def _line(row: EvalItem) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude_none=row.sample is None)


def _without_items(body: CreateEvalRun) -> dict[str, Any]:
    """Return the data source without the items of the request.

    Raises BadRequest if it is too large.
    """
    stored = body.data_source.model_dump(
        mode="json", exclude_none=True, exclude={"source": {"content"}}
    )
    if len(json.dumps(stored)) > _MAX_DATA_SOURCE_BYTES:
        raise BadRequest(
            f"Invalid value for 'data_source': it is over the limit of {_MAX_DATA_SOURCE_BYTES} "
            "bytes, not counting its items. Shorten the prompt, the tools or the format.",
            param="data_source",
            code="input_too_large",
        )
    return stored


async def check_room(record: EvalRecord, evals: Evals, settings: Settings) -> None:
    """Raise LimitReached or RateLimited if the eval or its project has too many runs."""
    if await evals.runs.count(record.project_id, record.id) >= settings.max_runs_per_eval:
        raise LimitReached(
            f"The eval has {settings.max_runs_per_eval} runs, the maximum. Delete some."
        )
    most = settings.max_unfinished_eval_runs_per_project
    if await evals.runs.count_unfinished(record.project_id) >= most:
        raise RateLimited(
            f"The project has {most} unfinished runs, the maximum. Try again when some have ended.",
            code="limit_reached",
            headers={"retry-after": _RETRY_AFTER_S},
        )


async def _store(
    run: RunRecord,
    items: Sequence[Any] | None,
    evals: Evals,
    storage: Storage,
    claim: Claim[RunRecord],
) -> RunRecord:
    if items is not None:
        lines = [msgspec.json.encode(item) for item in items]
        await storage.put_bytes(run.source_key, b"\n".join(lines))
    try:
        return await evals.runs.create(run, claim)
    except ClaimLost:
        await storage.delete_prefix(run.folder)
        raise
    except Missing as e:
        await storage.delete_prefix(run.folder)
        raise NotFound(f"No such eval: {run.eval_id}", param="eval_id") from e
