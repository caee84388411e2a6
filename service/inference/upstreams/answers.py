"""Engine responses that report their outcome to the replica's health."""

from __future__ import annotations

from collections.abc import Mapping

from service.core.errors import ApiError, BadGateway, GatewayTimeout
from service.inference.upstreams.client import EngineAnswer
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
