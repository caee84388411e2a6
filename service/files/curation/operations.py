"""What the routes of operations on files share: how they reach and start the tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

from fastapi import Header, Path
from pydantic import BaseModel

from service.core import clock, ids
from service.core.claims import Claim, ClaimLost
from service.core.errors import BadRequest, Conflict, NotFound
from service.core.records import Page
from service.core.storage import StorageError, StorageMissing
from service.files.curation.records import Task, Tasks, TaskState
from service.files.records import FileRecord, Files, Purpose
from service.web.auth import Principal
from service.web.idempotency import ApiObject, comparable, create_once
from service.web.operations import Operation, OperationDeleted, Operations, shared_fields, status_of
from service.web.resources import Paging
from service.work.unfinished import check_room

Shown = TypeVar("Shown", bound=Operation)
OperationId = Annotated[str, Path(alias="id", max_length=128, description="ID of the operation.")]
IdempotencyKey = Annotated[str | None, Header()]


def require_rows(file: FileRecord, param: str, use: str) -> None:
    """Raise BadRequest if the file has no rows to train on. `use` says what only those allow."""
    if file.purpose is not Purpose.FINE_TUNE:
        raise BadRequest(
            f"The file {file.id} has the purpose '{file.purpose}'; only files with the purpose "
            f"'fine-tune' {use}.",
            param=param,
            code="invalid_file_purpose",
        )


class TaskOperation(Operation):
    """An operation on a file. A subclass adds `object`, its inputs, and `result`."""

    file_id: str

    @classmethod
    def from_record(cls, record: Task) -> Any:
        """Build the API object of a record."""
        is_done = record.state is TaskState.COMPLETED and record.result is not None
        return cls.model_validate(
            {
                **shared_fields(record),
                "progress": None,
                "file_id": record.file_id,
                **cls.inputs_of(record.options),
                "result": cls.result_of(record.result or {}) if is_done else None,
            }
        )

    @classmethod
    def inputs_of(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields about the inputs, from the options in a record."""
        return options

    @classmethod
    def result_of(cls, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result, from that in a record."""
        return result


class TaskOperations(Operations[Task], Generic[Shown]):
    """The operations of one kind on files."""

    id_prefix: ClassVar[str]
    filters: ClassVar = {"file_id": "ID of the file."}
    content: ClassVar[str | None] = None
    """The name of the task's document in its folder, if it has one."""

    @property
    def store(self) -> Tasks:
        """The store of the tasks."""
        tasks: Tasks = self.request.app.state.curation
        return tasks

    @property
    def files(self) -> Files:
        """The store of the files."""
        files: Files = self.request.app.state.files
        return files

    async def get(self, project_id: str, operation_id: str) -> Task | None:
        """Return the project's task with this ID, or None if its file was deleted."""
        if not ids.is_valid(operation_id, self.id_prefix):
            return None
        task = await self.store.get(project_id, operation_id)
        return task if task is not None and await self._file(task) is not None else None

    async def page(
        self, project_id: str, paging: Paging, where: Callable[[Task], bool]
    ) -> Page[Task]:
        """Return a page of the project's tasks that match. Raises Missing."""
        return await self.store.page(project_id, self.id_prefix, where=where, **paging.bounds)

    async def delete(self, record: Task, caller: Principal) -> OperationDeleted | None:
        """Delete a task and its output. Files that it made stay."""
        deleted = await super().delete(record, caller)
        with contextlib.suppress(StorageError):  # the output is then removed later
            await self.files.storage.delete_prefix(record.folder)
        return deleted

    async def create(
        self,
        make: Callable[[], Awaitable[Task]],
        body: BaseModel,
        caller: Principal,
        idempotency_key: str | None,
        prepare: Callable[[Task], Awaitable[None]] | None = None,
    ) -> Shown:
        """Store the task that `make` returns and enqueue it. Raises RateLimited.

        The same task is found again if its ID is a digest of the request. `prepare` stores what a
        new task needs in its folder, once it is known that the project has room for it.
        """

        async def once(claim: Claim[Task]) -> Task:
            requested = (await make()).model_copy(update={"key_id": caller.key_id})
            tasks = self.store.collection(requested.file_id)
            found = await tasks.get(caller.project_id, requested.id)
            is_lost = found is not None and await self._is_lost(found)
            if found is None or is_lost or found.may_restart(clock.now_s()):
                await self._check_room(caller.project_id)
            if prepare is None:
                return await self.store.get_or_create(requested, claim, is_lost=is_lost)
            await prepare(requested)
            try:
                return await self.store.create(requested, claim)
            except ClaimLost:
                with contextlib.suppress(StorageError):
                    await self.files.storage.delete_prefix(requested.folder)
                raise

        redis, raw = self.store.redis, comparable(body)
        schema = cast("ApiObject[Task, Shown]", self.schema)
        return await create_once(schema, redis, caller.project_id, idempotency_key, raw, once)

    async def require_completed(self, project_id: str, operation_id: str) -> Task:
        """Return the completed task with this ID. Raises NotFound and Conflict."""
        task = await self.require(project_id, operation_id)
        if task.state is not TaskState.COMPLETED:
            raise Conflict(f"The {self.noun} {task.id} is {status_of(task)}, so it has no content.")
        return task

    async def require_file(self, task: Task) -> FileRecord:
        """Return the file of a task. Raises NotFound."""
        return self.resource().get_or_404(await self._file(task), task.id)

    def lost(self, task: Task) -> NotFound:
        """Return the error if the output of a completed task is no longer in storage."""
        return NotFound(
            f"The content of the {self.noun} {task.id} is no longer in storage. Create it again "
            "with the same request.",
            param="id",
        )

    async def _check_room(self, project_id: str) -> None:
        """Raise RateLimited if the project has reached its limit of unfinished tasks."""
        most = self.request.app.state.settings.max_file_tasks_per_project
        unfinished = await self.store.count_unfinished(project_id)
        check_room(unfinished, most, "tasks on files", retry_after_s=10)

    async def _file(self, task: Task) -> FileRecord | None:
        return await self.files.get(task.project_id, task.file_id, clock.now_s())

    async def _is_lost(self, task: Task) -> bool:
        """Return whether the document of a completed task is no longer in storage."""
        if self.content is None or task.state is not TaskState.COMPLETED:
            return False
        try:
            await self.files.storage.stat(f"{task.folder}/{self.content}")
        except StorageMissing:
            return True
        return False
