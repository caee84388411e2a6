# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.model_imports`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

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
        file: str,
        base_model: str,
        suffix: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.ModelImport:
        """Import a LoRA adapter that was trained elsewhere, in the background.

        Upload the folder that PEFT's `save_pretrained` wrote, as a tar or zip archive with the
        purpose `model-import`. Only safetensors are accepted. The adapter's tensors are matched
        with the base model's, and its tokenizer and chat template are compared with those of the
        base model, which are used in any case. Poll `retrieveModelImport` until the status is
        `completed` or `failed`. The model can then be used like one that was trained here.

        Args:
            file: ID of a file with the purpose `model-import`: the folder that PEFT's
                `save_pretrained` wrote, packed as .tar, .tar.gz, .tar.zst or .zip.
            base_model: Base model of the catalog that the adapter was trained on.
            suffix: Suffix to include in the name of the model.
        """
        return self._transport.request(
            types.ModelImport,
            Request(
                "POST",
                "models/import",
                json=body_of(file=file, base_model=base_model, suffix=suffix),
                idempotent=True,
                options=options,
            ),
        )

    def retrieve(
        self, file_id: str, import_id: str, **options: Unpack[RequestOptions]
    ) -> types.ModelImport:
        """Retrieve an import's status, the name of its model, and the differences that were found
        between the adapter's folder and the base model; or the reason why it failed.

        Args:
            file_id: ID of a file in the project.
            import_id: ID of an import of the file.
        """
        return self._transport.request(
            types.ModelImport,
            Request("GET", at("files", file_id, "imports", import_id), options=options),
        )

    def list(
        self,
        file_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.ModelImport]:
        """List the imports of an archive, newest first. They are deleted with the file.

        Args:
            file_id: ID of a file in the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.ModelImport,
            Request(
                "GET",
                at("files", file_id, "imports"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )

    def wait(
        self,
        file_id: str,
        import_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.ModelImport], object] | None = None,
    ) -> types.ModelImport:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The model import {import_id}")
        return self._transport.wait(
            lambda: self.retrieve(file_id, import_id), deadline, on_change=on_change
        )


class ModelImportsWithRawResponse:
    """Raw responses of `client.model_imports`."""

    def __init__(self, resource: ModelImports) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.list = raw_list(resource.list)
