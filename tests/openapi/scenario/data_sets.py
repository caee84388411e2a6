"""Scenario of previews, reports on files, cleanings, comparisons and merges."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.openapi.scenario.data import NO_FILE
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World

_REPORT, _PREVIEW, _CLEANING, _DIFF, _MERGE = (
    f"Dataset{name}" for name in ("Report", "Preview", "Cleaning", "Diff", "Merge")
)
_PREFIXES = {
    _REPORT: "filereport-",
    _PREVIEW: "filepreview-",
    _CLEANING: "fileclean-",
    _DIFF: "filediff-",
    _MERGE: "filemerge-",
    "ModelImport": "modelimport-",
}
_WITH_CONTENT = (_REPORT, _PREVIEW, _DIFF)
_WITH_ROWS = (_REPORT, _DIFF)


async def ask(world: World, files: Uploaded, model: str) -> tuple[str, str]:
    """Request a cleaning and a report while no worker runs. The project may have two tasks."""
    body = {"file_id": files.chats}
    once = {"idempotency-key": "clean-chats-1"}
    cleaning = await world.call(
        f"create{_CLEANING}",
        "held_out",
        "Drop duplicates, mask personal data, hold out a fifth of the rows",
        headers=once,
        json={**body, "personal_data": "mask", "validation_share": 0.2, "seed": 7},
    )
    await world.call(f"create{_CLEANING}", expect=409, headers=once, json=body)
    report = await world.call(
        f"create{_REPORT}",
        "one_model",
        "Report with the token counts of one base model",
        headers={"idempotency-key": "report-chats-1"},
        json={**body, "models": [model]},
    )
    path = {"id": report.json()["id"]}
    await world.call(f"get{_REPORT}", "queued", "Report in the queue", path=path)
    await world.call(f"get{_REPORT}Content", expect=409, path=path)
    await world.call(f"list{_REPORT}Rows", expect=409, path=path)
    table = {"file_id": files.table}
    both = {"files": [body, table]}
    for kind, full in ((_CLEANING, body), (_PREVIEW, table), (_REPORT, table), (_MERGE, both)):
        await world.call(f"create{kind}", expect=429, json=full)
    later = {**body, "other_file_id": files.table}  # its check has not ended
    await world.call(f"create{_DIFF}", expect=409, json=later)
    await world.call(f"create{_CLEANING}", expect=400, json={**body, "near_threshold": 2})
    for kind in (_CLEANING, _REPORT, _PREVIEW):
        await world.call(f"create{kind}", expect=404, json={"file_id": NO_FILE})
    for wrong in ({"validation_file_id": NO_FILE}, {"models": ["gpt-4o"]}):
        await world.call(f"create{_REPORT}", expect=404, json={**body, **wrong})
    await world.call(f"create{_REPORT}", expect=400, json={**body, "models": []})
    return cleaning.json()["id"], report.json()["id"]


async def look(world: World, files: Uploaded, asked: tuple[str, str]) -> None:
    """Retrieve the results while a worker runs."""
    cleaning, report = asked
    done = await ended(world, _CLEANING, cleaning)
    await look_at(world, _CLEANING, cleaning, "Completed cleaning")
    await ended(world, _REPORT, report)
    await look_at(world, _REPORT, report, "Completed report")
    await _content(world, report)
    await _rows(world, report)
    await _diffs(world, files, done["result"]["training_file_id"])
    await _merges(world, files)


async def stop(world: World, files: Uploaded) -> None:
    """Cancel and delete operations while no worker runs."""
    body = {"file_id": files.table}
    files_of = [{"file_id": files.chats}, body]
    for kind, sent in (
        (_REPORT, body),
        (_PREVIEW, {**body, "limit": 3}),
        (_CLEANING, body),
        (_DIFF, {"file_id": files.chats, "other_file_id": files.table}),
        (_MERGE, {"files": files_of}),
    ):
        await cancel(world, kind, sent)


async def cancel(world: World, kind: str, sent: dict[str, Any]) -> None:
    """Create an operation that no worker takes, cancel it, and delete it."""
    made = await world.call(f"create{kind}", json=sent)
    path = {"id": made.json()["id"]}
    await world.call(f"cancel{kind}", "cancelled", path=path)
    await world.call(f"delete{kind}", "deleted", path=path)


async def previews(world: World, files: Uploaded) -> None:
    """Preview a table with other options, and with those given at upload."""
    unnamed = {"file_id": files.table, "format": {"header_row": 0}, "limit": 2}
    as_uploaded = {"file_id": files.table, "limit": 2}
    summaries = {
        "unknown_columns": ("No row names the columns", unnamed),
        "as_uploaded": ("With the options given at upload", as_uploaded),
    }
    for name, (summary, body) in summaries.items():
        once = {"idempotency-key": f"preview-{name}"}
        made = await _created(world, f"create{_PREVIEW}", name, summary, headers=once, json=body)
        await ended(world, _PREVIEW, made)
        await world.call(f"get{_PREVIEW}Content", name, summary, path={"id": made})
    await look_at(world, _PREVIEW, made, "Completed preview")
    once = {"idempotency-key": "preview-as_uploaded"}
    await world.call(f"create{_PREVIEW}", expect=409, headers=once, json=unnamed)
    await world.call(f"create{_PREVIEW}", expect=400, json={**unnamed, "limit": 0})


async def recognizers(world: World) -> None:
    """Define kinds of personal data, look at them, and delete one."""
    number = {"recognizer": "customer_number"}
    await world.call(
        "putRecognizer",
        "pattern",
        "Customer numbers, by a pattern",
        path=number,
        json={"pattern": r"\bC-\d{6}\b"},
    )
    await world.call(
        "putRecognizer",
        "terms",
        "Names of customers, as a list",
        path={"recognizer": "customer"},
        json={"terms": ["Acme Trading", "山田商店"]},
    )
    await world.call("putRecognizer", expect=400, path=number, json={"pattern": "("})
    await world.call("getRecognizer", "pattern", path=number)
    await world.call("listRecognizers", "two", query={"limit": 20})
    await world.call("listRecognizers", expect=400, query={"after": "x"})
    await world.call("deleteRecognizer", "deleted", path=number)
    await world.call("deleteRecognizer", expect=404, path=number)
    await world.call("getRecognizer", expect=404, path=number)
    await world.call("deleteRecognizer", path={"recognizer": "customer"})


async def reviews(world: World, files: Uploaded) -> None:
    """Review rows of a file, list the reviews, and delete one."""
    row = {"file_id": files.chats, "line": "2"}
    answer = [{"role": "user", "content": "Open on Sundays?"}]
    answer += [{"role": "assistant", "content": "Yes, from noon to four."}]
    edited = {"label": "edited", "row": {"messages": answer}, "note": "The hours changed."}
    await world.call("putRowReview", "approved", "A good row", path=row, json={"label": "approved"})
    await world.call("putRowReview", "edited", "A row to use instead", path=row, json=edited)
    await world.call("putRowReview", expect=400, path=row, json={"label": "edited"})
    await world.call("putRowReview", expect=404, path={**row, "file_id": NO_FILE}, json=edited)
    await world.call("getRowReview", "edited", path=row)
    await world.call("listRowReviews", "edited", path={"file_id": files.chats}, query={"limit": 20})
    path = {"file_id": files.chats}
    await world.call("listRowReviews", expect=400, path=path, query={"after": "x"})
    await world.call("deleteRowReview", "deleted", path=row)
    await world.call("deleteRowReview", expect=404, path=row)
    await world.call("getRowReview", expect=404, path=row)
    await world.call("listRowReviews", expect=404, path={"file_id": NO_FILE})


async def ended(world: World, kind: str, operation_id: str) -> dict[str, Any]:
    """Wait for the end of an operation, and return it."""
    async with asyncio.timeout(60):
        while True:
            answer = await world.call(f"get{kind}", path={"id": operation_id}, query={"wait": 30})
            if answer.json()["finished_at"] is not None:
                return dict(answer.json())


async def look_at(world: World, kind: str, operation_id: str, summary: str) -> None:
    """Call the routes that all kinds of operations have, about one that is completed."""
    path, missing = {"id": operation_id}, {"id": _PREFIXES[kind] + "0" * 24}
    get = f"get{kind}"
    done = await world.call(get, "completed", summary, path=path)
    assert done.json()["status"] == "completed", done.text
    await world.call(get, expect=400, path=path, query={"wait": 31})
    of_file = {"file_id": done.json()["file_id"], "status": "completed", "limit": 1}
    await world.call(f"list{kind}s", "completed", query=of_file)
    await world.call(f"list{kind}s", expect=400, query={"after": missing["id"]})
    await world.call(f"cancel{kind}", expect=409, path=path)
    more = [f"get{kind}Content"] * (kind in _WITH_CONTENT) + [f"list{kind}Rows"] * (
        kind in _WITH_ROWS
    )
    for operation in (get, f"cancel{kind}", f"delete{kind}", *more):
        await world.call(operation, expect=404, path=missing)


async def _created(world: World, operation: str, *example: str, **sent: Any) -> str:
    """Create an operation as soon as the project may have one more, and return its ID."""
    async with asyncio.timeout(60):
        while True:
            try:
                return str((await world.call(operation, *example, **sent)).json()["id"])
            except AssertionError:  # no room yet
                await asyncio.sleep(0.1)


async def _content(world: World, report: str) -> None:
    content, path = f"get{_REPORT}Content", {"id": report}
    await world.call(content, "report", "Completed report", path=path)
    for form in ("md", "html"):
        await world.call(
            content,
            "report",
            "Beginning of the report",
            path=path,
            query={"format": form},
            cut=lambda text: text[:600],
        )
    await world.call(content, expect=400, path=path, query={"format": "pdf"})


async def _rows(world: World, report: str) -> None:
    rows, path = f"list{_REPORT}Rows", {"id": report}
    for name, summary, query in (
        ("first", "First rows", {}),
        ("with_finding", "Rows that contain personal data", {"issue": "personal_data"}),
        (
            "revealed",
            "Rows with personal data as it is",
            {"issue": "personal_data", "personal_data": "show"},
        ),
        ("by_score", "Rows with the lowest scores", {"sort": "score"}),
    ):
        await world.call(rows, name, summary, path=path, query={**query, "limit": 2})
    await world.call(rows, expect=400, path=path, query={"issue": "no_such_code"})


async def _diffs(world: World, files: Uploaded, later: str) -> None:
    body = {"file_id": files.chats, "other_file_id": later}
    once = {"idempotency-key": "diff-chats-1"}
    summary = "Compare a file with the output of its cleaning"
    diff = await _created(world, f"create{_DIFF}", "cleaned", summary, headers=once, json=body)
    await ended(world, _DIFF, diff)
    await look_at(world, _DIFF, diff, "Completed comparison")
    path = {"id": diff}
    await world.call(f"get{_DIFF}Content", "diff", "Completed comparison", path=path)
    rows = f"list{_DIFF}Rows"
    await world.call(rows, "first", "First rows that differ", path=path, query={"limit": 2})
    await world.call(rows, expect=400, path=path, query={"change": "moved"})
    await world.call(f"create{_DIFF}", expect=400, json={"file_id": files.chats})
    for other, status in ((files.note, 400), (files.broken, 400), (NO_FILE, 404)):
        await world.call(f"create{_DIFF}", expect=status, json={**body, "other_file_id": other})


async def _merges(world: World, files: Uploaded) -> None:
    body = {
        "files": [{"file_id": files.chats}, {"file_id": files.table, "max_rows": 5}],
        "filename": "both-languages.jsonl",
        "seed": 7,
    }
    once = {"idempotency-key": "merge-1"}
    summary = "At most five rows of the second file"
    merge = await _created(world, f"create{_MERGE}", "at_most", summary, headers=once, json=body)
    await world.call(f"create{_MERGE}", expect=409, headers=once, json={**body, "seed": 8})
    await ended(world, _MERGE, merge)
    await look_at(world, _MERGE, merge, "Completed merge")
    for other, status in ((NO_FILE, 404), (files.note, 400), (files.broken, 400)):
        unfit = [{"file_id": files.chats}, {"file_id": other}]
        await world.call(f"create{_MERGE}", expect=status, json={"files": unfit})
    await world.call(f"create{_MERGE}", expect=400, json={"files": [{"file_id": files.chats}]})
