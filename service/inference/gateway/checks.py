"""Checks of a request before an engine gets it, for the gateway and for the requests of batches."""

from __future__ import annotations

from collections.abc import Sequence

from service.config import Settings
from service.inference.gateway import parameters, refusals
from service.inference.gateway.engine_errors import unsupported_tools
from service.inference.gateway.passed_on import NOT_DONE
from service.inference.gateway.request_types import Request
from service.models.catalogue import Catalogue
from service.models.parsers import ToolCallParsers
from service.models.registry import ServableModel


class RequestRules:
    """What the operator allows in requests."""

    def __init__(
        self,
        *,
        max_answers: int = 16,
        max_repetitions: int = 2000,
        extra_fields: Sequence[str] = (),
    ) -> None:
        self._max_answers = max_answers
        self._max_repetitions = max_repetitions
        self._parse = parameters.reader(extra_fields) if extra_fields else parameters.parse

    @classmethod
    def from_settings(cls, settings: Settings) -> RequestRules:
        """Create the rules from the operator's settings."""
        return cls(
            max_answers=settings.max_answers_per_request,
            max_repetitions=settings.max_constraint_repetitions,
            extra_fields=settings.extra_request_fields,
        )

    def checked(self, path: str, body: bytes) -> Request:
        """Parse the body of a request and check its values. Raises BadRequest."""
        request = self._parse(path, body)
        request.check(self._max_answers)
        _check_done(path, request)
        request.check_constraints(self._max_repetitions)
        return request


def _check_done(path: str, request: Request) -> None:
    """Raise BadRequest for a parameter of OpenAI's that would have no effect but should."""
    for name, (accepted, hint) in NOT_DONE[path].items():
        value = getattr(request, name)
        if value is not None and value not in accepted:
            raise refusals.unsupported(name, hint)


def check_tools(model: ServableModel, catalogue: Catalogue, parsers: ToolCallParsers) -> None:
    """Raise BadRequest if the model cannot call tools."""
    entry = catalogue.get(model.base_model)
    if entry is not None and parsers.calls_tools(entry) is False:
        raise unsupported_tools(model.name, model.base_model)
