# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.recognizers`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import Omit, RequestOptions, changes_of, omit
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource


class Recognizers(Resource):
    """Methods of `client.recognizers`."""

    @cached_property
    def with_raw_response(self) -> RecognizersWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return RecognizersWithRawResponse(self)

    def retrieve(self, recognizer: str, **options: Unpack[RequestOptions]) -> types.Recognizer:
        """Retrieve a recognizer with its pattern and terms.

        Args:
            recognizer: Name of a recognizer.
        """
        return self._transport.request(
            types.Recognizer, Request("GET", at("recognizers", recognizer), options=options)
        )

    def set(
        self,
        recognizer: str,
        *,
        pattern: str | Omit | None = omit,
        terms: Sequence[str] | Omit = omit,
        **options: Unpack[RequestOptions],
    ) -> types.Recognizer:
        """Define a kind of personal data of the project, such as its customer numbers or the names
        of its customers, or replace its definition.

        Reports count its findings, and cleanings that redact replace them with the name as a label:
        `[CUSTOMER_NUMBER]`. The next request for a report makes a new one. A project can have up to
        50 recognizers.

        Args:
            recognizer: Name of a recognizer.
            pattern: Regular expression in RE2 syntax, such as `\\bC-\\d{6}\\b`. It is case-sensitive
                unless it begins with `(?i)`. Full-width digits and letters count as ordinary ones.
            terms: Words and phrases, such as the names of customers or projects. They are found as
                whole words, regardless of case and width.
        """
        return self._transport.request(
            types.Recognizer,
            Request(
                "PUT",
                at("recognizers", recognizer),
                json=changes_of(pattern=pattern, terms=terms),
                options=options,
            ),
        )

    def delete(
        self, recognizer: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Delete a recognizer. Files that were cleaned with it remain as they are.

        Args:
            recognizer: Name of a recognizer.
        """
        return self._transport.request(
            types.ProjectObjectDeleted,
            Request("DELETE", at("recognizers", recognizer), options=options),
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.Recognizer]:
        """List the project's recognizers, newest first.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.Recognizer,
            Request("GET", "recognizers", params={"after": after, "limit": limit}, options=options),
        )


class RecognizersWithRawResponse:
    """Raw responses of `client.recognizers`."""

    def __init__(self, resource: Recognizers) -> None:
        self.retrieve = raw(resource.retrieve)
        self.set = raw(resource.set)
        self.delete = raw(resource.delete)
        self.list = raw_list(resource.list)
