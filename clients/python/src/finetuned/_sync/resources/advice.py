# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.advice`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions, body_of
from finetuned._raw import raw
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.transport import Resource


class AdviceBase(Resource):
    """Methods of `client.advice`."""

    @cached_property
    def with_raw_response(self) -> AdviceWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AdviceWithRawResponse(self)

    def create(
        self, *, training_file: str, model: str, **options: Unpack[RequestOptions]
    ) -> types.AdviceObject:
        """Ask whether a training is worth it. A worker then asks the base model the questions of
        some rows of the file, with and without the best prompt, searches the other rows for their
        answers, and reads the file's report. This takes about a minute on a CPU.

        The response has the status `in_progress`; retrieve the advice until it is `completed` or
        `failed`. While the file is being checked, the response is 409 with the code
        `file_not_ready`.

        Args:
            training_file: ID of the file.
            model: ID of the base model. An engine must serve it.
        """
        return self._transport.request(
            types.AdviceObject,
            Request(
                "POST",
                "fine_tuning/advice",
                json=body_of(training_file=training_file, model=model),
                idempotent=True,
                options=options,
            ),
        )

    def retrieve(self, advice_id: str, **options: Unpack[RequestOptions]) -> types.AdviceObject:
        """Retrieve the state of the advice, and its result once it is completed.

        Args:
            advice_id: ID of advice in the project.
        """
        return self._transport.request(
            types.AdviceObject,
            Request("GET", at("fine_tuning", "advice", advice_id), options=options),
        )

    def delete(self, advice_id: str, **options: Unpack[RequestOptions]) -> types.AdviceDeleted:
        """Delete the advice. If it is in progress, the worker stops. Advice is also deleted 30 days
        after it was created.

        Args:
            advice_id: ID of advice in the project.
        """
        return self._transport.request(
            types.AdviceDeleted,
            Request("DELETE", at("fine_tuning", "advice", advice_id), options=options),
        )

    def wait(
        self,
        advice_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.AdviceObject], object] | None = None,
    ) -> types.AdviceObject:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The advice {advice_id}")
        return self._transport.wait(lambda: self.retrieve(advice_id), deadline, on_change=on_change)


class AdviceWithRawResponse:
    """Raw responses of `client.advice`."""

    def __init__(self, resource: AdviceBase) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
