"""Filters that lists share: status, text, creation time, and who created the objects; with counts.

A list without these parameters is answered as OpenAI answers it. A filtered list reads the records
of the project until its page is full, and all of them to count. To decode only what it compares
takes 3 µs for each, where a parsed record takes 80 µs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel, Field

from service.core import ids
from service.core.backpressure import Slots
from service.core.errors import RateLimited
from service.core.records import Collection, Page, Record, parse_known
from service.web.deps import Caller, list_query, resource
from service.web.resources import ListOf, Paging

R = TypeVar("R", bound=Record)
T = TypeVar("T")
KeysOfAccount = Annotated[
    Callable[[str, str], Awaitable[frozenset[str]]], Depends(resource("keys_of_account"))
]
"""Returns the IDs of the keys of a project's service account."""
AskedMask = Annotated[
    Literal["mask", "show"],
    Query(
        description="Whether to show personal data in texts, or to replace it by labels such as "
        "`[EMAIL]`. The audit log notes who asked for it to be shown."
    ),
]
_Time = Annotated[int, Query(ge=0, le=253_402_300_799)]


def _busy() -> RateLimited:
    return RateLimited(
        "This API process searches other lists. Try again in a few seconds.",
        code="limit_reached",
        headers={"retry-after": "5"},
    )


scans = Slots(4, _busy, most_per_owner=2, wait_s=10)
"""Slots of this process for filtered lists, of which each may read all records of a project.
Without them, a few dozen requests delay all others, such as the probes of the process."""


class ListCounts(BaseModel):
    """Number of objects that match all filters of a list except that of the status."""

    total: int = Field(description="Number of all these objects.")
    by_status: dict[str, int] = Field(
        description="Number of these objects by status; in the list of models, by kind. Empty for "
        "objects without a status."
    )


class CountedList(ListOf[T], Generic[T]):
    """A page of objects, with their counts if the request asked for them."""

    counts: ListCounts | None = Field(
        default=None,
        exclude_if=lambda counts: counts is None,
        description="Number of objects that match. Only with `include=counts`.",
    )


@dataclass(frozen=True)
class ListFilter:
    """Query parameters by which a list is filtered. None matches all."""

    statuses: frozenset[str] | None = None
    search: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    key_ids: frozenset[str] | None = None
    """The keys that created the objects."""
    with_counts: bool = False

    @property
    def is_set(self) -> bool:
        """Whether the request has one of the parameters."""
        return self != _NO_FILTER

    def matches(self, record: Any, texts: Sequence[str] = ()) -> bool:
        """Return whether a record matches all filters but that of the status.

        `texts` are the names of its fields, other than its ID, in which the text is searched.
        """
        if self.created_after is not None and record.created_at < self.created_after:
            return False
        if self.created_before is not None and record.created_at >= self.created_before:
            return False
        if self.key_ids is not None and getattr(record, "key_id", None) not in self.key_ids:
            return False
        if self.search is None:
            return True
        values = (getattr(record, name, None) for name in ("id", *texts))
        return any(value is not None and self.search in value.casefold() for value in values)

    def matches_status(self, status: str | None) -> bool:
        """Return whether this status is one of those requested."""
        return self.statuses is None or status in self.statuses


_NO_FILTER = ListFilter()


async def _read(
    caller: Caller,
    keys_of_account: KeysOfAccount,
    include: Annotated[
        frozenset[Literal["counts"]] | None,
        list_query(
            Literal["counts"], "include", "`counts`: return the number of objects that match."
        ),
    ],
    search: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=256,
            description="Text to search in IDs and names, regardless of upper and lower case.",
        ),
    ] = None,
    created_after: Annotated[
        _Time | None,
        Query(description="Only objects created at this time or later (Unix seconds)."),
    ] = None,
    created_before: Annotated[
        _Time | None, Query(description="Only objects created before this time (Unix seconds).")
    ] = None,
    created_by: Annotated[
        str | None,
        Query(
            max_length=128,
            description="ID of the API key that created the objects, or of a service account, for "
            "those created with its keys. Files, models and evals of versions before 0.3 do not "
            "say who created them.",
        ),
    ] = None,
) -> ListFilter:
    key_ids = None if created_by is None else frozenset([created_by])
    if created_by is not None and created_by.startswith(ids.SERVICE_ACCOUNT):
        key_ids = await keys_of_account(caller.project_id, created_by)
    return ListFilter(
        search=None if search is None else search.casefold(),
        created_after=created_after,
        created_before=created_before,
        key_ids=key_ids,
        with_counts=include is not None,
    )


