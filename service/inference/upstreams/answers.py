"""Engine responses that report their outcome to the replica's health."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.core.errors import ApiError, BadGateway, GatewayTimeout
from service.inference.upstreams.client import EngineAnswer, NotSent
from service.inference.upstreams.health import Fault
from service.inference.upstreams.replicas import Replica, Replicas

# The guard's error code (engine/guard.py), also used in its health check's response.
_ASLEEP = b'"engine_sleeping"'


class Answer:
    """A request that is sent to a replica, and its response. Close it after use."""

    __slots__ = ("_answer", "_is_asleep", "_is_closed", "_replica", "_replicas", "_term")

    def __init__(
        self, answer: EngineAnswer, replicas: Replicas, replica: Replica, term: int
    ) -> None:
        """`term` is what `replicas.take` returned."""
        self._answer = answer
        self._replicas = replicas
        self._replica = replica
        self._term = term
        self._is_closed = self._is_asleep = False

    @property
    def status(self) -> int:
        """Status of the response; 0 until it is known."""
        return self._answer.status

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Response headers. Names are in lower case."""
        return self._answer.headers

    @property
    def ended(self) -> bool:
        """Whether all bytes have been read."""
        return self._answer.ended

    @property
    def failure(self) -> ApiError | NotSent | None:
        """Why the rest of the response cannot be received."""
        return self._answer.failure

    def listen(self, listener: Callable[[], object] | None) -> None:
        """Call `listener` when something changes, as `EngineAnswer.listen` does."""
        self._answer.listen(listener)

    def at_hand(self) -> bytes:
        """Return the bytes that are already available."""
        return self._answer.at_hand()

    async def read(self) -> bytes:
        """Return the next bytes as received; empty at the end. Raises as `read_all`."""
        return await self._answer.read()

    async def read_all(self, limit_bytes: int) -> bytes:
        """Read the body up to a limit.

        Raises GatewayTimeout if it does not arrive in time, and Unavailable if the engine dies.
        """
        body = await self._answer.read_all(limit_bytes)
        self.note_error(body)
        return body

    def note_error(self, body: bytes) -> None:
        """Look at the body of an error. A sleeping engine gets no more requests."""
        self._is_asleep = self.status == 503 and _ASLEEP in body

    def close(self) -> None:
        """End the exchange. If unread bytes remain, the connection is closed and vLLM stops."""
        if self._is_closed:
            return
        self._is_closed = True
        self._report()
        self._answer.close()
        self._replicas.release(self._replica)

    def _report(self) -> None:
        answer, replicas = self._answer, self._replicas
        if self._is_asleep:  # like a failed probe, but sooner
            replicas.probed(self._replica, False)
        elif answer.ended:
            # A 500 says nothing about the engine: the request itself may be the cause, and probes
            # check the engine's health.
            if answer.status < 500:
                replicas.succeeded(self._replica, self._term)
        elif (failure := answer.failure) is not None and not isinstance(failure, NotSent):
            # Neither an abandoned response nor a kept connection that turns out to be closed says
            # anything about the engine.
            report_failure(replicas, self._replica, self._term, failure)


def report_failure(
    replicas: Replicas, replica: Replica, term: int, failure: ApiError | NotSent
) -> None:
    """Report a request that got no response, or only a part of it."""
    if isinstance(failure, NotSent):
        replicas.refused(replica, term)
    elif isinstance(failure, GatewayTimeout):
        replicas.failed(replica, term, Fault.SILENT)
    else:
        is_garbage = isinstance(failure, BadGateway)
        replicas.failed(replica, term, Fault.GARBAGE if is_garbage else Fault.LOST)
