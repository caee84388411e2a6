# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.sweeps`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class Sweeps(Resource):
    """Methods of `client.sweeps`."""

    @cached_property
    def with_raw_response(self) -> SweepsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return SweepsWithRawResponse(self)

    def create(
        self,
        *,
        model: str,
        training_file: str,
        values: types.SweepValues | params.SweepValues,
        validation_file: str | None = None,
        mixed_files: Sequence[types.CreateMixedFile | params.CreateMixedFile] | None = None,
        suffix: str | None = None,
        seed: int | None = None,
        metadata: Mapping[str, str] | None = None,
        method: types.FineTuningMethod | params.FineTuningMethod | None = None,
        hyperparameters: types.SupervisedHyperparameters
        | params.SupervisedHyperparameters
        | None = None,
        priority: int | None = None,
        gate: Mapping[str, str] | None = None,
        baseline_prompt: str | None = None,
        integrations: Sequence[
            types.CreateMlflowIntegration
            | params.CreateMlflowIntegration
            | types.WandbIntegration
            | params.WandbIntegration
        ]
        | None = None,
        stop_losers: bool | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Sweep:
        """Create a sweep: one fine-tuning job, called a trial, for each combination of the values.
        The trials are compared by their loss on held-out rows, so a sweep needs a `validation_file`
        or a `validation_share`.

        Every trial trains a third of its steps and then waits for the others. The better half
        trains up to two thirds, and the better half of those to the end. The rest are cancelled; an
        event of each job gives the two losses. With `stop_losers` set to false, all trials train to
        the end.

        Each trial is an ordinary job, which can be watched, paused, resumed and cancelled by
        itself. While a trial is paused by a user, the sweep waits for it.

        Args:
            model: ID of the base model from the catalog.
            training_file: ID of the training file. The file may still be processing.
            values: Lists of hyperparameter values to try. Each combination is a trial; a sweep has
                2 to 16.
            validation_file: ID of the validation file, whose rows are used to measure the model.
            mixed_files: Files whose rows are mixed with those of the training file, up to 8; for
                example, general chats, so that the model keeps what it can do. Not part of OpenAI's
                API.
            suffix: Suffix to include in the name of the fine-tuned model.
            seed: Random seed of the training. Generated if omitted.
            metadata: Key-value pairs for filtering; up to 16. Keys have up to 64 characters, values
                up to 512.
            method: Training method and its hyperparameters. Defaults to `supervised`.
            hyperparameters: Hyperparameters of supervised training. Deprecated by OpenAI in favor
                of `method`, but still accepted.
            priority: Priority of the job. Higher values run first. Not part of OpenAI's API.
            gate: Conditions that the evaluation of the job must meet, such as `{"chrf_gain":
                ">=5"}`. An alias does not point at a model of the job that fails them without
                `force`. A job with a gate needs held-out rows. Not part of OpenAI's API.
            baseline_prompt: System message of the base model in the evaluation, to compare the
                trained model with a prompted base model.
            integrations: Integrations of the job. `mlflow` sends its metrics and hyperparameters to
                an MLflow server, which the operator must allow; `wandb` is not supported.
            stop_losers: Whether the worse half of the trials is stopped after a third of the
                training, and again after two thirds. Only trials with the same number of epochs are
                compared.
        """
        return self._transport.request(
            types.Sweep,
            Request(
                "POST",
                "sweeps",
                json=body_of(
                    model=model,
                    training_file=training_file,
                    validation_file=validation_file,
                    mixed_files=mixed_files,
                    suffix=suffix,
                    seed=seed,
                    metadata=metadata,
                    method=method,
                    hyperparameters=hyperparameters,
                    priority=priority,
                    gate=gate,
                    baseline_prompt=baseline_prompt,
                    integrations=integrations,
                    values=values,
                    stop_losers=stop_losers,
                ),
                idempotent=True,
                options=options,
            ),
        )

    def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.Sweep:
        """Get a sweep: its status, its progress, and its result once it is completed. With `wait`,
        the response is sent when it ends.

        Args:
            id: ID of the sweep.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return self._transport.request(
            types.Sweep, Request("GET", at("sweeps", id), params={"wait": wait}, options=options)
        )

    def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a sweep. Returns 409 if it has not ended: cancel it first. The jobs that it
        created are kept.

        Args:
            id: ID of the sweep.
        """
        return self._transport.request(
            types.OperationDeleted, Request("DELETE", at("sweeps", id), options=options)
        )

    def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.Sweep:
        """Cancel a sweep. The status is `cancelling` while its work is still being stopped. Returns
        409 if it has already completed or failed.

        Args:
            id: ID of the sweep.
        """
        return self._transport.request(
            types.Sweep, Request("POST", at("sweeps", id, "cancel"), options=options)
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
        training_file: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.Sweep]:
        """List the project's sweeps, newest first by default.

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
            model: ID of the base model.
            training_file: ID of the training file.
        """
        return self._transport.pages(
            types.Sweep,
            Request(
                "GET",
                "sweeps",
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
                    "training_file": training_file,
                },
                options=options,
            ),
        )

    def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.Sweep], object] | None = None,
    ) -> types.Sweep:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The sweep {id}")
        return self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class SweepsWithRawResponse:
    """Raw responses of `client.sweeps`."""

    def __init__(self, resource: Sweeps) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
        self.cancel = raw(resource.cancel)
        self.list = raw_list(resource.list)
