"""The trail of each HTTP request, and entries that are written before the answer.

What changes records is recorded in its transaction (web/audit_trail.py). For all other requests of
routes that declare an event, the entry is written when the answer begins. If Redis does not take
it, the answer is 503 instead: nobody gets data whose reading went unrecorded.
"""

from __future__ import annotations

import logging
from typing import Final, Self

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.config import Settings
from service.core import logs
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
from service.web.addresses import ClientAddresses
from service.web.audit_events import AuditEvent
from service.web.audit_trail import FIELD, STREAM, Actor, Entry, Origin, Outcome, Trail
from service.web.auth import Principal
from service.web.permissions import Permission

log = logging.getLogger(__name__)
_TRAIL: Final = "trail"
_MOST_USER_AGENT_CHARS: Final = 200
# Nothing was read: a task has not finished, the client has it already, or it is not ready.
_NOTHING_READ: Final = frozenset({202, 304, 409})


async def write(redis: Client, entry: Entry) -> None:
    """Write an entry. Raises REDIS_ERRORS.

    If an answer of Redis is lost, the client may write it twice, under one ID. A transaction would
    not, but takes 0.7 ms of the processor instead of 0.3 ms. A full memory does not refuse it: what
    is not recorded is not answered, and the entries move on to storage.
    """
    if redis.confirmation == Confirmation():
        with writing_for(Purpose.RELEASE):
            await redis.xadd(STREAM, {FIELD: entry.encode()})
        return
    with audit_trail.unrecorded(), writing_for(Purpose.RELEASE):
        await write_once(redis, lambda pipe: audit_trail.append(pipe, entry))


def origin_of(scope: Scope, addresses: ClientAddresses) -> Origin:
    """Return where a request came from."""
    operation = getattr(scope.get("route"), "operation_id", None)
    return Origin(
        request_id=scope.get("state", {}).get("request_id") or logs.request_id.get() or "",
        address=str(addresses.of(scope) or ""),
        user_agent=_user_agent(scope),
        operation=operation or audit_trail.harmless(scope["path"]),
    )


def _user_agent(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            text: str = value[:_MOST_USER_AGENT_CHARS].decode("latin-1")
            return "".join(char if char.isprintable() else "?" for char in text)
    return ""


def actor_of(caller: Principal) -> Actor:
    """Return the actor that a caller is."""
    return Actor("api_key", caller.key_id, caller.project_id, caller.role)


class ModelRequests:
    """Records each request to a model before it goes to an engine, if the operator wants that."""

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
        """Write an entry. Raises Unavailable if Redis does not take it."""
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
    objects = [audit_trail.harmless(str(value)) for value in request.path_params.values()]
    found = Trail(
        event,
        actor_of(caller),
        project_id=_project_of(request, caller),
        objects=reversed(objects),  # what it is about, before what that belongs to
        origin=origin_of(request.scope, request.app.state.client_addresses),
    )
    state[_TRAIL] = found
    audit_trail.follow(found)


def _project_of(request: Request, caller: Principal) -> str:
    """The project that the request is about. One that the caller may not see is not named."""
    named = audit_trail.harmless(str(request.path_params.get("project_id", caller.project_id)))
    return named if caller.may(Permission.ORGANIZATION_READ) else caller.project_id


class AuditTrail:
    """ASGI middleware that answers only what the audit log has an entry about."""

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
                error := await _recorded(scope, message["status"], _bytes_in(message))
            ):
                is_refused = True
                # Not by http.answer: the gateway, and so workers, import this without FastAPI.
                response = JSONResponse(error.body(), error.status, headers=error.headers)
                await response(scope, receive, send)
                return
            await send(message)

        try:
            await self.app(scope, receive, send_recorded)
        except Exception:
            await _recorded(scope, 500)
            raise


async def _recorded(scope: Scope, status: int, bytes_: int | None = None) -> Unavailable | None:
    """Write the entry about a request if it has to have one. Returns an error if that fails."""
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
        # An error tells the client nothing that went unrecorded, and often the same cause.
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
