"""Methods of `client.chat`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions, body_of, changes_of
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at

if TYPE_CHECKING:
    from finetuned import params


class AsyncChatCompletions(AsyncResource):
    """Methods of `client.chat.completions`."""

    @cached_property
    def with_raw_response(self) -> AsyncChatCompletionsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncChatCompletionsWithRawResponse(self)

    async def delete_all(
        self, *, model: str | None = None, **options: Unpack[RequestOptions]
    ) -> types.StoredChatsDeleted:
        """Delete all stored chat completions of the project, or those of a model, with their
        content. Training files created from them are kept.

        Args:
            model: Model to filter by.
        """
        return await self._transport.request(
            types.StoredChatsDeleted,
            Request("DELETE", "chat/completions", params={"model": model}, options=options),
        )

    async def retrieve(
        self, completion_id: str, **options: Unpack[RequestOptions]
    ) -> types.StoredChat:
        """Retrieve a stored chat completion. It is stored within seconds after its answer.

        Args:
            completion_id: ID of a stored chat completion of the project.
        """
        return await self._transport.request(
            types.StoredChat,
            Request("GET", at("chat", "completions", completion_id), options=options),
        )

    async def update(
        self,
        completion_id: str,
        *,
        metadata: Mapping[str, str] | None,
        **options: Unpack[RequestOptions],
    ) -> types.StoredChat:
        """Replace the metadata of a stored chat completion, for example to mark good answers.

        Args:
            completion_id: ID of a stored chat completion of the project.
            metadata: New metadata, which is stored as it is. `null` removes all.
        """
        return await self._transport.request(
            types.StoredChat,
            Request(
                "POST",
                at("chat", "completions", completion_id),
                json=changes_of(metadata=metadata),
                options=options,
            ),
        )

    async def delete(
        self, completion_id: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Delete a stored chat completion with its bytes.

        Args:
            completion_id: ID of a stored chat completion of the project.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request("DELETE", at("chat", "completions", completion_id), options=options),
        )

    def messages(
        self,
        completion_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.StoredChatMessage]:
        """List the messages of the request of a stored chat completion, oldest first by default.

        Args:
            completion_id: ID of a stored chat completion of the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
        """
        return self._transport.pages(
            types.StoredChatMessage,
            Request(
                "GET",
                at("chat", "completions", completion_id, "messages"),
                params={"after": after, "limit": limit, "order": order},
                options=options,
            ),
        )

    async def create_file(
        self,
        *,
        model: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
        filename: str | None = None,
        expires_after: types.FileExpiresAfter | params.FileExpiresAfter | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.FileObject:
        """Write stored chat completions to a file with the purpose `fine-tune`, one row for each,
        and check it like an upload. Answers that the limit of tokens cut off are left out.

        Args:
            model: Only chats that this model answered; null for all models.
            created_after: Earliest time of a chat, as a Unix timestamp in seconds.
            created_before: Latest time of a chat, as a Unix timestamp in seconds.
            metadata: Metadata that a chat must have. All pairs must match.
            limit: Maximum number of rows. If there are more chats, the newest are used.
            filename: Name of the file.
            expires_after: When the file expires; null for never.
        """
        return await self._transport.request(
            types.FileObject,
            Request(
                "POST",
                "datasets/chat_completions",
                json=body_of(
                    model=model,
                    created_after=created_after,
                    created_before=created_before,
                    metadata=metadata,
                    limit=limit,
                    filename=filename,
                    expires_after=expires_after,
                ),
                options=options,
            ),
        )

    def list(
        self,
        *,
        model: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.StoredChat]:
        """List the stored chat completions of the project, oldest first by default. Personal data
        in them was replaced before they were stored.

        Args:
            model: Model to filter by.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
            metadata: Metadata to filter by, as `metadata[key]=value`.
        """
        return self._transport.pages(
            types.StoredChat,
            Request(
                "GET",
                "chat/completions",
                params={
                    "model": model,
                    "after": after,
                    "limit": limit,
                    "order": order,
                    "metadata": metadata,
                },
                options=options,
            ),
        )


class AsyncChatCompletionsWithRawResponse:
    """Raw responses of `client.chat.completions`."""

    def __init__(self, resource: AsyncChatCompletions) -> None:
        self.delete_all = async_raw(resource.delete_all)
        self.retrieve = async_raw(resource.retrieve)
        self.update = async_raw(resource.update)
        self.delete = async_raw(resource.delete)
        self.messages = async_raw_list(resource.messages)
        self.create_file = async_raw(resource.create_file)
        self.list = async_raw_list(resource.list)


class AsyncChat(AsyncResource):
    """Methods of `client.chat`."""

    @cached_property
    def completions(self) -> AsyncChatCompletions:
        """Completions."""
        return AsyncChatCompletions(self._transport)
