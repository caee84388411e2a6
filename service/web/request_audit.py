"""Writes audit entries of HTTP requests, including failed authentications and refused requests.

Changes are recorded in their transactions (web/audit_trail.py). For all other requests of routes
that declare an event, the entry is written before the response starts. If Redis does not accept it,
the response is 503, so no data is read without a record.

Anyone can send wrong keys, so entries about refusals are bounded. Per reason, client and key, the
first refusal in a minute is recorded before the response. The others are counted and share one
entry at the end of the minute. A killed process loses the counts of its minute. Beyond a number of
clients per minute, refusals are counted together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Hashable
from typing import Final, Self

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.config import Settings
from service.core import clock, logs, metrics, tasks
from service.core.errors import Unavailable
from service.core.redis import (
    REDIS_ERRORS,
    Client,
    Confirmation,
    Purpose,
    Unconfirmed,
    why,
    writing_for,
)
from service.core.redis.transactions import write_once
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import FIELD, STREAM, UNKNOWN, Actor, Entry, Origin, Outcome, Trail
from service.web.auth import Failure, FailureReason, Principal
from service.web.client_address import ClientAddresses, client_of
from service.web.permissions import Permission

log = logging.getLogger(__name__)
_TRAIL: Final = "trail"
_MAX_USER_AGENT_CHARS: Final = 200
# Nothing was read: a task has not finished, the client has it already, or it is not ready.
_NOTHING_READ: Final = frozenset({202, 304, 409})
_REFUSAL_PERIOD_S: Final = 60.0
_LAST_FLUSH_S: Final = 2.0
_MAX_CLIENTS: Final = 100  # of one process in one minute


async def write(redis: Client, entry: Entry) -> None:
    """Write an entry. Raises REDIS_ERRORS.

    If a response of Redis is lost, the client may write it twice, under one ID. A transaction would
    not, but takes 0.7 ms of CPU time instead of 0.3 ms. It is written even if the memory of Redis
    is full: requests that are not recorded are not answered, and entries move to storage.
    """
    if redis.confirmation == Confirmation():
        with writing_for(Purpose.RELEASE):
            await redis.xadd(STREAM, {FIELD: entry.encode()})
        return
    with audit_trail.unrecorded(), writing_for(Purpose.RELEASE):
        await write_once(redis, lambda pipe: audit_trail.append(pipe, entry))


def origin_of(scope: Scope, addresses: ClientAddresses) -> Origin:
    """Return the origin of a request."""
    operation = getattr(scope.get("route"), "operation_id", None)
    return Origin(
        request_id=scope.get("state", {}).get("request_id") or logs.request_id.get() or "",
        address=str(addresses.find(scope) or ""),
        user_agent=_user_agent(scope),
        operation=operation or audit_trail.sanitize(scope["path"]),
    )


def _user_agent(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            text: str = value[:_MAX_USER_AGENT_CHARS].decode("latin-1")
            return "".join(char if char.isprintable() else "?" for char in text)
    return ""


def actor_of(caller: Principal) -> Actor:
    """Return a caller as an actor."""
    return Actor("api_key", caller.key_id, caller.project_id, caller.role)


class ModelRequests:
    """Records each request to a model before it goes to an engine, if configured."""

    def __init__(self, redis: Client, addresses: ClientAddresses) -> None:
        self._redis = redis
        self._addresses = addresses

    @classmethod
    def from_settings(
        cls, redis: Client, addresses: ClientAddresses, settings: Settings
    ) -> Self | None:
        """Create the recorder, or return None if requests are only counted."""
        return cls(redis, addresses) if settings.audit_model_requests == "each" else None

    async def record(self, scope: Scope, caller: Principal, model: str) -> None:
        """Write an entry. Raises Unavailable if that fails."""
        found = Trail(
            AuditEvent.MODEL_REQUESTED,
            actor_of(caller),
            project_id=caller.project_id,
            objects=[model],
            origin=origin_of(scope, self._addresses),
        )
        try:
            await write(self._redis, found.entry("accepted"))
        except REDIS_ERRORS as e:
            raise _unavailable(e) from e


def begin(request: Request, caller: Principal, event: AuditEvent) -> None:
    """Begin the trail of a request, in this task. Repeated calls change nothing."""
    state = request.scope["state"]
    if _TRAIL in state:
        return
    objects = [audit_trail.sanitize(str(value)) for value in request.path_params.values()]
    found = Trail(
        event,
        actor_of(caller),
        project_id=_project_of(request, caller),
        objects=reversed(objects),  # the object first, then its parents
        origin=origin_of(request.scope, request.app.state.client_addresses),
    )
    state[_TRAIL] = found
    audit_trail.follow(found)


def discard(request: Request) -> None:
    """End the trail of a request that changed nothing, without an entry."""
    found: Trail | None = request.scope["state"].get(_TRAIL)
    if found is not None:
        found.is_closed = True


def _project_of(request: Request, caller: Principal) -> str:
    """Return the project of the request, or the caller's own if the caller may not see it."""
    named = audit_trail.sanitize(str(request.path_params.get("project_id", caller.project_id)))
    return named if caller.may(Permission.ORGANIZATION_READ) else caller.project_id


