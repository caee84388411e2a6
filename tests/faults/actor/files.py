"""Handlers and tasks of files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from tests.adapters import adapter, tar_of
from tests.conftest import BASE_MODEL, chat_line
from tests.faults.actor.base import ROWS, Actor, answered, key, make, one, requests, send, works
from tests.faults.invariants import listed
from tests.faults.world import Step, World

_REPORTS, _PREVIEWS, _CLEANINGS, _DIFFS, _MERGES = (
    f"/v1/dataset_{name}" for name in ("reports", "previews", "cleanings", "diffs", "merges")
)
_IMPORTS = "/v1/model_imports"
# Half of them contradict the other file.
_ERASURES = "/v1/organization/erasures"
_OTHER_ROWS = "\n".join(chat_line(f"Question {i}?", f"It is {i}.") for i in range(9, 15)).encode()
# Not canonical, so that the check stores the rows.
_TABLE = b"question,answer\n" + b"".join(b"q%d,a%d\n" % (i, i) for i in range(12))


async def post_file(
    world: World, data: bytes = ROWS, name: str = "chats.jsonl", purpose: str = "fine-tune"
) -> None:
    """Upload a file."""
    form = {"files": {"file": (name, data)}, "data": {"purpose": purpose}}
    await make(world, "/v1/files", "file", **form)


async def _post_table(world: World) -> None:
    await post_file(world, _TABLE, "table.csv")


async def checked_file(world: World) -> None:
    """Upload a file, which is checked."""
    await post_file(world)
    await world.settle()


async def delete_file(world: World) -> None:
    """Delete the file. What needs it may then fail."""
    file_id = world.notes["file"]
    world.notes["failed"] = True
    if await send(world, "DELETE", f"/v1/files/{file_id}") in (200, 404):
        world.deleted.add(file_id)


async def _twins(world: World) -> None:
    await _post_table(world)
    await world.settle()
    await _post_table(world)


async def _clean(world: World) -> None:
    body = {"file_id": world.notes["file"], "validation_share": 0.25, "seed": 7}
    await make(world, _CLEANINGS, "cleaning", json=body, headers=key("clean"))


async def _cleaning_waits(world: World) -> None:
    await checked_file(world)
    await _clean(world)


async def _two_files(world: World) -> None:
    await checked_file(world)
    world.notes["first"] = world.notes["file"]
    await post_file(world, _OTHER_ROWS, "others.jsonl")
    await world.settle()


async def _merge(world: World) -> None:
    files = [{"file_id": world.notes[name]} for name in ("first", "file")]
    body = {"files": files, "balance": "files", "seed": 7}
    await make(world, _MERGES, "merge", json=body, headers=key("merge"))


async def _merge_waits(world: World) -> None:
    await _two_files(world)
    await _merge(world)


async def _diff(world: World) -> None:
    body = {"file_id": world.notes["first"], "other_file_id": world.notes["file"]}
    await make(world, _DIFFS, "diff", json=body)


async def _diff_waits(world: World) -> None:
    await _two_files(world)
    await _diff(world)


async def _delete_first(world: World) -> None:
    """Delete the file that a comparison or a merge belongs to."""
    file_id = world.notes["first"]
    world.notes["failed"] = True
    if await send(world, "DELETE", f"/v1/files/{file_id}") in (200, 404):
        world.deleted.add(file_id)


async def _report(world: World) -> None:
    await make(world, _REPORTS, "report", json={"file_id": world.notes["file"]})


async def _report_waits(world: World) -> None:
    await checked_file(world)
    await _report(world)


async def _preview(world: World) -> None:
    await make(world, _PREVIEWS, "preview", json={"file_id": world.notes["file"]})


async def _preview_waits(world: World) -> None:
    await checked_file(world)
    await _preview(world)


async def _post_archive(world: World) -> None:
    await post_file(world, tar_of(adapter()), "voice.tar", "model-import")


async def import_model(world: World) -> None:
    """Import the uploaded adapter."""
    body = {"file_id": world.notes["file"], "base_model": BASE_MODEL}
    await make(world, _IMPORTS, "import", json=body, headers=key("import"))


async def _import_waits(world: World) -> None:
    await _post_archive(world)
    await import_model(world)


async def imported_model(world: World) -> None:
    """Import an adapter, and note the name of its model."""
    await _import_waits(world)
    await world.settle()
    models = await listed(world, "/v1/models")
    world.notes["model"] = next(m["id"] for m in models if m["id"].startswith("ft:"))


def _number_of(path: str) -> Callable[[World], Awaitable[int]]:
    async def count(world: World) -> int:
        return len(await listed(world, path))

    return count


async def _cleanings(world: World) -> int:
    return len(await listed(world, _CLEANINGS))


async def _merges(world: World) -> int:
    return len(await listed(world, _MERGES))


async def _imported(world: World) -> int:
    models = await listed(world, "/v1/models")
    return sum(model["id"].startswith("ft:") for model in models)


async def _set_recognizer(world: World) -> None:
    await send(world, "PUT", "/v1/recognizers/customer", json={"terms": ["Acme"]})


async def _delete_recognizer(world: World) -> None:
    await send(world, "DELETE", "/v1/recognizers/customer")


async def _review(world: World) -> None:
    path = f"/v1/files/{world.notes['file']}/reviews/2"
    await send(world, "PUT", path, json={"label": "rejected", "note": "Too short."})


async def _delete_review(world: World) -> None:
    await send(world, "DELETE", f"/v1/files/{world.notes['file']}/reviews/2")


async def _reviewed(world: World) -> None:
    await checked_file(world)
    await _review(world)


async def _erase_rows(world: World) -> None:
    body = {"match": {"type": "substring", "value": "Question 3?"}, "apply": True}
    await make(world, _ERASURES, "erasure", json=body, headers=key("erasure"))


async def _cancel_erasure(world: World) -> None:
    await send(world, "POST", f"{_ERASURES}/{world.notes['erasure']}/cancel")


async def _erasure_is_cancelled(world: World) -> None:
    await _erasure_is_asked(world)
    await _cancel_erasure(world)


async def _delete_erasure(world: World) -> None:
    await send(world, "DELETE", f"{_ERASURES}/{world.notes['erasure']}")


async def _erasure_is_asked(world: World) -> None:
    await checked_file(world)
    await _erase_rows(world)


async def _erasure_waits(world: World) -> None:
    await _erasure_is_asked(world)
    world.deleted.add(world.notes["file"])


async def _rows_are_gone(world: World) -> AsyncIterator[str]:
    for file in await listed(world, "/v1/files"):
        content = await world.http.get(f"/v1/files/{file['id']}/content")
        if "Question 3?" in content.text:
            yield "an erased row is left"


def _cancelling(noted: str, path: str) -> Step:
    """Return a step that cancels an operation."""

    async def cancel(world: World) -> None:
        await send(world, "POST", f"{path}/{world.notes[noted]}/cancel")

    return cancel


def _deleting(noted: str, path: str) -> Step:
    """Return a step that deletes an operation."""

    async def delete(world: World) -> None:
        await send(world, "DELETE", f"{path}/{world.notes[noted]}")

    return delete


def _endings(name: str, noted: str, path: str, arrange: Step) -> tuple[Actor, Actor]:
    """Return the actors that cancel and delete an operation of a kind."""
    cancel, delete = _cancelling(noted, path), _deleting(noted, path)
    return (
        # It may be cancelled although the client got no answer.
        requests(f"cancel{name}", cancel, arrange=arrange, check=answered(200, 409)),
        requests(f"delete{name}", delete, arrange=arrange, check=answered(200, 404)),
    )


_DELETE = {"delete": delete_file}


def _stopping(noted: str, path: str) -> dict[str, Step]:
    """Return what a user may do while a worker works: delete the file, or end the operation."""
    return {
        **_DELETE,
        "cancel": _cancelling(noted, path),
        "delete-operation": _deleting(noted, path),
    }


_DELETE_EITHER = {"delete": delete_file, "delete-first": _delete_first}

FILES = (
    requests("createFile", post_file, check=one(_number_of("/v1/files"), "file")),
    requests("deleteFile", delete_file, arrange=checked_file),
    Actor("check-file", works("cpu"), _post_table, acts=_DELETE),
    Actor("check-twin", works("cpu"), _twins, acts=_DELETE),
)
CURATION = (
    requests(
        "createDatasetCleaning", _clean, arrange=checked_file, check=one(_cleanings, "cleaning")
    ),
    Actor("cleaning", works("cpu"), _cleaning_waits, acts=_stopping("cleaning", _CLEANINGS)),
    requests("createDatasetMerge", _merge, arrange=_two_files, check=one(_merges, "merge")),
    requests("createErasure", _erase_rows, arrange=checked_file),
    Actor("erase-rows", works("cpu"), _erasure_waits, acts=_DELETE, check=_rows_are_gone),
    requests("cancelErasure", _cancel_erasure, arrange=_erasure_is_asked),
    requests("deleteErasure", _delete_erasure, arrange=_erasure_is_cancelled),
    Actor("merge", works("cpu"), _merge_waits, acts=_DELETE_EITHER),
    requests("createDatasetDiff", _diff, arrange=_two_files),
    Actor("diff", works("cpu"), _diff_waits, acts=_DELETE_EITHER),
    requests("createDatasetReport", _report, arrange=checked_file),
    requests("putRecognizer", _set_recognizer, check=answered(200)),
    requests("deleteRecognizer", _delete_recognizer, arrange=_set_recognizer),
    requests("putRowReview", _review, arrange=checked_file),
    requests("deleteRowReview", _delete_review, arrange=_reviewed),
    Actor("report", works("cpu"), _report_waits, acts=_stopping("report", _REPORTS)),
    requests("createDatasetPreview", _preview, arrange=checked_file),
    Actor("preview", works("cpu"), _preview_waits, acts=_DELETE),
    requests(
        "createModelImport", import_model, arrange=_post_archive, check=one(_imported, "model")
    ),
    Actor("import", works("cpu"), _import_waits, acts=_stopping("import", _IMPORTS)),
    *_endings("DatasetReport", "report", _REPORTS, _report_waits),
    *_endings("DatasetPreview", "preview", _PREVIEWS, _preview_waits),
    *_endings("DatasetCleaning", "cleaning", _CLEANINGS, _cleaning_waits),
    *_endings("DatasetDiff", "diff", _DIFFS, _diff_waits),
    *_endings("DatasetMerge", "merge", _MERGES, _merge_waits),
    *_endings("ModelImport", "import", _IMPORTS, _import_waits),
)
