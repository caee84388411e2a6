"""Methods of `client.whoami`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions
from finetuned._raw import async_raw
from finetuned._request import Request


class AsyncWhoami(AsyncResource):
    """Methods of `client.whoami`."""

    @cached_property
    def with_raw_response(self) -> AsyncWhoamiWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncWhoamiWithRawResponse(self)

    async def retrieve(self, **options: Unpack[RequestOptions]) -> types.Caller:
        """Retrieve the API key that the request was sent with, its project, the limits that apply
        to both, and how much of them is used.
        """
        return await self._transport.request(
            types.Caller, Request("GET", "whoami", options=options)
        )


class AsyncWhoamiWithRawResponse:
    """Raw responses of `client.whoami`."""

    def __init__(self, resource: AsyncWhoami) -> None:
        self.retrieve = async_raw(resource.retrieve)
