"""`/v1/evals`, their runs and the runs' output items, as OpenAI's SDKs call them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request

from service.config import Settings
from service.core import clock
from service.core.claims import Claim
from service.core.storage import StorageMissing
from service.evals.creation import create_eval, create_run, items_of
from service.evals.outcomes import mask_outcomes, read_outcomes
from service.evals.records import (
    EvalRecord,
    Evals,
    ItemPage,
    RunRecord,
    RunStatus,
    item_number,
)
from service.evals.schemas import (
    CreateEval,
    CreateEvalRun,
    EvalDeleted,
    EvalObject,
    EvalRunDeleted,
    EvalRunObject,
    OutputItemObject,
    UpdateEval,
)
from service.files.curation.masking import Masking
from service.files.records import Files
from service.files.stored_chats.records import StoredChats
from service.models.registry import ModelRegistry
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.filters import (
    AskedMask,
    CountedList,
    Filtered,
    ListFilter,
    by_status,
    counted_list,
    filtered,
)
from service.web.idempotency import run_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paging, Resource, list_of, ordered_paging

router = APIRouter(prefix="/v1/evals", tags=["Evals"])
_RUNS = "/{eval_id}/runs"
_RUN = "/{eval_id}/runs/{run_id}"
_ITEMS = "/{eval_id}/runs/{run_id}/output_items"
# Runs show the items of their requests, so a page of runs ends early if it would grow too large.
_MAX_PAGE_BYTES = 4 * 1024 * 1024


Store = Annotated[Evals, Depends(resource("evals"))]
EraseEval = Annotated[
    Callable[[EvalRecord, str], Awaitable[str | None]], Depends(resource("erase_eval"))
]
EraseRun = Annotated[
    Callable[[RunRecord, str], Awaitable[str | None]], Depends(resource("erase_run"))
]
"""Deletes an eval or a run for a key, and returns the ID of the receipt, or None if it is gone."""
ByTime = Annotated[Paging, ordered_paging("asc", description="Sort order by time.")]

EVAL = Resource("eval")
RUN = Resource("run")
OUTPUT_ITEM = Resource("output item")


async def _existing(eval_id: str, caller: Caller, store: Store) -> EvalRecord:
    return EVAL.get_or_404(await store.get(caller.project_id, eval_id), eval_id)


# Found before the body is read, so that another project's eval is 404 for any request.
Existing = Annotated[EvalRecord, Depends(_existing)]


async def _existing_run(run_id: str, record: Existing, store: Store) -> RunRecord:
    return RUN.get_or_404(await store.runs.get_run(record.project_id, record.id, run_id), run_id)


ExistingRun = Annotated[RunRecord, Depends(_existing_run)]


@router.post(
    "",
    operation_id="createEval",
    summary="Create an eval",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_CREATED),
)
async def create(
    request: Request,
    body: CreateEval,
    caller: Caller,
    store: Store,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> EvalObject:
    """Create an eval: the schema of its items, and the graders that judge each item. Then create
    runs of it, for different models and prompts.
    """
    settings = cast("Settings", request.app.state.settings)

    async def make(claim: Claim[EvalRecord]) -> EvalRecord:
        return await create_eval(body, caller, store, settings, claim)

    def answer(record: EvalRecord) -> dict[str, Any]:
        return _dump(EvalObject.from_record(record))

    raw = body.model_dump_json(by_alias=True).encode()
    found = await run_once(store.redis, caller.project_id, idempotency_key, raw, make, answer)
    return EvalObject.model_validate(found)


@router.get(
    "", operation_id="listEvals", summary="List evals", openapi_extra=needs(Permission.EVALS_READ)
)
async def list_evals(
    caller: Caller,
    store: Store,
    paging: ByTime,
    wanted: Filtered,
    order_by: Annotated[
        Literal["created_at", "updated_at"], Query(description="Time to order by.")
    ] = "created_at",
) -> CountedList[EvalObject]:
    """List the project's evals, oldest first by default."""
    by_update = store.by_update(caller.project_id) if order_by == "updated_at" else None
    page = await EVAL.read(
        filtered(store.evals, caller.project_id, wanted, paging, texts=("name",), index=by_update)
    )
    return counted_list(list(map(EvalObject.from_record, page.items)), page)


@router.get(
    "/{eval_id}",
    operation_id="getEval",
    summary="Retrieve an eval",
    openapi_extra=needs(Permission.EVALS_READ),
)
async def retrieve(record: Existing) -> EvalObject:
    """Retrieve an eval with its schema and graders."""
    return EvalObject.from_record(record)


