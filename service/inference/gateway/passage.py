"""An admitted request on its way to an engine and back."""

from __future__ import annotations

from service.inference.gateway.usage_tap import UsageTap
from service.inference.upstreams.answers import Sent
from service.inference.upstreams.turns import Turn
from service.models.records import ModelKind
from service.models.registry import ServableModel
from service.usage.meter import BYTES_PER_TOKEN, Admission
from service.web.auth import Principal

# Expected tokens of an answer that the request does not limit.
_USUAL_TOKENS = 512


class Passage:
    """A request with what was decided about it, and how far it has come."""

    __slots__ = (
        *("adapter", "admission", "body", "caller", "model", "path"),
        *("sent", "size", "streamed", "tap", "turn"),
    )

    def __init__(
        self,
        caller: Principal,
        path: str,
        model: ServableModel,
        body: bytes,
        tap: UsageTap,
        admission: Admission,
        *,
        output_limit: int | None,
    ) -> None:
        self.caller = caller
        self.path = path
        self.model = model
        self.adapter = model.name if model.kind == ModelKind.ADAPTER else None
        """Name of the adapter that the engine has to load, if any."""
        self.body = body
        """Body for the engine."""
        tokens = _USUAL_TOKENS if output_limit is None else output_limit
        body_bytes = len(body)
        self.size = (
            caller.project_id,
            body_bytes // BYTES_PER_TOKEN + tokens,
            admission.answers,
            body_bytes,
        )
        """Arguments of `Turns.take`: the project, and the tokens, answers and bytes."""
        self.streamed = admission.streamed
        self.tap = tap
        self.admission = admission
        self.turn: Turn | None = None
        """Place at the engine, if the request has one already."""
        self.sent: Sent | None = None
        """The request at the engine, if it was sent already."""
