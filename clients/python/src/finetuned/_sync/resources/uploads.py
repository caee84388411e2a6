# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.uploads`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions, body_of
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource

if TYPE_CHECKING:
    from finetuned import params


class UploadsParts(Resource):
    """Methods of `client.uploads.parts`."""

    @cached_property
    def with_raw_response(self) -> UploadsPartsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return UploadsPartsWithRawResponse(self)

    def create(
        self, upload_id: str, data: bytes, **options: Unpack[RequestOptions]
    ) -> types.UploadPart:
        """Add a part as the field `data` of a multipart form, as the SDKs do, or as raw bytes.

        Parts may arrive in any order and in parallel; `completeUpload` sets their order.

        Args:
            upload_id: ID of an upload in the project.
        """
        return self._transport.request(
            types.UploadPart,
            Request(
                "POST",
                at("uploads", upload_id, "parts"),
                content=data,
                headers={"content-type": "application/octet-stream"},
                repeatable=True,
                options=options,
            ),
        )

    def list(self, upload_id: str, **options: Unpack[RequestOptions]) -> Page[types.UploadPart]:
        """List the received parts, oldest first, with the size and MD5 of each, so that an
        interrupted client can send the missing parts.

        Args:
            upload_id: ID of an upload in the project.
        """
        return self._transport.pages(
            types.UploadPart, Request("GET", at("uploads", upload_id, "parts"), options=options)
        )


class UploadsPartsWithRawResponse:
    """Raw responses of `client.uploads.parts`."""

    def __init__(self, resource: UploadsParts) -> None:
        self.create = raw(resource.create)
        self.list = raw_list(resource.list)


class Uploads(Resource):
    """Methods of `client.uploads`."""

    @cached_property
    def parts(self) -> UploadsParts:
        """Parts."""
        return UploadsParts(self._transport)

    @cached_property
    def with_raw_response(self) -> UploadsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return UploadsWithRawResponse(self)

    def create(
        self,
        *,
        filename: str,
        purpose: Literal["fine-tune", "evals", "batch", "user_data", "model-import"],
        bytes: int,
        mime_type: str,
        expires_after: types.UploadExpiresAfter | params.UploadExpiresAfter | None = None,
        format: types.FileFormat | params.FileFormat | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Upload:
        """Create an upload for a file that exceeds the limit of `/v1/files`, or for an unreliable
        connection. A file may have up to 8 GiB, in parts of up to 64 MiB. The upload expires after
        one hour unless it is completed.

        Args:
            filename: Name of the resulting file.
            purpose: Purpose of the file. `fine-tune` and `evals` files are checked, `batch` files
                when a batch is created. `model-import`, an extension, is for archives of adapters.
            bytes: Size of the complete file in bytes.
            mime_type: MIME type of the file. Required for OpenAI compatibility; the format is
                detected from the content.
            expires_after: Lifetime of the resulting file. If omitted, the file never expires.
            format: Format options of the file.
        """
        return self._transport.request(
            types.Upload,
            Request(
                "POST",
                "uploads",
                json=body_of(
                    filename=filename,
                    purpose=purpose,
                    bytes=bytes,
                    mime_type=mime_type,
                    expires_after=expires_after,
                    format=format,
                ),
                repeatable=True,
                options=options,
            ),
        )

    def retrieve(self, upload_id: str, **options: Unpack[RequestOptions]) -> types.Upload:
        """Retrieve an upload's status (`pending`, `completed`, `cancelled` or `expired`) and the
        resulting file.

        Args:
            upload_id: ID of an upload in the project.
        """
        return self._transport.request(
            types.Upload, Request("GET", at("uploads", upload_id), options=options)
        )

    def complete(
        self,
        upload_id: str,
        *,
        part_ids: Sequence[str],
        md5: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Upload:
        """Join the parts into a file, in the order of `part_ids`. Their total size must match the
        declared size, and the result must match `md5` if given. A `fine-tune` file is then checked,
        as after a single-request upload. Repeating the request with the same parts returns the same
        result.

        Args:
            upload_id: ID of an upload in the project.
            part_ids: IDs of the parts, in file order.
            md5: MD5 digest of the complete file, in hexadecimal.
        """
        return self._transport.request(
            types.Upload,
            Request(
                "POST",
                at("uploads", upload_id, "complete"),
                json=body_of(part_ids=part_ids, md5=md5),
                repeatable=True,
                options=options,
            ),
        )

    def cancel(self, upload_id: str, **options: Unpack[RequestOptions]) -> types.Upload:
        """Cancel an upload and delete its parts. It then accepts no more parts. A completed upload
        cannot be canceled; delete its file instead.

        Args:
            upload_id: ID of an upload in the project.
        """
        return self._transport.request(
            types.Upload,
            Request("POST", at("uploads", upload_id, "cancel"), repeatable=True, options=options),
        )

    def wait(
        self,
        upload_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.Upload], object] | None = None,
    ) -> types.Upload:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The upload {upload_id}")
        return self._transport.wait(lambda: self.retrieve(upload_id), deadline, on_change=on_change)


class UploadsWithRawResponse:
    """Raw responses of `client.uploads`."""

    def __init__(self, resource: Uploads) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.complete = raw(resource.complete)
        self.cancel = raw(resource.cancel)
