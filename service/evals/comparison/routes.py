"""`GET /v1/evals/{eval_id}/compare`: runs of an eval, compared by item."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, cast

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from service.core.errors import BadRequest, Conflict
from service.evals.comparison.compare import Change, ComparedItem, compare_rows
from service.evals.comparison.schemas import (
    EvalComparison,
    EvalComparisonItem,
    EvalComparisonOutput,
    EvalComparisonRun,
)
from service.evals.outcomes import mask_outcomes, read_outcomes
from service.evals.records import EvalRecord, ItemPage, ItemRow, RunRecord, item_id
from service.evals.routes import OUTPUT_ITEM, RUN, Existing, Store
from service.files.curation.masking import Masking
from service.files.records import Files
from service.reports.render import Table, render_markdown
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.filters import AskedMask, scans
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/evals", tags=["Evals"])
MOST_RUNS: Final = 5
_MARKDOWN: Final = "text/markdown"
_SHOWN_CHARS: Final = 300  # of a text in Markdown


@router.get(
    "/{eval_id}/compare",
    operation_id="getEvalComparison",
    summary="Compare runs",
    response_class=Response,
    responses={
        200: {
            "description": "The comparison in the requested format.",
            "model": EvalComparison,
            "content": {_MARKDOWN: {"schema": {"type": "string"}}},
        }
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVAL_RUN_ITEMS_READ),
)
async def compare(
    request: Request,
    record: Existing,
    store: Store,
    runs: Annotated[
        str,
        Query(
            max_length=1024,
            description=f"IDs of 2 to {MOST_RUNS} ended runs, separated by commas. The first is "
            "the baseline.",
            examples=["evalrun_0123456789abcdefghijklmn,evalrun_nmlkjihgfedcba9876543210"],
        ),
    ],
    after: Annotated[
        str | None, Query(description="Cursor for pagination: the `last_id` of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
    change: Annotated[
        Change | None, Query(description="Only items with this change. Defaults to all.")
    ] = None,
    form: Annotated[
        Literal["json", "md"] | None,
        Query(
            alias="format",
            description="Format: JSON or Markdown. Defaults to JSON, or to Markdown if the header "
            "`Accept` is `text/markdown`.",
        ),
    ] = None,
    personal_data: AskedMask = "show",
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Compare ended runs of an eval: mean scores and paired differences with 95% confidence
    intervals, tokens and latency, and the items, those that got worse first.

    Items are paired by their content, so the runs may read different files. An item that a run
    could not sample or grade is missing in the differences.
    """
    named = await _runs(record, store, runs)
    rows = [await store.runs.all_rows(run) for run in named]
    graders = [str(grader["name"]) for grader in record.testing_criteria]
    async with scans.hold(record.project_id):
        found = await asyncio.to_thread(compare_rows, graders, rows)
    wanted = [item for item in found.items if change in (None, item.change)]
    start = 0 if after is None else _place_after(wanted, named, after)
    some = wanted[start : start + limit]
    items, masked = await _items(request, named, rows, some, personal_data)
    shown = EvalComparison(
        eval_id=record.id,
        runs=[EvalComparisonRun.of(run, one) for run, one in zip(named, found.runs, strict=True)],
        items=items,
        has_more=start + limit < len(wanted),
        changes=Counter(item.change for item in found.items),
        last_id=_id_of(some[-1], named) if some else None,
        masked_values=masked,
    )
    if form == "md" or (form is None and accept.startswith(_MARKDOWN)):
        return Response(to_markdown(record, shown), media_type=f"{_MARKDOWN}; charset=utf-8")
    return Response(shown.model_dump_json(), media_type="application/json")


async def _runs(record: EvalRecord, store: Store, asked: str) -> list[RunRecord]:
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if not 2 <= len(names) <= MOST_RUNS or len(set(names)) < len(names):
        raise BadRequest(
            f"Invalid value for 'runs': give 2 to {MOST_RUNS} different IDs of runs, separated by "
            "commas.",
            param="runs",
            code="invalid_value",
        )
    found = []
    for name in names:
        run = await store.runs.get_run(record.project_id, record.id, name)
        found.append(RUN.get_or_404(run, name))
    if unfinished := next((run for run in found if not run.is_final), None):
        raise Conflict(
            f"The run {unfinished.id} is {unfinished.status}. Compare runs that have ended.",
            param="runs",
        )
    return found


