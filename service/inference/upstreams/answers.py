"""Engine responses that report their outcome to the replica's health."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from service.core.errors import ApiError, BadGateway, GatewayTimeout
from service.inference.upstreams.client import EngineAnswer, NotSent, Posted, WholeAnswer
from service.inference.upstreams.health import Fault
from service.inference.upstreams.replicas import Replica, Replicas

# The guard's error code (engine/guard.py), also used in its health check's response.
_ASLEEP = b'"engine_sleeping"'


def fault_of(error: ApiError) -> Fault:
    """Return the replica's fault for an error that the caller receives."""
    if isinstance(error, GatewayTimeout):
        return Fault.SILENT
    return Fault.GARBAGE if isinstance(error, BadGateway) else Fault.LOST


class Answer:
    """A response with a known status and an unread body. Close it after use."""

    __slots__ = ("_answer", "_closed", "_replica", "_replicas", "_term", "status")

    def __init__(
        self, answer: EngineAnswer, replicas: Replicas, replica: Replica, term: int
    ) -> None:
        self._answer = answer
        self._replicas = replicas
        self._replica = replica
        self._term = term
        self._closed = False
        self.status = answer.status

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Response headers. Names are in lower case."""
        return self._answer.headers

    @property
    def ended(self) -> bool:
        """Whether all bytes have been read."""
        return self._answer.ended

    def at_hand(self) -> bytes:
        """Return the bytes that are already available, as `read` would."""
        return self._answer.at_hand()

    async def read(self) -> bytes:
        """Return the next bytes as received; empty at the end.

        Raises GatewayTimeout if none arrive in time, and Unavailable if the engine dies.
        """
        try:
            return await self._answer.read()
        except ApiError as e:
            self._failed(fault_of(e))
            raise

    async def read_all(self, limit_bytes: int) -> bytes:
        """Read the body up to a limit. Meant for error responses."""
        try:
            body = await self._answer.read_all(limit_bytes)
        except ApiError as e:
            self._failed(fault_of(e))
            raise
        if self.status == 503 and _ASLEEP in body:
            # Equivalent to a failed probe, but sooner: the next requests go to an awake engine.
            self._replicas.probed(self._replica, False)
        return body

    def close(self) -> None:
        """End the exchange. If unread bytes remain, the connection is closed and vLLM stops."""
        if self._closed:
            return
        self._closed = True
        # A response that the caller abandoned says nothing about the engine. Neither does a 500:
        # the request itself may be the cause, and probes check the engine's health.
        if self._answer.ended and self.status < 500:
            self._replicas.succeeded(self._replica, self._term)
        self._answer.close()
        self._replicas.release(self._replica)

    def _failed(self, fault: Fault) -> None:
        self._replicas.failed(self._replica, self._term, fault)


class Sent:
    """A request that is sent to a replica. Use its answer in one of two ways.

    `await answer()`, or first `call_on_reply`, and then `whole_answer`, `answer` or `abandon`.
    """

    __slots__ = ("_posted", "_replica", "_replicas", "_term")

    def __init__(self, posted: Posted, replicas: Replicas, replica: Replica) -> None:
        self._posted = posted
        self._replicas = replicas
        self._replica = replica
        self._term = replicas.take(replica)

    def call_on_reply(self, reply: Callable[[], None]) -> None:
        """Call `reply` once, when the response begins or cannot be received."""
        posted = self._posted
        posted.connection.call_on_reply(reply, posted.client.timeouts.first_byte_s)

    def whole_answer(self) -> WholeAnswer | None:
        """Return the response and end the exchange, if all of it has arrived with status 200."""
        answer = self._posted.whole_answer()
        if answer is not None:
            self._replicas.succeeded(self._replica, self._term)
            self._replicas.release(self._replica)
        return answer

    async def answer(self) -> Answer:
        """Wait for the response. The caller must `close()` it. Raises what `answer_of` raises."""
        return await answer_of(self._posted.answer(), self._replicas, self._replica, self._term)

    def abandon(self) -> None:
        """Stop the engine's work. Nobody waits for the response anymore."""
        self._posted.abandon()
        self._replicas.release(self._replica)


async def answer_of(
    answer: Awaitable[EngineAnswer], replicas: Replicas, replica: Replica, term: int
) -> Answer:
    """Wait for a replica's response, and report if it has none.

    Raises NotSent, GatewayTimeout, Unavailable or BadGateway.
    """
    try:
        return Answer(await answer, replicas, replica, term)
    except BaseException as e:
        replicas.release(replica)
        if isinstance(e, NotSent):
            replicas.refused(replica, term)
        elif isinstance(e, ApiError):
            replicas.failed(replica, term, fault_of(e))
        raise
