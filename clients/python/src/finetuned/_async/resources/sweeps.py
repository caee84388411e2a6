"""Methods of `client.sweeps`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions, body_of
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline

if TYPE_CHECKING:
    from finetuned import params


class AsyncSweeps(AsyncResource):
    """Methods of `client.sweeps`."""

    @cached_property
    def with_raw_response(self) -> AsyncSweepsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncSweepsWithRawResponse(self)

    async def create(
        self,
        *,
        model: str,
        training_file: str,
        values: types.SweepValues | params.SweepValues,
        validation_file: str | None = None,
        mixed_files: Sequence[types.MixedFile | params.MixedFile] | None = None,
        suffix: str | None = None,
        seed: int | None = None,
        metadata: Mapping[str, str] | None = None,
        method: types.Method | params.Method | None = None,
        hyperparameters: types.Hyperparameters | params.Hyperparameters | None = None,
        priority: int | None = None,
        gate: Mapping[str, str] | None = None,
        baseline_prompt: str | None = None,
        integrations: Sequence[
            types.MlflowIntegration
            | params.MlflowIntegration
            | types.WandbIntegration
            | params.WandbIntegration
        ]
        | None = None,
        stop_losers: bool | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.SweepObject:
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
                example, general chats, so that the model does not unlearn them. Not part of
                OpenAI's API.
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
            integrations: Integrations of the job. `mlflow` sends its metrics and hyperparameters to
                an MLflow server, which the operator must allow; `wandb` is not supported.
            stop_losers: Whether the worse half of the trials is stopped after a third of the
                training, and again after two thirds. Only trials with the same number of epochs are
                compared.
        """
        return await self._transport.request(
            types.SweepObject,
            Request(
                "POST",
                "fine_tuning/sweeps",
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

    async def retrieve(self, sweep_id: str, **options: Unpack[RequestOptions]) -> types.SweepObject:
        """Retrieve the current state of a sweep: its trials with their losses and, once it has
        ended, the best one.

        Args:
            sweep_id: ID of a sweep in the project.
        """
        return await self._transport.request(
            types.SweepObject,
            Request("GET", at("fine_tuning", "sweeps", sweep_id), options=options),
        )

    async def cancel(self, sweep_id: str, **options: Unpack[RequestOptions]) -> types.SweepObject:
        """Cancel a sweep and all of its jobs that have not ended. Existing checkpoints and models
        are kept. Returns 409 if the sweep has succeeded or failed.

        Args:
            sweep_id: ID of a sweep in the project.
        """
        return await self._transport.request(
            types.SweepObject,
            Request("POST", at("fine_tuning", "sweeps", sweep_id, "cancel"), options=options),
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.SweepObject]:
        """List the project's sweeps, newest first.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.SweepObject,
            Request(
                "GET",
                "fine_tuning/sweeps",
                params={"after": after, "limit": limit},
                options=options,
            ),
        )

    async def wait(
        self,
        sweep_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.SweepObject], object] | None = None,
    ) -> types.SweepObject:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The sweep {sweep_id}")
        return await self._transport.wait(
            lambda: self.retrieve(sweep_id), deadline, on_change=on_change
        )


class AsyncSweepsWithRawResponse:
    """Raw responses of `client.sweeps`."""

    def __init__(self, resource: AsyncSweeps) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
