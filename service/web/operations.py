"""The shape and the routes of all operations: work that the API does in the background.

Each kind of operation is a collection with the same routes: create, list, get with `wait`, cancel,
and delete. A kind subclasses `Operation`, which is the wire type, and `Operations`, which
is how the routes reach its records. It writes its own create route, and gets the others from
`add_routes`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from inspect import Parameter, Signature
from typing import Annotated, Any, ClassVar, Final, Generic, Protocol, Self, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from service.core import clock
from service.core.errors import Conflict
from service.core.records import Page
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller
from service.web.filters import (
    CountedList,
    Filtered,
    Found,
    ListFilter,
    counted_list,
    list_counts,
    scans,
)
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, NewestFirst, Paging, Resource

MAX_WAIT_S: Final = 30  # below the idle limits of common proxies
_POLL_S: Final = 0.5


class Background(Protocol):
    """What the shared fields of an operation are read from: an `OperationRecord`, usually."""

    @property
    def id(self) -> str: ...
    @property
    def current_status(self) -> StrEnum: ...
    @property
    def created_at(self) -> int: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def metadata(self) -> dict[str, str] | None: ...


R = TypeVar("R", bound=Background)


class OperationStatus(StrEnum):
    """Status of an operation."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether an operation with this status has ended."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {OperationStatus.COMPLETED, OperationStatus.FAILED, OperationStatus.CANCELLED}
)
# What kinds call a status in their records.
_STATUSES: Final = {
    "running": OperationStatus.IN_PROGRESS,
    "succeeded": OperationStatus.COMPLETED,
}


class OperationProgress(BaseModel):
    """Progress of an operation."""

    completed: int = Field(description="Number of finished parts.")
    total: int | None = Field(description="Number of all parts; null if it is not known yet.")
    step: str | None = Field(
        default=None, description="Current step; null if the operation has only one."
    )