Filtered = Annotated[ListFilter, Depends(_read)]
"""The filters of a list of objects without a status."""


def by_status(statuses: Any, name: str = "status") -> Any:
    """Return a dependency on the filters of a list. `statuses` is the type of a status."""
    query = list_query(statuses, name, f"Values of `{name}` to filter by.")

    async def read(wanted: Filtered, requested: frozenset[Any] | None = query) -> ListFilter:
        return dataclasses.replace(wanted, statuses=requested)

    return Depends(read)


@dataclass(frozen=True)
class Found(Page[R]):
    """A page of the records that match, and the counts if they were asked for."""

    counts: ListCounts | None = None


async def find(
    records: Collection[R],
    project_id: str,
    wanted: ListFilter,
    paging: Paging,
    *,
    texts: Sequence[str] = (),
    fields: Sequence[str] = (),
    also: Callable[[Any], bool] = lambda _: True,
    index: str | None = None,
) -> Found[R]:
    """Return a page of the project's records that match. Raises Missing if `after` is unknown.

    `texts` are the fields in which the text is searched. `also` is a further condition on the
    fields named in `fields`. `index` is as in `Collection.page`.
    """
    decode = _decoder(frozenset(["status", "key_id", *texts, *fields]))
    place = await records.place_after(project_id, paging.after, paging.oldest_first, index)
    counts: Counter[str | None] = Counter()
    page: list[tuple[str, bytes]] = []
    start = 0 if wanted.with_counts else place
    batches = records.scan(project_id, start, oldest_first=paging.oldest_first, index=index)
    async with scans.hold(project_id):
        async for first, batch in batches:
            for at, (record_id, raw) in enumerate(batch, first):
                brief = None if raw is None else decode(raw)
                if (
                    raw is None
                    or brief is None
                    or not (also(brief) and wanted.matches(brief, texts))
                ):
                    continue
                counts[brief.status] += 1
                if (
                    at >= place
                    and len(page) <= paging.limit
                    and wanted.matches_status(brief.status)
                ):
                    page.append((record_id, raw))
            if not wanted.with_counts and len(page) > paging.limit:
                break
    items = parse_known(records.model, page[: paging.limit])
    shown = list_counts(counts) if wanted.with_counts else None
    return Found(items, len(page) > paging.limit, shown)


async def filtered(
    records: Collection[R],
    project_id: str,
    wanted: ListFilter,
    paging: Paging,
    *,
    texts: Sequence[str],
    index: str | None = None,
) -> Page[R]:
    """Return a page of the project's records, filtered as requested. Raises Missing."""
    if wanted.is_set:
        return await find(records, project_id, wanted, paging, texts=texts, index=index)
    return await records.page(project_id, **paging.bounds, index=index)


def list_counts(counts: Counter[str | None]) -> ListCounts:
    """Return the counts of objects by their status, which may be None."""
    known = {str(s): n for s, n in sorted(counts.items(), key=str) if s is not None and n}
    return ListCounts(total=counts.total(), by_status=known)


def counted_list(items: list[T], page: Found[Any] | Page[Any]) -> CountedList[T]:
    """Build the response of a list, which may be filtered."""
    known = [getattr(item, "id", None) for item in items]
    return CountedList(
        data=items,
        has_more=page.has_more,
        first_id=known[0] if known else None,
        last_id=known[-1] if known else None,
        counts=page.counts if isinstance(page, Found) else None,
    )


@functools.cache
def _decoder(fields: frozenset[str]) -> Callable[[bytes], Any]:
    """Return a function that decodes these fields of a record, or returns None if it cannot."""
    known = [("id", str), ("created_at", int)]
    optional = [(name, Any, None) for name in sorted(fields)]
    brief = msgspec.defstruct("Brief", [*known, *optional])
    decode = msgspec.json.Decoder(brief).decode

    def decoded(raw: bytes) -> Any:
        try:
            return decode(raw)
        except msgspec.DecodeError:
            return None

    return decoded