def _id_of(item: ComparedItem, runs: Sequence[RunRecord]) -> str:
    """Return the ID of an item: that of its first output item."""
    return next(
        item_id(run, number)
        for run, number in zip(runs, item.numbers, strict=True)
        if number is not None
    )


def _place_after(items: Sequence[ComparedItem], runs: Sequence[RunRecord], after: str) -> int:
    for place, item in enumerate(items, 1):
        if _id_of(item, runs) == after:
            return place
    raise OUTPUT_ITEM.unknown_after()


async def _items(
    request: Request,
    runs: Sequence[RunRecord],
    rows: Sequence[Mapping[int, ItemRow]],
    some: Sequence[ComparedItem],
    personal_data: AskedMask,
) -> tuple[list[EvalComparisonItem], int | None]:
    """Return the API objects of items, and the number of masked values.

    Items whose run is being deleted are left out.
    """
    state = request.app.state
    bodies: list[dict[int, dict[str, Any]]] = []
    masked = None if personal_data == "show" else 0
    for place, run in enumerate(runs):
        numbers = [n for item in some if (n := item.numbers[place]) is not None]
        page = ItemPage([(n, rows[place][n]) for n in numbers], False)
        read = await read_outcomes(cast("Files", state.files).storage, run, page)
        texts = [body for *_, body in read]
        if masked is not None:
            texts = await mask_outcomes(texts, run.project_id, cast("Masking", state.masking))
            masked += sum(body["masked_values"] for body in texts)
        bodies.append({n: body for (n, *_), body in zip(read, texts, strict=True)})
    if masked is None:
        audit_trail.reveal(AuditEvent.EVAL_RUN_ITEMS_REVEALED)
    shown = []
    for item in some:
        outcomes = [
            (run, number, bodies[place][number], rows[place][number].status)
            for place, (run, number) in enumerate(zip(runs, item.numbers, strict=True))
            if number is not None and number in bodies[place]
        ]
        outputs = [EvalComparisonOutput.of(r, n, status, body) for r, n, body, status in outcomes]
        if outputs:
            shown.append(EvalComparisonItem.of(item, outcomes[0][2]["item"], outputs))
    return shown, masked


def to_markdown(record: EvalRecord, shown: EvalComparison) -> str:
    """Return a comparison as Markdown."""
    labels = Counter(run.name or run.model for run in shown.runs)
    names = {
        run.run_id: label if (label := run.name or run.model) and labels[label] == 1 else run.run_id
        for run in shown.runs
    }
    scores = [
        [names[run.run_id], one.metric, _number(one.mean), _interval(one.low, one.high), str(one.n)]
        for run in shown.runs
        for one in run.scores
    ]
    differences = [
        [
            *(names[run.run_id], one.metric, _number(one.mean, "+")),
            *(_interval(one.low, one.high), str(one.better), str(one.worse), str(one.missing)),
        ]
        for run in shown.runs
        for one in run.differences
    ]
    costs = [
        [
            *(names[run.run_id], _number(run.prompt_tokens), _number(run.completion_tokens)),
            *(_number(run.latency_s), _number(run.latency_p95_s), str(run.errored)),
        ]
        for run in shown.runs
    ]
    items = [
        {
            "title": f"{item.change}: {_short(str(item.datasource_item))}",
            "outputs": [(names[o.run_id], o.status, _short(o.answer)) for o in item.outputs],
        }
        for item in shown.items
    ]
    parts = [
        Table(
            ["run", "metric", "mean difference", "95%", "better", "worse", "missing"], differences
        ),
        Table(["run", "metric", "mean", "95%", "items"], scores),
        Table(
            ["run", "prompt tokens", "answer tokens", "seconds", "95% within", "errors"],
            costs,
        ),
    ]
    return render_markdown(
        "comparison.md.jinja",
        package="service.evals.comparison",
        title=record.name or record.id,
        baseline=names[shown.runs[0].run_id],
        parts=parts,
        items=items,
    )


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
