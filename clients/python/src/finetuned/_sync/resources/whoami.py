# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.whoami`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions
from finetuned._raw import raw
from finetuned._request import Request
from finetuned._sync.transport import Resource


class Whoami(Resource):
    """Methods of `client.whoami`."""

    @cached_property
    def with_raw_response(self) -> WhoamiWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return WhoamiWithRawResponse(self)

    def retrieve(self, **options: Unpack[RequestOptions]) -> types.Caller:
        """Retrieve the API key that the request was sent with, its project, the limits that apply
        to both, and how much of them is used.
        """
        return self._transport.request(types.Caller, Request("GET", "whoami", options=options))


class WhoamiWithRawResponse:
    """Raw responses of `client.whoami`."""

    def __init__(self, resource: Whoami) -> None:
        self.retrieve = raw(resource.retrieve)
