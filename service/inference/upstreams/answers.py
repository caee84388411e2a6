"""An engine's answer whose end is told to the replica's health, whichever end it is."""

from __future__ import annotations

from collections.abc import Mapping

from service.core.errors import ApiError, BadGateway, GatewayTimeout
from service.inference.upstreams.client import Answer as EngineAnswer
from service.inference.upstreams.health import Fault
from service.inference.upstreams.replicas import Replica, Replicas

# The guard's own code (engine/guard.py), which its health check answers too.
_ASLEEP = b'"engine_sleeping"'


def fault_of(error: ApiError) -> Fault:
    """What the replica did wrong, by the error that the caller is told."""
    if isinstance(error, GatewayTimeout):
        return Fault.SILENT
    return Fault.GARBAGE if isinstance(error, BadGateway) else Fault.LOST


class Answer:
    """An answer whose status is known and whose body is still to come. Close it."""

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
        """Names in lower case."""
        return self._answer.headers

    @property
    def ended(self) -> bool:
        """Whether every byte has been read."""
        return self._answer.ended

    def at_hand(self) -> bytes:
        """The bytes that are there already, which `read` would give."""
        return self._answer.at_hand()

    async def read(self) -> bytes:
        """The next bytes as they came; empty at the end.

        Raises GatewayTimeout when none came in time, Unavailable when the engine died.
        """
        try:
            return await self._answer.read()
        except ApiError as e:
            self._failed(fault_of(e))
            raise

    async def read_all(self, limit_bytes: int) -> bytes:
        """The body up to a limit, for answers that are errors."""
        try:
            body = await self._answer.read_all(limit_bytes)
        except ApiError as e:
            self._failed(fault_of(e))
            raise
        if self.status == 503 and _ASLEEP in body:
            # As good as a failed probe, and sooner: the next ones go where an engine is awake.
            self._replicas.probed(self._replica, False)
        return body

    def close(self) -> None:
        """End it; unless every byte has been read the connection goes, and vLLM stops."""
        if self._closed:
            return
        self._closed = True
        # An answer that the caller left in the middle says nothing about the engine. Nor does one
        # of 500: the request may be what failed, and the engine's health is asked elsewhere.
        if self._answer.ended and self.status < 500:
            self._replicas.succeeded(self._replica, self._term)
        self._answer.close()
        self._replicas.release(self._replica)

    def _failed(self, fault: Fault) -> None:
        self._replicas.failed(self._replica, self._term, fault)