class AuditTrail:
    """ASGI middleware that answers only requests that were recorded."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_refused = False

        async def send_recorded(message: Message) -> None:
            nonlocal is_refused
            if is_refused:
                return
            if message["type"] == "http.response.start" and (
                error := await _record(scope, message["status"], _bytes_in(message))
            ):
                is_refused = True
                # Not with error_handlers: workers import this module without FastAPI.
                response = JSONResponse(error.body(), error.status, headers=error.headers)
                await response(scope, receive, send)
                return
            await send(message)

        try:
            await self.app(scope, receive, send_recorded)
        except Exception:
            await _record(scope, 500)
            raise


async def _record(scope: Scope, status: int, bytes_: int | None = None) -> Unavailable | None:
    """Write the entry of a request if it needs one. Returns an error if that fails."""
    found: Trail | None = scope["state"].get(_TRAIL)
    if found is None or found.is_closed:
        return None
    found.is_closed = True
    if status < 400 and found.is_written:
        return None
    if found.event.is_read and status in _NOTHING_READ:
        return None
    if found.event.is_read and status < 400 and bytes_ is not None:
        found.count(bytes=bytes_)
    entry = found.entry(_outcome(status), status=status)
    try:
        await write(scope["app"].state.redis, entry)
    except Unconfirmed:
        log.warning("an entry of the audit log is not confirmed")
    except REDIS_ERRORS as e:
        # An error reveals no unrecorded data, and often has the same cause.
        return None if status >= 500 else _unavailable(e)
    return None


def _unavailable(error: BaseException) -> Unavailable:
    log.warning("an answer is withheld, because the audit log cannot record it: %s", why(error))
    return Unavailable(
        "The audit log cannot record the request, so it is not answered. Try again in a few "
        "seconds.",
        code="audit_log_unavailable",
    )


def _bytes_in(message: Message) -> int | None:
    """Return the size of an answer, if it is known."""
    for name, value in message.get("headers", ()):
        if name == b"content-length":
            return int(value)
    return None


def _outcome(status: int) -> Outcome:
    if status < 400:
        return "succeeded"
    return "failed" if status >= 500 else "refused"


class _Others(msgspec.Struct):
    """Refusals without an entry of their own: a sample entry, and their number."""

    like: Entry
    count: int = 0


class Refusals:
    """Records refusals of `Authenticator`, a bounded number per minute."""

    def __init__(self, redis: Client, addresses: ClientAddresses) -> None:
        self._redis = redis
        self._addresses = addresses
        self._minute = 0
        self._groups: dict[Hashable, _Others] = {}

    async def note(self, failure: Failure) -> None:
        """Record or count a refusal."""
        metrics.AUTHENTICATION_FAILURES.cell(failure.reason).inc()
        await self._end_minute(int(time.monotonic() // _REFUSAL_PERIOD_S))
        group = self._group(failure)
        is_first = group not in self._groups
        if is_first and len(self._groups) >= _MAX_CLIENTS:
            group = (failure.reason, "others")
            is_first = False
        others = self._groups.get(group)
        if others is None:
            entry = self._entry(failure)
            others = self._groups[group] = _Others(entry if is_first else _without_origin(entry))
        if not is_first or not await self._write(others.like):
            others.count += 1

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write the counts at the end of each minute while the context is open, and at its end."""
        task = asyncio.create_task(tasks.keep("refusals", self._run), name="refusals")
        try:
            yield
        finally:
            await tasks.end(task)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_FLUSH_S):
                    await self._end_minute(self._minute + 1)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_REFUSAL_PERIOD_S / 4)
            await self._end_minute(int(time.monotonic() // _REFUSAL_PERIOD_S))

    async def _end_minute(self, minute: int) -> None:
        if minute == self._minute:
            return
        self._minute = minute
        groups, self._groups = self._groups, {}
        for group, others in groups.items():
            if others.count and not await self._write(_counted(others)):
                kept = self._groups.setdefault(group, _Others(others.like))
                kept.count += others.count

    async def _write(self, entry: Entry) -> bool:
        try:
            await write(self._redis, entry)
        except REDIS_ERRORS as e:
            log.warning("a refusal waits to be recorded: %s", why(e))
            return False
        return True

    def _group(self, failure: Failure) -> Hashable:
        client = client_of(self._addresses.find(failure.scope))
        return failure.reason, client, failure.caller and failure.caller.key_id

    def _entry(self, failure: Failure) -> Entry:
        is_login = failure.reason is not FailureReason.PERMISSION
        at, caller = clock.now(), failure.caller
        return Entry(
            id=audit_trail.new_id(at),
            at=round(at, 3),
            type=AuditEvent.LOGIN_FAILED if is_login else AuditEvent.ACCESS_DENIED,
            actor=UNKNOWN if caller is None else actor_of(caller),
            outcome="refused",
            project_id="" if caller is None else caller.project_id,
            status=failure.error.status,
            code=failure.error.code or "",
            origin=origin_of(failure.scope, self._addresses),
        )


def _without_origin(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, actor=Actor("unknown"), project_id="", origin=Origin())


def _counted(others: _Others) -> Entry:
    """Return the entry of several refusals, without the fields of a single request."""
    at = clock.now()
    origin = msgspec.structs.replace(others.like.origin, request_id="", operation="")
    return msgspec.structs.replace(
        others.like,
        id=audit_trail.new_id(at),
        at=round(at, 3),
        counts={"requests": others.count},
        origin=origin,
    )