@router.post(
    "/{eval_id}",
    operation_id="updateEval",
    summary="Update an eval",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_UPDATED),
)
async def update(record: Existing, store: Store, body: UpdateEval | None = None) -> EvalObject:
    """Update the name or the metadata of an eval. Its schema and graders never change."""
    body = body or UpdateEval()
    changes: dict[str, Any] = {"updated_at": clock.now_s()}
    if "name" in body.model_fields_set:
        changes["name"] = body.name or ""
    if "metadata" in body.model_fields_set:
        changes["metadata"] = body.metadata or {}
    with EVAL.existing(record.id):
        changed = await store.update(
            record.project_id, record.id, lambda current: current.model_copy(update=changes)
        )
    return EvalObject.from_record(changed)


@router.delete(
    "/{eval_id}",
    operation_id="deleteEval",
    summary="Delete an eval",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_DELETED),
)
async def delete(record: Existing, caller: Caller, erase_eval: EraseEval) -> EvalDeleted:
    """Delete an eval with all its runs and their output items. Runs in progress stop. `receipt` is
    the ID of a signed receipt.
    """
    return EvalDeleted(eval_id=record.id, receipt=await erase_eval(record, caller.key_id))


@router.post(
    _RUNS,
    operation_id="createEvalRun",
    summary="Create a run",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_RUN_CREATED),
)
async def create_eval_run(
    request: Request,
    record: Existing,
    body: CreateEvalRun,
    caller: Caller,
    store: Store,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> EvalRunObject:
    """Create a run of an eval. A worker samples an answer to each item and grades it, behind the
    requests of users.

    The status goes from `queued` to `in_progress`, and finally to `completed`, `failed` or
    `canceled`. With the data source `jsonl`, the items contain the answers. Stored chats without
    `input_messages` are graded with their own answers; to read them, the key needs `data.read`.
    """
    state = request.app.state

    async def make(claim: Claim[RunRecord]) -> RunRecord:
        return await create_run(
            body,
            record,
            caller,
            evals=store,
            files=cast("Files", state.files),
            stored_chats=cast("StoredChats", state.stored_chats),
            registry=cast("ModelRegistry", state.registry),
            settings=cast("Settings", state.settings),
            claim=claim,
        )

    def answer(run: RunRecord) -> dict[str, Any]:
        return _dump(_object_of(request, record, run, items_of(body)))

    raw = f"{record.id} {body.model_dump_json(by_alias=True)}".encode()
    found = await run_once(store.redis, caller.project_id, idempotency_key, raw, make, answer)
    return EvalRunObject.model_validate(found)


@router.get(
    _RUNS,
    operation_id="listEvalRuns",
    summary="List runs",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVAL_RUN_READ),
)
async def list_runs(
    request: Request,
    record: Existing,
    store: Store,
    paging: ByTime,
    wanted: Annotated[ListFilter, by_status(RunStatus)],
) -> CountedList[EvalRunObject]:
    """List the runs of an eval, oldest first by default. A page can have fewer runs than `limit` if
    their requests contain many items.
    """
    runs = store.runs.collection(record.id)
    page = await RUN.read(
        filtered(runs, record.project_id, wanted, paging, texts=("name", "model"))
    )
    shown, is_whole = await _shown(request, record, page.items)
    if not is_whole:
        page = dataclasses.replace(page, has_more=True)
    return counted_list(shown, page)


@router.get(
    _RUN,
    operation_id="getEvalRun",
    summary="Retrieve a run",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVAL_RUN_READ),
)
async def retrieve_run(request: Request, record: Existing, run: ExistingRun) -> EvalRunObject:
    """Retrieve a run: its status, its counters, and when it is expected to end."""
    return await _one(request, record, run)


@router.post(
    _RUN,
    operation_id="cancelEvalRun",
    summary="Cancel a run",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_RUN_CANCELLED),
)
async def cancel_run(
    request: Request, record: Existing, run: ExistingRun, store: Store
) -> EvalRunObject:
    """Cancel a run. Its worker stops within seconds; outcomes of items are kept. Returns 409 if
    the run has already ended.
    """
    return await _canceled(request, record, run, store)


@router.post(
    f"{_RUN}/cancel",
    operation_id="cancelEvalRunByPath",
    summary="Cancel a run by another path",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_RUN_CANCELLED),
)
async def cancel_run_by_path(
    request: Request, record: Existing, run: ExistingRun, store: Store
) -> EvalRunObject:
    """Cancel a run, as `cancelEvalRun` does. OpenAI's SDK for Python uses this path, and its SDK
    for Node the other.
    """
    return await _canceled(request, record, run, store)


async def _canceled(
    request: Request, record: EvalRecord, run: RunRecord, store: Evals
) -> EvalRunObject:
    with RUN.cancelling(run.id):
        canceled = await store.runs.change(run, lambda current: current.cancel(clock.now_s()))
    return await _one(request, record, canceled)