class OperationError(BaseModel):
    """Reason why an operation failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="What went wrong, and how to fix it.")
    param: str | None = Field(
        default=None, description="Parameter of the request that caused the failure, if one did."
    )


class Operation(BaseModel):
    """Work that the API does in the background. A subclass adds `object`, its inputs, `result`."""

    id: str = Field(description="ID of the operation.")
    object: str = Field(description="Type of the object.")
    status: OperationStatus = Field(
        description="`queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or "
        "`cancelled`."
    )
    created_at: int = Field(description="Creation time, in Unix seconds.")
    started_at: int | None = Field(
        description="Time at which the work began, in Unix seconds; null while it is queued."
    )
    finished_at: int | None = Field(
        description="Time at which the work ended, in Unix seconds; null until then."
    )
    progress: OperationProgress | None = Field(
        description="Progress of the work; null if it is not measured, and in some kinds of "
        "operations also before and after the work."
    )
    error: OperationError | None = Field(description="Reason for the status `failed`, or null.")
    metadata: dict[str, str] | None = Field(
        description="Key-value pairs attached to the operation."
    )

    @classmethod
    def from_record(cls, record: Any) -> Self:
        """Build the API object of a record."""
        raise NotImplementedError


def status_of(record: Background) -> OperationStatus:
    """Return the status that the API shows for a record."""
    status = record.current_status
    shown = _STATUSES.get(status) or OperationStatus(status)
    if shown is OperationStatus.IN_PROGRESS and "QUEUED" not in type(status).__members__:
        # The kind does not tell queued work apart.
        return shown if record.started_at is not None else OperationStatus.QUEUED
    return shown


def shared_fields(record: Background) -> dict[str, Any]:
    """Return the fields of `Operation` that every record has, except its progress."""
    error, status = getattr(record, "error", None), status_of(record)
    # A worker may have taken work that is queued, or handed it back.
    started_at = None if status is OperationStatus.QUEUED else record.started_at
    return {
        "id": record.id,
        "status": status,
        "created_at": record.created_at,
        "started_at": started_at,
        "finished_at": getattr(record, "finished_at", None),
        "error": error and error.model_dump(),
        "metadata": record.metadata,
    }


class OperationDeleted(Deleted):
    """Response to deleting an operation."""

    receipt: str | None = Field(
        default=None, description="ID of the receipt that says what was erased, if there is one."
    )


class Operations(Generic[R]):
    """The operations of one kind, as the routes reach them. One is created for each request."""

    noun: ClassVar[str]
    """The operation in descriptions and messages, such as "export"."""
    schema: ClassVar[type[Operation]]
    deletes_unfinished: ClassVar[bool] = True
    """Whether an operation can be deleted before it has ended."""
    kept: ClassVar[str | None] = None
    """What an operation made that is kept when it is deleted, such as "files"."""
    filters: ClassVar[Mapping[str, str]] = {}
    """Fields of the record by which lists can be filtered, each with its description."""
    texts: ClassVar[tuple[str, ...]] = ()
    """Fields of the record in which `search` looks, if they are not those of `filters`."""

    store_name: ClassVar[str]
    """The name of the store among the resources of the app."""

    def __init__(self, request: Request) -> None:
        self.request = request

    @property
    def store(self) -> Any:
        """The store of the records, such as a `WorkStore`."""
        return getattr(self.request.app.state, self.store_name)

    @classmethod
    def resource(cls) -> Resource:
        """Return the resource, for errors about an operation."""
        return Resource(cls.noun, "id")

    async def show(self, record: R) -> Operation:
        """Return the API object of a record."""
        return self.schema.from_record(record)

    async def get(self, project_id: str, operation_id: str) -> R | None:
        """Return the project's record with this ID, or None."""
        found: R | None = await self.store.get(project_id, operation_id)
        return found

    async def page(self, project_id: str, paging: Paging, where: Callable[[R], bool]) -> Page[Any]:
        """Return a page of the project's records that match. Raises Missing."""
        page: Page[Any] = await self.store.records.page(project_id, **paging.bounds, where=where)
        return page

    def matches(self, record: R, filters: Mapping[str, str]) -> bool:
        """Return whether the record has these values of the `filters`."""
        return all(getattr(record, field) == value for field, value in filters.items())

    async def cancel(self, record: R) -> R:
        """Cancel an operation. Raises Missing and WorkEnded."""
        after: R = await self.store.change(record, lambda r: r.cancel(clock.now_s()))
        return after

    async def delete(self, record: R, caller: Principal) -> OperationDeleted | None:
        """Delete an operation. Returns None if it is gone."""
        return self.deleted(record) if await self.store.delete(record) else None

    def deleted(self, record: R, receipt: str | None = None) -> OperationDeleted:
        """Return the confirmation that an operation was deleted."""
        name = self.schema.model_fields["object"].default
        return OperationDeleted(id=record.id, object=f"{name}.deleted", receipt=receipt)

    async def require(self, project_id: str, operation_id: str) -> R:
        """Return the project's record with this ID. Raises NotFound."""
        found = await self.get(project_id, operation_id)
        return self.resource().get_or_404(found, operation_id)

    def require_cancellable(self, record: R) -> None:
        """Raise Conflict if the operation has ended."""
        status = status_of(record)
        if status.is_final:
            message = f"The {self.noun} {record.id} has already ended with status '{status}'."
            raise Conflict(message)

    def require_deletable(self, record: R) -> None:
        """Raise Conflict if the operation must end first."""
        status = status_of(record)
        if not (status.is_final or self.deletes_unfinished):
            message = (
                f"The {self.noun} {record.id} is {status}. Cancel it, and delete it once it has "
                "ended."
            )
            raise Conflict(message)


