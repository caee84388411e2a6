"""Builds pages of lists, responses to deletions, and errors about objects, for all resources."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, Protocol, TypedDict, TypeVar

from fastapi import Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from service.core.errors import BadRequest, Conflict, NotFound
from service.core.records import Missing, Page, Record
from service.core.redis import batched
from service.work.records import WorkEnded

T = TypeVar("T")
F = TypeVar("F")
R = TypeVar("R", bound=Record)
Item = TypeVar("Item", bound="_HasId")
_SHOWN_AT_ONCE: Final = 100  # takes 2 ms
_SHOWN_ID_CHARS: Final = 80


class Bounds(TypedDict):
    """Arguments of the page of an ordered list."""

    after: str | None
    limit: int
    oldest_first: bool


@dataclass(frozen=True)
class Paging:
    """Query parameters of a list. `after` is the ID of the last object of the previous page."""

    after: str | None = None
    limit: int = 20
    oldest_first: bool = False

    @property
    def bounds(self) -> Bounds:
        """The parameters, as arguments of `Collection.page`."""
        return Bounds(after=self.after, limit=self.limit, oldest_first=self.oldest_first)


def paging(default: int = 20, most: int = 100) -> Any:
    """Return a dependency on the `Paging` of a list that has one order."""

    async def read(after: str | None = None, limit: int = Query(default, ge=1, le=most)) -> Paging:
        return Paging(after, limit)

    return Depends(read)


def ordered_paging(
    order: Literal["asc", "desc"], default: int = 20, most: int = 100, description: str = ""
) -> Any:
    """Return a dependency on the `Paging` of a list whose order the client may choose."""
    first = Query(order, description=description or None)

    async def read(
        after: str | None = None,
        limit: int = Query(default, ge=1, le=most),
        order: Literal["asc", "desc"] = first,
    ) -> Paging:
        return Paging(after, limit, oldest_first=order == "asc")

    return Depends(read)


Paged = Annotated[Paging, paging()]
NewestFirst = Annotated[Paging, ordered_paging("desc")]
OldestFirst = Annotated[Paging, ordered_paging("asc")]


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


class Identified(Protocol):
    """An API object with an ID."""

    id: str

    def model_dump_json(self, *, by_alias: bool) -> str:
        """Return the object as JSON."""
        ...


class ListOf(BaseModel, Generic[T]):
    """A page of objects, in the format of OpenAI's lists."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    object: Literal["list"] = "list"
    data: list[T] = Field(description="Objects on the page.")
    has_more: bool = Field(description="Whether there are more objects after this page.")
    first_id: str | None = Field(default=None, description="ID of the first object on the page.")
    last_id: str | None = Field(
        default=None,
        description="ID of the last object on the page. Send it as `after` to get the next page.",
    )


def list_of(items: list[T], has_more: bool) -> ListOf[T]:
    """Build a list response. The SDKs request the next page with `after=<last_id>`."""
    identified = [getattr(item, "id", None) for item in items]
    return ListOf(
        data=items,
        has_more=has_more,
        first_id=identified[0] if identified else None,
        last_id=identified[-1] if identified else None,
    )


class Deleted(BaseModel):
    """Response to deleting an object."""

    id: str = Field(description="ID or name of the deleted object.")
    object: str = Field(
        description="Type of the response: that of the deleted object, and `.deleted`."
    )
    deleted: Literal[True] = True


def deleted(id_: str, kind: str) -> Deleted:
    """Build the response to deleting an object, whose own `object` is `kind`."""
    return Deleted(id=id_, object=f"{kind}.deleted")


async def long_list(
    found: Sequence[F],
    shown: Callable[[F], Identified],
    has_more: bool,
    *,
    counts: BaseModel | None = None,
) -> Response:
    """Build a list response with up to thousands of objects, as `list_of` does for few.

    `shown` builds the API object of an item. Yields to other requests between batches.
    """
    objects: list[bytes] = []
    ids_: list[str] = []
    for some in batched(found, _SHOWN_AT_ONCE):
        for item in map(shown, some):
            objects.append(item.model_dump_json(by_alias=True).encode())
            ids_.append(item.id)
        await asyncio.sleep(0)
    page = {
        "has_more": has_more,
        "first_id": ids_[0] if ids_ else None,
        "last_id": ids_[-1] if ids_ else None,
        **({} if counts is None else {"counts": counts.model_dump()}),
    }
    data = b",".join(objects)
    body = b'{"object":"list","data":[%b],%b' % (data, json.dumps(page).encode().removeprefix(b"{"))
    return Response(body, media_type="application/json")


class Resource:
    """A resource of the API, for the errors about its objects.

    `noun` names it in messages. `param` is the parameter with an object's ID, by default
    `{noun}_id`. `label` is the field by which `after` names an object.
    """

    def __init__(self, noun: str, param: str = "", *, label: str = "id") -> None:
        self.noun = noun
        self.label = label
        self._param = param or f"{noun.replace(' ', '_')}_id"

    def not_found(self, id_: str) -> NotFound:
        """Return the error for an unknown ID."""
        message = f"No such {self.noun}: {id_[:_SHOWN_ID_CHARS]}"
        return NotFound(message, param=self._param)

    def get_or_404(self, found: T | None, id_: str) -> T:
        """Return the object. Raises NotFound if it is None."""
        if found is None:
            raise self.not_found(id_)
        return found

    @contextmanager
    def existing(self, id_: str) -> Iterator[None]:
        """Raise NotFound instead of Missing, if another request deleted the object."""
        try:
            yield
        except Missing as e:
            raise self.not_found(id_) from e

    @contextmanager
    def cancelling(self, id_: str) -> Iterator[None]:
        """Raise NotFound as `existing` does, and Conflict instead of WorkEnded."""
        try:
            with self.existing(id_):
                yield
        except WorkEnded as e:
            raise Conflict(
                f"The {self.noun} {id_} has already ended with status '{e.status}'."
            ) from e

    def unknown_after(self) -> BadRequest:
        """Return the error of a list whose parameter `after` names no object."""
        message = f"No {self.noun} has the {self.label} given in 'after'."
        return BadRequest(message, param="after", code="invalid_cursor")

    async def read(self, page: Awaitable[T]) -> T:
        """Return the page of a list. Raises BadRequest if `after` names no object."""
        try:
            return await page
        except Missing as e:
            raise self.unknown_after() from e

    def slice(self, items: Sequence[Item], paging: Paging) -> tuple[Sequence[Item], bool]:
        """Return a page of objects, which are passed oldest first, and whether there are more.

        Raises BadRequest if `after` names none of them.
        """
        ordered = items if paging.oldest_first else items[::-1]
        start = 0
        if paging.after is not None:
            known = [item.id for item in ordered]
            if paging.after not in known:
                raise self.unknown_after()
            start = known.index(paging.after) + 1
        end = start + paging.limit
        return ordered[start:end], len(ordered) > end

    async def list(self, page: Awaitable[Page[R]], shown: Callable[[R], T]) -> ListOf[T]:
        """Return the response of a list. `shown` builds the API object of a record."""
        found = await self.read(page)
        return list_of([shown(record) for record in found.items], found.has_more)
