"""Writes entries of the audit log in the transaction of the change that they describe.

    finetuned:audit    stream of entries as JSON, the oldest first

Each recorded request has a trail in a context variable. A transaction
(core/redis/transactions.py) that changes records under a trail also writes an entry that names
them, so that neither exists without the other. If a request changes nothing, because it reads or is
refused, its entry is written before the response (web/request_audit.py).

An entry has IDs and counts, and the reason that a caller gave for an override. It never has
contents, secrets or other messages.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.redis.transactions import observer
from service.web.audit_events import AuditEvent

STREAM: Final = "finetuned:audit"
FIELD: Final = "entry"
_PREFIX: Final = "audit_log-"
_ID: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{11}}[0-9a-z]{{13}}")
_RANDOM_CHARS: Final = 13
_MAX_OBJECTS: Final = 100
_MAX_CHARS: Final = 200
_LINES_A_NAME: Final = 10  # 100 rows of a page are fewer than _MAX_OBJECTS
_PLAIN: Final = re.compile(rf"[A-Za-z0-9._:/-]{{1,{_MAX_CHARS}}}")

Outcome = Literal["applied", "accepted", "succeeded", "refused", "failed"]
"""`applied`: in the transaction of the change. `accepted`: before the request went to an engine.
The others: outcome of the response."""


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who acted: an API key, the operator on the server, the service, or someone unknown."""

    kind: Literal["api_key", "operator", "system", "unknown"]
    id: str = ""
    project_id: str = ""
    role: str = ""


UNKNOWN: Final = Actor("unknown")
SYSTEM: Final = Actor("system", "finetuned")


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Origin of a request, and the operation."""

    request_id: str = ""
    address: str = ""
    user_agent: str = ""
    operation: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of the audit log. `at` is in UTC seconds."""

    id: str
    at: float
    type: str
    actor: Actor
    outcome: Outcome
    project_id: str = ""
    objects: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    status: int = 0
    code: str = ""
    origin: Origin = Origin()
    reason: str = ""  # that the caller gave for an override

    def encode(self) -> bytes:
        """Return the entry as a line of JSON, without the line's end."""
        return msgspec.json.encode(self)


decode: Final = msgspec.json.Decoder(Entry).decode


def new_id(at: float) -> str:
    """Return the ID of a new entry. It begins with the time."""
    return f"{_PREFIX}{int(at * 1000):011x}{ids.random_part(_RANDOM_CHARS)}"


def time_in(entry_id: str) -> float | None:
    """Return the time in an entry's ID, in UTC seconds, or None if it is not such an ID."""
    if not _ID.fullmatch(entry_id):
        return None
    return int(entry_id[len(_PREFIX) : -_RANDOM_CHARS], 16) / 1000


def sanitize(text: str) -> str:
    """Return text from a request if it may be an ID or a name, otherwise `(invalid)`."""
    return text if _PLAIN.fullmatch(text) else "(invalid)"


def append(pipe: Pipeline, entry: Entry) -> None:
    """Add the write of an entry to a transaction."""
    pipe.xadd(STREAM, {FIELD: entry.encode()})


class Trail:
    """Collects what one request changes and reads, and builds its entries."""

    def __init__(
        self,
        event: AuditEvent,
        actor: Actor,
        *,
        project_id: str,
        objects: Iterable[str] = (),
        origin: Origin | None = None,
    ) -> None:
        self.event = event
        self.is_written = False
        """Whether a transaction wrote an entry."""
        self.is_closed = False
        """Whether the request was answered. Later changes by its tasks are not recorded."""
        self._actor = actor
        self._project_id = project_id
        self._objects = tuple(objects)
        self._origin = origin or Origin()
        self._counts: dict[str, int] = {}
        self.reason = ""
        self._recorded: set[str] = set()
        self._touched: dict[str, None] = {}

    def count(self, **counts: int) -> None:
        """Add counts of what was read to the entry."""
        self._counts |= counts

    def name(self, event: AuditEvent, objects: Iterable[str]) -> None:
        """Record the request as another event, and name more objects."""
        self.event = event
        self._objects = (*self._objects, *objects)

    def begin(self) -> None:
        """Begin an attempt at a transaction."""
        self._touched = {}

    def touch(self, object_id: str) -> None:
        """Note that the transaction changes an object."""
        self._touched[object_id] = None

    def write(self, pipe: Pipeline) -> Collection[str]:
        """Add an entry to a transaction, and return the objects that it changes.

        Pass them to `settle` once the transaction is applied.
        """
        touched = self._touched
        if self.is_closed or self.event.is_read or touched.keys() <= self._recorded:
            return ()
        append(pipe, self.entry("applied", objects=touched))
        return touched

    def settle(self, touched: Collection[str]) -> None:
        """Note that a transaction with an entry was applied."""
        self._recorded.update(touched)
        self.is_written = self.is_written or bool(touched)

    def entry(self, outcome: Outcome, *, status: int = 0, objects: Iterable[str] = ()) -> Entry:
        """Return an entry about the request."""
        at = clock.now()
        named = dict.fromkeys((*objects, *self._objects))
        counts = self._counts
        if len(named) > _MAX_OBJECTS:
            counts = counts | {"objects": len(named)}
        return Entry(
            id=new_id(at),
            at=round(at, 3),
            type=self.event,
            actor=self._actor,
            outcome=outcome,
            project_id=self._project_id,
            objects=tuple(named)[:_MAX_OBJECTS],
            counts=counts,
            status=status,
            origin=self._origin,
            reason=self.reason,
        )


def follow(trail: Trail) -> None:
    """Set the trail of the current task."""
    observer.set(trail)


@contextlib.contextmanager
def following(trail: Trail) -> Iterator[Trail]:
    """Set the trail of the current task inside the block."""
    token = observer.set(trail)
    try:
        yield trail
    finally:
        trail.is_closed = True
        observer.reset(token)


@contextlib.contextmanager
def recorded_as(event: AuditEvent) -> Iterator[None]:
    """Record changes of the block as another event."""
    trail = current()
    if trail is None:
        yield
        return
    usual, trail.event = trail.event, event
    try:
        yield
    finally:
        trail.event = usual


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """Record nothing inside the block, which does not act for the caller."""
    token = observer.set(None)
    try:
        yield
    finally:
        observer.reset(token)


def current() -> Trail | None:
    """Return the trail of the current task, if it has one."""
    found = observer.get()
    return found if isinstance(found, Trail) else None


def count(**counts: int) -> None:
    """Add counts of what the current request reads to its entry."""
    if (trail := current()) is not None:
        trail.count(**counts)


def give_reason(reason: str) -> None:
    """Add the caller's reason for an override to the entry of the current request."""
    if (trail := current()) is not None:
        trail.reason = reason


def reveal(event: AuditEvent, names: Iterable[str] = ()) -> None:
    """Record that the current request shows personal data, and names of what it shows."""
    if (trail := current()) is not None:
        trail.name(event, names)


def reveal_rows(
    lines: Sequence[int],
    other_lines: Sequence[int] = (),
    event: AuditEvent = AuditEvent.FILE_ROWS_REVEALED,
) -> None:
    """Record that the current request shows the personal data in rows. Names their lines, and
    those of the later file of a diff.
    """
    if (trail := current()) is None or not (lines or other_lines):
        return
    names = [
        f"{name}:{','.join(map(str, some[at : at + _LINES_A_NAME]))}"
        for name, some in (("lines", lines), ("other_lines", other_lines))
        for at in range(0, len(some), _LINES_A_NAME)
    ]
    trail.name(event, names)
    trail.count(rows=len(lines) + len(other_lines))
