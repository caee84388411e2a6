"""Checks of a request before an engine gets it, for the gateway and for the requests of batches."""

from __future__ import annotations

from service.inference.gateway import parameters
from service.inference.gateway.engine_errors import unsupported_tools
from service.inference.gateway.request_types import Request
from service.models.catalogue import Catalogue
from service.models.registry import ServableModel
from service.models.tools import ToolCallParsers


def checked(path: str, body: bytes, max_answers: int) -> Request:
    """Parse the body of a request and check its values. Raises BadRequest."""
    request = parameters.parse(path, body)
    request.check(max_answers)
    return request


def check_tools(model: ServableModel, catalogue: Catalogue, parsers: ToolCallParsers) -> None:
    """Raise BadRequest if the model cannot call tools."""
    entry = catalogue.get(model.base_model)
    if entry is not None and parsers.calls_tools(entry) is False:
        raise unsupported_tools(model.name, model.base_model)