@router.delete(
    _RUN,
    operation_id="deleteEvalRun",
    summary="Delete a run",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.EVAL_RUN_DELETED),
)
async def delete_run(run: ExistingRun, caller: Caller, erase_run: EraseRun) -> EvalRunDeleted:
    """Delete a run with its output items. A run in progress stops. `receipt` is the ID of a signed
    receipt.
    """
    return EvalRunDeleted(run_id=run.id, receipt=await erase_run(run, caller.key_id))


@router.get(
    _ITEMS,
    operation_id="listEvalRunOutputItems",
    summary="List output items",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVAL_RUN_ITEMS_READ),
)
async def list_items(
    request: Request,
    run: ExistingRun,
    store: Store,
    paging: ByTime,
    status: Annotated[
        Literal["pass", "fail", "failed", "error"] | None,
        Query(description="Status to filter by. `failed` is the same as `fail`."),
    ] = None,
    personal_data: AskedMask = "show",
) -> ListOf[OutputItemObject]:
    """List the output items of a run in the order in which they finished, also while the run is in
    progress.

    With `personal_data=mask`, values that are found to be personal, and numbers that may be, are
    replaced in the item, the prompt, the answer and the graders' texts.
    """
    number = None
    if paging.after is not None and (number := item_number(run, paging.after)) is None:
        raise OUTPUT_ITEM.unknown_after()
    page = await OUTPUT_ITEM.read(
        store.runs.items(
            run,
            status="fail" if status == "failed" else status,
            after=number,
            limit=paging.limit,
            oldest_first=paging.oldest_first,
        )
    )
    return list_of(await _items(request, run, page, personal_data), page.has_more)


@router.get(
    f"{_ITEMS}/{{output_item_id}}",
    operation_id="getEvalRunOutputItem",
    summary="Retrieve an output item",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVAL_RUN_ITEMS_READ),
)
async def retrieve_item(
    request: Request,
    output_item_id: str,
    run: ExistingRun,
    store: Store,
    personal_data: AskedMask = "show",
) -> OutputItemObject:
    """Retrieve an output item: the item, the prompt, the answer, and each grader's result."""
    number = item_number(run, output_item_id)
    row = None if number is None else await store.runs.item(run, number)
    found = []
    if number is not None and row is not None:
        found = await _items(request, run, ItemPage([(number, row)], False), personal_data)
    if not found:
        raise OUTPUT_ITEM.not_found(output_item_id)
    return found[0]


async def _items(
    request: Request, run: RunRecord, page: ItemPage, personal_data: AskedMask
) -> list[OutputItemObject]:
    state = request.app.state
    found = await read_outcomes(cast("Files", state.files).storage, run, page)
    if personal_data == "show":
        audit_trail.reveal(AuditEvent.EVAL_RUN_ITEMS_REVEALED)
        return [OutputItemObject.from_record(run, *outcome) for outcome in found]
    bodies = await mask_outcomes(
        [body for *_, body in found], run.project_id, cast("Masking", state.masking)
    )
    return [
        OutputItemObject.from_record(run, number, row, body)
        for (number, row, _), body in zip(found, bodies, strict=True)
    ]


def _dump(shown: EvalObject | EvalRunObject) -> dict[str, Any]:
    return shown.model_dump(mode="json", by_alias=True)


async def _one(request: Request, record: EvalRecord, run: RunRecord) -> EvalRunObject:
    shown, _ = await _shown(request, record, [run])
    if not shown:
        raise RUN.not_found(run.id)
    return shown[0]


async def _shown(
    request: Request, record: EvalRecord, runs: Sequence[RunRecord]
) -> tuple[list[EvalRunObject], bool]:
    """Return the API objects of the first runs that fit a page, and whether all do."""
    storage = cast("Files", request.app.state.files).storage
    shown, size = list[EvalRunObject](), 0
    for run in runs:
        content = None
        if run.is_inline:
            try:
                raw = await storage.get_bytes(run.source_key)
            except StorageMissing:
                continue  # the run is being deleted
            size += len(raw)
            if shown and size > _MAX_PAGE_BYTES:
                return shown, False
            content = [msgspec.json.decode(line) for line in raw.splitlines()]
        shown.append(_object_of(request, record, run, content))
    return shown, True


def _object_of(
    request: Request, record: EvalRecord, run: RunRecord, content: list[Any] | None
) -> EvalRunObject:
    return EvalRunObject.from_record(
        run,
        graders=[str(grader["name"]) for grader in record.testing_criteria],
        content=content,
        base_url=str(request.base_url).rstrip("/"),
    )
