# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.model_imports`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions, body_of
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource


class ModelImports(Resource):
    """Methods of `client.model_imports`."""

    @cached_property
    def with_raw_response(self) -> ModelImportsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return ModelImportsWithRawResponse(self)

    def create(
        self,
        *,
        file_id: str,
        base_model: str,
        suffix: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.ModelImport:
        """Import a LoRA adapter that was trained elsewhere, in the background.

        Upload the folder that PEFT's `save_pretrained` wrote, as a tar or zip archive with the
        purpose `model-import`. Only safetensors are accepted. The adapter's tensors are matched
        with the base model's, and its tokenizer and chat template are compared with those of the
        base model, which are used in any case. When the import is completed, `result.model` can be
        used like a model that was trained here.

        Args:
            file_id: ID of a file with the purpose `model-import`: the folder that PEFT's
                `save_pretrained` wrote, packed as .tar, .tar.gz, .tar.zst or .zip.
            base_model: Base model of the catalog that the adapter was trained on.
            suffix: Suffix to include in the name of the model.
            metadata: Key-value pairs attached to the import; up to 16.
        """
        return self._transport.request(
            types.ModelImport,
            Request(
                "POST",
                "model_imports",
                json=body_of(
                    file_id=file_id, base_model=base_model, suffix=suffix, metadata=metadata
                ),
                idempotent=True,
                options=options,
            ),
        )

    def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.ModelImport:
        """Get an import: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the import.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return self._transport.request(
            types.ModelImport,
            Request("GET", at("model_imports", id), params={"wait": wait}, options=options),
        )

    def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete an import. If it is in progress, it stops. The models that it created are kept.

        Args:
            id: ID of the import.
        """
        return self._transport.request(
            types.OperationDeleted, Request("DELETE", at("model_imports", id), options=options)
        )

    def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.ModelImport:
        """Cancel an import. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the import.
        """
        return self._transport.request(
            types.ModelImport, Request("POST", at("model_imports", id, "cancel"), options=options)
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
        file_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.ModelImport]:
        """List the project's imports, newest first by default.

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
            file_id: ID of the file.
        """
        return self._transport.pages(
            types.ModelImport,
            Request(
                "GET",
                "model_imports",
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
                    "file_id": file_id,
                },
                options=options,
            ),
        )

    def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.ModelImport], object] | None = None,
    ) -> types.ModelImport:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The model import {id}")
        return self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class ModelImportsWithRawResponse:
    """Raw responses of `client.model_imports`."""

    def __init__(self, resource: ModelImports) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
        self.cancel = raw(resource.cancel)
        self.list = raw_list(resource.list)
