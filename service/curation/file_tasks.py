"""The tasks on a file in requests: room for another one, a page of them, and one by its ID."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from service.config import Settings
from service.core import ids, unfinished
from service.core.errors import NotFound
from service.core.records import Missing, Page
from service.curation.records import Task, TaskKind, Tasks
from service.files.records import FileRecord
from service.web.auth import Principal
from service.web.deps import resource
from service.web.http import unknown_after

TaskStore = Annotated[Tasks, Depends(resource("curation"))]


async def check_room(settings: Settings, tasks: Tasks, caller: Principal) -> None:
    """Raise RateLimited if the project has reached its limit of unfinished tasks."""
    unfinished.check_room(
        await tasks.waiting(caller.project_id),
        settings.max_file_tasks_per_project,
        "reports, previews, cleanings and imports",
        code="too_many_file_tasks",
        retry_after_s=10,
    )


async def page_of_tasks(
    tasks: Tasks, file: FileRecord, kind: TaskKind, noun: str, after: str | None, limit: int
) -> Page[Task]:
    """Return tasks of one kind on a file, newest first. Raises BadRequest if `after` is unknown."""
    try:
        return await tasks.of(file.id).page(
            file.project_id, after=after, limit=limit, where=lambda task: task.kind is kind
        )
    except Missing as e:
        raise unknown_after(noun) from e


async def task_of(tasks: Tasks, file: FileRecord, task_id: str, prefix: str, noun: str) -> Task:
    """Return the task on a file whose ID has this prefix. Raises NotFound."""
    task = None
    if ids.is_valid(task_id, prefix):
        task = await tasks.of(file.id).get(file.project_id, task_id)
    if task is None:
        raise NotFound(f"No such {noun}: {task_id[:80]}", param=f"{noun}_id")
    return task
