"""Methods of `client.model_exports`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions, body_of
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline


class AsyncModelExportsBase(AsyncResource):
    """Methods of `client.model_exports`."""

    @cached_property
    def with_raw_response(self) -> AsyncModelExportsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncModelExportsWithRawResponse(self)

    async def create(
        self,
        *,
        model: str,
        format: Literal["adapter", "merged", "gguf", "gguf-adapter", "ollama"],
        quantization: Literal["f16", "q8_0", "q5_k_m", "q4_k_m"] | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.ModelExport:
        """Export a trained model for other software. A worker writes the artifact, loads it,
        compares its answers to held-out rows with the serving engine's, and stores it as one
        archive.

        An artifact that renders prompts differently, or whose answers differ too much, fails.
        Exports are deleted 7 days after they were created.

        Args:
            model: Name of a trained model, or an alias of one.
            format: Format of the export: `adapter` (PEFT, for use with the base model), `merged` (a
                complete model in safetensors), `gguf` (a complete model for llama.cpp),
                `gguf-adapter`, or `ollama` (`gguf` with a Modelfile).
            quantization: Quantization of the weights of the formats `gguf` and `ollama`: `f16`
                (none), `q8_0` (the default), `q5_k_m` or `q4_k_m`.
            metadata: Key-value pairs attached to the export; up to 16.
        """
        return await self._transport.request(
            types.ModelExport,
            Request(
                "POST",
                "model_exports",
                json=body_of(
                    model=model, format=format, quantization=quantization, metadata=metadata
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.ModelExport:
        """Get an export: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the export.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.ModelExport,
            Request("GET", at("model_exports", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete an export and its result. If it is in progress, it stops.

        Args:
            id: ID of the export.
        """
        return await self._transport.request(
            types.OperationDeleted, Request("DELETE", at("model_exports", id), options=options)
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.ModelExport:
        """Cancel an export. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the export.
        """
        return await self._transport.request(
            types.ModelExport, Request("POST", at("model_exports", id, "cancel"), options=options)
        )

    async def content(self, id: str, **options: Unpack[RequestOptions]) -> bytes:
        """Download an export as one uncompressed tar archive. The `etag` is its SHA-256 in
        hexadecimal digits, and `repr-digest` the same in base64. Returns 409 if the export is not
        completed, or if the project requires an approval that the model does not have.

        Args:
            id: ID of the export.
        """
        return await self._transport.request(
            bytes, Request("GET", at("model_exports", id, "content"), options=options)
        )

    def list(
        self,
        *,
        status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
        | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        model: str | None = None,
        format: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.ModelExport]:
        """List the project's exports, newest first by default.

        Args:
            status: Status to filter by.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
            model: Name of the trained model.
            format: Format of the export.
        """
        return self._transport.pages(
            types.ModelExport,
            Request(
                "GET",
                "model_exports",
                params={
                    "status": status,
                    "after": after,
                    "limit": limit,
                    "order": order,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                    "model": model,
                    "format": format,
                },
                options=options,
            ),
        )

    async def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.ModelExport], object] | None = None,
    ) -> types.ModelExport:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The model export {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncModelExportsWithRawResponse:
    """Raw responses of `client.model_exports`."""

    def __init__(self, resource: AsyncModelExportsBase) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.content = async_raw(resource.content)
        self.list = async_raw_list(resource.list)