def add_routes(
    router: APIRouter,
    kind: type[Operations[Any]],
    *,
    read: Permission,
    write: Permission,
    cancelled: AuditEvent,
    deleted: AuditEvent,
) -> None:
    """Add the routes of a kind of operation, except for its creation, to its router."""
    name, noun = kind.schema.__name__, kind.noun
    plural = name if name.endswith("Advice") else f"{name}s"
    nouns = noun if noun == "advice" else f"{noun}s"
    one = noun if noun == "advice" else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    path_id: Any = Path(alias="id", max_length=128, description=f"ID of the {noun}.")
    wanted_status: Any = Query(None, description="Status to filter by.")
    sent_filters: Any = _filters(kind.filters)
    reached: Any = Depends(kind)

    @router.get(
        "",
        operation_id=f"list{plural}",
        summary=f"List {nouns}",
        description=f"List the project's {nouns}, newest first by default.",
        response_model=CountedList[kind.schema],  # type: ignore[name-defined]
        openapi_extra=needs(read),
    )
    async def list_operations(
        caller: Caller,
        paging: NewestFirst,
        wanted: Filtered,
        status: OperationStatus | None = wanted_status,
        filters: dict[str, str] = sent_filters,
        operations: Any = reached,
    ) -> Any:
        page = await _read_page(operations, caller.project_id, paging, wanted, status, filters)
        return counted_list([await operations.show(record) for record in page.items], page)

    @router.get(
        "/{id}",
        operation_id=f"get{name}",
        summary=f"Get {one}",
        description=f"Get {one}: its status, its progress, and its result once it is "
        "completed. With `wait`, the response is sent when it ends.",
        response_model=kind.schema,
        openapi_extra=needs(read),
    )
    async def get_operation(
        request: Request,
        caller: Caller,
        id_: str = path_id,
        wait: Annotated[
            int,
            Query(
                ge=0,
                le=MAX_WAIT_S,
                description="Longest time to wait for the end of the operation, in seconds.",
                examples=[30],
            ),
        ] = 0,
        operations: Any = reached,
    ) -> Any:
        record = await operations.require(caller.project_id, id_)
        until = time.monotonic() + wait
        while not status_of(record).is_final and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _POLL_S))
            if await request.is_disconnected():
                break
            record = await operations.require(caller.project_id, id_)
        return await operations.show(record)

    @router.post(
        "/{id}/cancel",
        operation_id=f"cancel{name}",
        summary=f"Cancel {one}",
        description=f"Cancel {one}. The status is `cancelling` while its work is still "
        "being stopped. Returns 409 if it has already completed or failed.",
        response_model=kind.schema,
        openapi_extra=needs(write, cancelled),
    )
    async def cancel_operation(
        caller: Caller, id_: str = path_id, operations: Any = reached
    ) -> Any:
        record = await operations.require(caller.project_id, id_)
        if status_of(record) is not OperationStatus.CANCELLED:  # the request may be a retry
            operations.require_cancellable(record)
            with kind.resource().cancelling(id_):
                record = await operations.cancel(record)
        return await operations.show(record)

    @router.delete(
        "/{id}",
        operation_id=f"delete{name}",
        summary=f"Delete {one}",
        description=_describe_deletion(kind, one),
        response_model_exclude_none=True,
        openapi_extra=needs(write, deleted),
    )
    async def delete_operation(
        caller: Caller, id_: str = path_id, operations: Any = reached
    ) -> OperationDeleted:
        record = await operations.require(caller.project_id, id_)
        operations.require_deletable(record)
        gone: OperationDeleted | None = await operations.delete(record, caller)
        return kind.resource().get_or_404(gone, id_)


def _describe_deletion(kind: type[Operations[Any]], one: str) -> str:
    what = f"{one} and its result" if kind.kept is None else one
    when = (
        "If it is in progress, it stops."
        if kind.deletes_unfinished
        else "Returns 409 if it has not ended: cancel it first."
    )
    kept = "" if kind.kept is None else f" The {kind.kept} that it created are kept."
    return f"Delete {what}. {when}{kept}"


async def _read_page(
    operations: Operations[Any],
    project_id: str,
    paging: Paging,
    wanted: ListFilter,
    status: OperationStatus | None,
    filters: Mapping[str, str],
) -> Page[Any]:
    """Return a page of the operations that match, with their counts if asked for."""
    counts: Counter[str | None] = Counter()

    def matches(record: Any) -> bool:
        is_wanted = wanted.matches(record, operations.texts or tuple(operations.filters))
        return is_wanted and operations.matches(record, filters)

    def where(record: Any) -> bool:
        return (status is None or status_of(record) is status) and matches(record)

    def count(record: Any) -> bool:
        counts[status_of(record)] += matches(record)
        return False

    read = operations.resource().read
    if not (wanted.is_set or status or filters):
        return await read(operations.page(project_id, paging, where))
    async with scans.hold(project_id):
        page = await read(operations.page(project_id, paging, where))
        if not wanted.with_counts:
            return page
        await operations.page(project_id, Paging(), count)
    return Found(page.items, page.has_more, list_counts(counts))


def _filters(fields: Mapping[str, str]) -> Any:
    """Return a dependency on the query parameters of a list that were sent, by their names."""

    async def read(**sent: str | None) -> dict[str, str]:
        return {field: value for field, value in sent.items() if value is not None}

    read.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(
                field,
                Parameter.KEYWORD_ONLY,
                default=Query(None, max_length=512, description=description),
                annotation=str | None,
            )
            for field, description in fields.items()
        ]
    )
    return Depends(read)
