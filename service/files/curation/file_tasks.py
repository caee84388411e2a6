"""What the routes of tasks on files share: starting, finding and listing tasks, and answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.config import Settings
from service.core import ids
from service.core.errors import BadRequest, NotFound
from service.core.records import Page
from service.core.storage import StorageMissing
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.records import FileRecord
from service.files.routes import Store, require_file
from service.web.auth import Principal
from service.web.deps import resource
from service.web.resources import Paging, Resource
from service.work import unfinished

_RETRY_S = 1

TaskStore = Annotated[Tasks, Depends(resource("curation"))]


async def check_room(settings: Settings, tasks: Tasks, caller: Principal) -> None:
    """Raise RateLimited if the project has reached its limit of unfinished tasks."""
    unfinished.check_room(
        await tasks.count_unfinished(caller.project_id),
        settings.max_file_tasks_per_project,
        "tasks on files",
        retry_after_s=10,
    )


async def get_or_start(
    requested: Task, tasks: Tasks, settings: Settings, caller: Principal
) -> Task:
    """Return the requested task, which is started if it is new. Raises BadRequest if it failed."""
    if await tasks.collection(requested.file_id).get(caller.project_id, requested.id) is None:
        await check_room(settings, tasks, caller)
    task = await tasks.get_or_create(requested.model_copy(update={"key_id": caller.key_id}))
    if task.error is not None and task.state is TaskState.FAILED:
        raise BadRequest(task.error.message, code=task.error.code, param="file_id")
    return task


async def require_named_file(
    files: Store, caller: Principal, file_id: str, param: str
) -> FileRecord:
    """Return the file that a parameter names. Raises NotFound."""
    try:
        return await require_file(files, caller.project_id, file_id)
    except NotFound as e:
        raise NotFound(e.message, param=param, code="file_not_found") from e


def pending(body: BaseModel) -> JSONResponse:
    """Return the response while a task is in progress."""
    return JSONResponse(body.model_dump(), 202, headers={"retry-after": str(_RETRY_S)})


@contextlib.asynccontextmanager
async def restarted_if_lost(tasks: Tasks, task: Task, message: str) -> AsyncIterator[None]:
    """Restart a completed task whose output is no longer in storage. Raises NotFound then."""
    try:
        yield
    except StorageMissing as e:
        await tasks.restart(task)
        raise NotFound(message) from e


def encode_result(task: Task, kind: str, content: bytes, **more: Any) -> bytes:
    """Return a stored report, preview or diff as the JSON of an API object."""
    head = {"id": task.id, "object": kind, "file_id": task.file_id, "status": task.state, **more}
    body = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**head, **body})


async def list_tasks(tasks: Tasks, file: FileRecord, kind: TaskKind, paging: Paging) -> Page[Task]:
    """Return tasks of one kind on a file. Raises Missing if `paging.after` is unknown."""
    return await tasks.collection(file.id).page(
        file.project_id, **paging.bounds, where=lambda task: task.kind is kind
    )


async def get_task(
    tasks: Tasks, file: FileRecord, task_id: str, prefix: str, resource: Resource
) -> Task:
    """Return the task on a file whose ID has this prefix. Raises NotFound."""
    task = None
    if ids.is_valid(task_id, prefix):
        task = await tasks.collection(file.id).get(file.project_id, task_id)
    return resource.get_or_404(task, task_id)
