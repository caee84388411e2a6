"""Scenario of previews, reports on files, cleanings, comparisons and merges."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.openapi.scenario.data import NO_FILE
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World

_NO_CLEANING = "fileclean-" + "0" * 24
_NO_MERGE = "filemerge-" + "0" * 24


async def ask(world: World, files: Uploaded, model: str) -> str:
    """Request a cleaning, and a report while no worker runs. The project may have two tasks."""
    path = {"file_id": files.chats}
    cleaning = await world.call(
        "createFileCleaning",
        "held_out",
        "Drop duplicates, mask personal data, hold out a fifth of the rows",
        path=path,
        headers={"idempotency-key": "clean-chats-1"},
        json={"personal_data": "mask", "validation_share": 0.2, "seed": 7},
    )
    await world.call(
        "createFileCleaning",
        expect=409,
        path=path,
        headers={"idempotency-key": "clean-chats-1"},
        json={},
    )
    await world.call(
        "retrieveFileReport",
        "in_progress",
        "Report in progress: retry after `retry-after` seconds",
        expect=202,
        path=path,
        query={"model": model},
    )
    await world.call(
        "listFileRows",
        "in_progress",
        "Report in progress: retry after `retry-after` seconds",
        expect=202,
        path=path,
    )
    await world.call("createFileCleaning", expect=429, path=path, json={})
    await world.call("createFilePreview", expect=429, json={"file_id": files.table})
    await world.call("retrieveFileReport", expect=429, path={"file_id": files.table})
    await world.call("listFileRows", expect=429, path={"file_id": files.table})
    both = [{"file_id": files.chats}, {"file_id": files.table}]
    await world.call("createFileMerge", expect=429, json={"files": both})
    later = {"other_file": files.table}
    for operation in ("retrieveFileDiff", "listFileDiffRows"):
        await world.call(
            operation,
            "in_progress",
            "Comparison in progress: retry after `retry-after` seconds",
            expect=202,
            path=path,
            query=later,
        )
    await world.call("createFileCleaning", expect=400, path=path, json={"near_threshold": 2})
    await world.call("createFileCleaning", expect=404, path={"file_id": NO_FILE}, json={})
    return cleaning.json()["id"]


async def look(world: World, files: Uploaded, cleaning_id: str, model: str) -> None:
    """Retrieve the results."""
    path = {"file_id": files.chats}
    await _until_completed(world, files.chats, cleaning_id)
    one = {**path, "cleaning_id": cleaning_id}
    await world.call("retrieveFileCleaning", "completed", path=one)
    missing = {**path, "cleaning_id": _NO_CLEANING}
    await world.call("retrieveFileCleaning", expect=404, path=missing)
    await world.call("listFileCleanings", "one", path=path, query={"limit": 20})
    await world.call("listFileCleanings", expect=400, path=path, query={"after": "x"})
    await world.call("listFileCleanings", expect=404, path={"file_id": NO_FILE})
    await _reports(world, files, model)
    await _rows(world, files)
    made = await world.call("retrieveFileCleaning", path=one)
    await _diffs(world, files, made.json()["training_file"])
    await _merges(world, files)


async def previews(world: World, files: Uploaded) -> None:
    """Preview a table with other options, and with those given at upload."""
    unnamed = {"file_id": files.table, "format": {"header_row": 0}, "limit": 2}
    waiting = "Preview in progress: retry after `retry-after` seconds"
    await _previewed(world, "in_progress", waiting, unnamed, expect=202)
    await _previewed(world, "unknown_columns", "Columns that are not recognized", unnamed)
    as_uploaded = {"file_id": files.table, "limit": 2}
    await _previewed(world, "as_uploaded", "With the options given at upload", as_uploaded)
    await world.call("createFilePreview", expect=404, json={"file_id": NO_FILE})
    await world.call("createFilePreview", expect=400, json={**unnamed, "limit": 0})


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


async def _until_completed(world: World, file_id: str, cleaning_id: str) -> None:
    path = {"file_id": file_id, "cleaning_id": cleaning_id}
    async with asyncio.timeout(60):
        while True:
            answer = await world.call("retrieveFileCleaning", path=path)
            if answer.json()["status"] != "in_progress":
                return
            await asyncio.sleep(0.05)


async def _previewed(
    world: World, name: str, summary: str, body: dict[str, Any], expect: int = 200
) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await world.call("createFilePreview", name, summary, expect=expect, json=body)
                return
            except AssertionError:  # 202 still, or no room yet
                await asyncio.sleep(0.1)


async def _reports(world: World, files: Uploaded, model: str) -> None:
    path, query = {"file_id": files.chats}, {"model": model}
    async with asyncio.timeout(60):
        while True:
            try:
                await world.call(
                    "retrieveFileReport", "report", "Completed report", path=path, query=query
                )
                break
            except AssertionError:  # 202 still
                await asyncio.sleep(0.1)
    for form in ("md", "html"):
        await world.call(
            "retrieveFileReport",
            "report",
            "Beginning of the report",
            path=path,
            query={**query, "format": form},
            cut=lambda text: text[:600],
        )
    await world.call("retrieveFileReport", expect=404, path={"file_id": NO_FILE})
    other = {**query, "validation_file": NO_FILE}
    await world.call("retrieveFileReport", expect=404, path=path, query=other)
    await world.call("retrieveFileReport", expect=404, path=path, query={"model": "gpt-4o"})
    await world.call("retrieveFileReport", expect=400, path=path, query={"format": "pdf"})
    await world.call("retrieveFileReport", expect=400, path=path, query={"encoder": "e5-small"})


async def _rows(world: World, files: Uploaded) -> None:
    path = {"file_id": files.chats}
    await world.call("listFileRows", "first", "First rows", path=path, query={"limit": 2})
    await world.call(
        "listFileRows",
        "with_finding",
        "Rows that contain personal data",
        path=path,
        query={"issue": "personal_data", "limit": 2},
    )
    await world.call(
        "listFileRows",
        "by_score",
        "Rows with the lowest scores",
        path=path,
        query={"sort": "score", "limit": 2},
    )
    await world.call("listFileRows", expect=404, path={"file_id": NO_FILE})
    await world.call("listFileRows", expect=400, path=path, query={"issue": "no_such_code"})


async def _diffs(world: World, files: Uploaded, later: str) -> None:
    path, query = {"file_id": files.chats}, {"other_file": later}
    async with asyncio.timeout(60):
        while True:
            try:
                await world.call(
                    "retrieveFileDiff", "diff", "Completed comparison", path=path, query=query
                )
                break
            except AssertionError:  # 202 still, or no room yet
                await asyncio.sleep(0.1)
    await world.call(
        "listFileDiffRows",
        "first",
        "First rows that differ",
        path=path,
        query={**query, "limit": 2},
    )
    for operation in ("retrieveFileDiff", "listFileDiffRows"):
        await world.call(operation, expect=400, path=path, query={})
        for unfit in (files.note, files.broken):
            await world.call(operation, expect=400, path=path, query={"other_file": unfit})
        await world.call(operation, expect=404, path={"file_id": NO_FILE}, query=query)
        await world.call(operation, expect=404, path=path, query={"other_file": NO_FILE})


async def _merges(world: World, files: Uploaded) -> None:
    body = {
        "files": [{"file_id": files.chats}, {"file_id": files.table, "max_rows": 5}],
        "filename": "both-languages.jsonl",
        "seed": 7,
    }
    once = {"idempotency-key": "merge-1"}
    merge = await world.call(
        "createFileMerge",
        "at_most",
        "At most five rows of the second file",
        headers=once,
        json=body,
    )
    changed = {**body, "seed": 8}
    await world.call("createFileMerge", expect=409, headers=once, json=changed)
    path = {"file_id": files.chats}
    one = {**path, "merge_id": merge.json()["id"]}
    async with asyncio.timeout(60):
        while (await world.call("retrieveFileMerge", path=one)).json()["status"] == "in_progress":
            await asyncio.sleep(0.05)
    await world.call("retrieveFileMerge", "completed", path=one)
    await world.call("listFileMerges", "one", path=path, query={"limit": 20})
    await world.call("retrieveFileMerge", expect=404, path={**path, "merge_id": _NO_MERGE})
    await world.call("listFileMerges", expect=400, path=path, query={"after": "x"})
    await world.call("listFileMerges", expect=404, path={"file_id": NO_FILE})
    for other, status in ((NO_FILE, 404), (files.note, 400), (files.broken, 400)):
        unfit = [{"file_id": files.chats}, {"file_id": other}]
        await world.call("createFileMerge", expect=status, json={"files": unfit})
    await world.call("createFileMerge", expect=400, json={"files": [{"file_id": files.chats}]})
