"""Methods of `client.fine_tuning`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import Omit, RequestOptions, body_of, changes_of, omit
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline

if TYPE_CHECKING:
    from finetuned import params
    from finetuned._async.jobs import AsyncFineTuningJobs, AsyncFineTuningJobsEvaluation


class AsyncFineTuningJobsEvaluationLabels(AsyncResource):
    """Methods of `client.fine_tuning.jobs.evaluation.labels`."""

    @cached_property
    def with_raw_response(self) -> AsyncFineTuningJobsEvaluationLabelsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFineTuningJobsEvaluationLabelsWithRawResponse(self)

    async def queue(
        self,
        job_id: str,
        *,
        compared: Sequence[str] | None = None,
        overlap: int | None = None,
        row: int | None = None,
        limit: int | None = None,
        personal_data: Literal["mask", "show"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.EvaluationLabelQueue:
        """Retrieve the next rows that the caller has not labeled, with two answers each, and the
        progress of all reviewers. Which model gave which answer is not said until it is labeled.

        Rows that other people began come first, so that several label the same rows. The others are
        in random order.

        Args:
            job_id: ID of a fine-tuning job in the project.
            compared: Pair of columns to compare. By default, the tuned model and the best prompt,
                or else the base model.
            overlap: Number of labels that each row should have. Rows with that many are not in the
                queue.
            row: `line` of the only row to return, also if it is labeled.
            limit: Maximum number of objects per page.
            personal_data: Whether to show personal data in texts, or to replace it by labels such
                as `[EMAIL]`. The audit log notes who asked for it to be shown.
        """
        return await self._transport.request(
            types.EvaluationLabelQueue,
            Request(
                "GET",
                at("fine_tuning", "jobs", job_id, "evaluation", "labels", "queue"),
                params={
                    "compared": compared,
                    "overlap": overlap,
                    "row": row,
                    "limit": limit,
                    "personal_data": personal_data,
                },
                options=options,
            ),
        )

    async def set(
        self,
        job_id: str,
        row: int,
        *,
        compared: Sequence[str],
        winner: str,
        shown: str | Omit | None = omit,
        note: str | Omit | None = omit,
        took_ms: int | Omit | None = omit,
        **options: Unpack[RequestOptions],
    ) -> types.EvaluationLabel:
        """Say which of two answers to a row is better, or change one's own label. Each reviewer has
        one label per row and pair of columns. The response names the column of the better answer,
        also if the queue showed the answers without their columns.

        If people show a preference and agree with each other, it enters the verdict. If the
        evaluation runs again, labels calibrate the judge. They are deleted with the model.

        Args:
            job_id: ID of a fine-tuning job in the project.
            row: `line` of the row in the report.
            compared: The two columns of the report whose answers were compared, in the order in
                which they were shown; with `shown`, in any order.
            winner: Column of the better answer, or `tie`; with `shown`, `first`, `second` or `tie`.
            shown: `shown` of the queue's task, if the answers were shown without their columns. A
                label of answers that have changed since then is refused.
            note: Note for other reviewers.
            took_ms: Milliseconds that the decision took.
        """
        return await self._transport.request(
            types.EvaluationLabel,
            Request(
                "PUT",
                at("fine_tuning", "jobs", job_id, "evaluation", "labels", row),
                json=changes_of(
                    compared=compared, winner=winner, shown=shown, note=note, took_ms=took_ms
                ),
                options=options,
            ),
        )

    async def delete(
        self,
        job_id: str,
        row: int,
        *,
        compared: Sequence[str] | None = None,
        reviewer: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.ProjectObjectDeleted:
        """Delete a reviewer's labels of a row with their notes: the caller's by default. Those of
        others stay.

        Args:
            job_id: ID of a fine-tuning job in the project.
            row: `line` of the row in the report.
            compared: Pair of columns whose label is deleted. By default, all labels that the caller
                gave to the row.
            reviewer: `reviewer` of the labels, if they are another person's. Only administrators of
                the project may delete those.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request(
                "DELETE",
                at("fine_tuning", "jobs", job_id, "evaluation", "labels", row),
                params={"compared": compared, "reviewer": reviewer},
                options=options,
            ),
        )

    def list(
        self,
        job_id: str,
        *,
        row: int | None = None,
        mine: bool | None = None,
        disputed: bool | None = None,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.EvaluationLabel]:
        """List what people said about the answers of an evaluation in the order of rows, and what
        it says together: how often they prefer each model, how well they agree with each other, and
        whether the measure that decided agrees with them.

        Labels of others appear after one has labeled the same answers oneself. Administrators of
        the project see all.

        Args:
            job_id: ID of a fine-tuning job in the project.
            row: Row to filter by.
            mine: Whether to list only the caller's labels.
            disputed: Whether to list only labels of rows on which reviewers differ, those with
                opposite preferences first.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.EvaluationLabel,
            Request(
                "GET",
                at("fine_tuning", "jobs", job_id, "evaluation", "labels"),
                params={
                    "row": row,
                    "mine": mine,
                    "disputed": disputed,
                    "after": after,
                    "limit": limit,
                },
                options=options,
            ),
        )


class AsyncFineTuningJobsEvaluationLabelsWithRawResponse:
    """Raw responses of `client.fine_tuning.jobs.evaluation.labels`."""

    def __init__(self, resource: AsyncFineTuningJobsEvaluationLabels) -> None:
        self.queue = async_raw(resource.queue)
        self.set = async_raw(resource.set)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)


class AsyncFineTuningAlphaGraders(AsyncResource):
    """Methods of `client.fine_tuning.alpha.graders`."""

    @cached_property
    def with_raw_response(self) -> AsyncFineTuningAlphaGradersWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFineTuningAlphaGradersWithRawResponse(self)

    async def run(
        self,
        *,
        grader: types.StringCheckGrader
        | params.StringCheckGrader
        | types.TextSimilarityGrader
        | params.TextSimilarityGrader
        | types.LabelModelGrader
        | params.LabelModelGrader
        | types.ScoreModelGrader
        | params.ScoreModelGrader
        | types.PythonGrader
        | params.PythonGrader
        | types.MultiGrader
        | params.MultiGrader
        | types.ChrfGrader
        | params.ChrfGrader
        | types.JsonSchemaGrader
        | params.JsonSchemaGrader
        | types.ToolCallGrader
        | params.ToolCallGrader
        | types.LanguageGrader
        | params.LanguageGrader
        | types.LabelGrader
        | params.LabelGrader,
        model_sample: str,
        item: Mapping[str, Any] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.GraderRun:
        """Grade one answer. A failure to grade it is an error in the response's metadata.

        Judges are asked with the caller's key and count as its requests.

        Args:
            grader: Grader to run.
            model_sample: Answer to grade. It fills the `sample` namespace; `output_json` is set if
                it is JSON.
            item: Row of the data source. It fills the `item` namespace.
        """
        return await self._transport.request(
            types.GraderRun,
            Request(
                "POST",
                "fine_tuning/alpha/graders/run",
                json=body_of(grader=grader, model_sample=model_sample, item=item),
                options=options,
            ),
        )

    async def validate(
        self,
        *,
        grader: types.StringCheckGrader
        | params.StringCheckGrader
        | types.TextSimilarityGrader
        | params.TextSimilarityGrader
        | types.LabelModelGrader
        | params.LabelModelGrader
        | types.ScoreModelGrader
        | params.ScoreModelGrader
        | types.PythonGrader
        | params.PythonGrader
        | types.MultiGrader
        | params.MultiGrader
        | types.ChrfGrader
        | params.ChrfGrader
        | types.JsonSchemaGrader
        | params.JsonSchemaGrader
        | types.ToolCallGrader
        | params.ToolCallGrader
        | types.LanguageGrader
        | params.LanguageGrader
        | types.LabelGrader
        | params.LabelGrader,
        **options: Unpack[RequestOptions],
    ) -> types.ValidatedGrader:
        """Check a grader's templates, formula, source, labels, schema and models.

        Args:
            grader: Grader to validate.
        """
        return await self._transport.request(
            types.ValidatedGrader,
            Request(
                "POST",
                "fine_tuning/alpha/graders/validate",
                json=body_of(grader=grader),
                options=options,
            ),
        )


class AsyncFineTuningAlphaGradersWithRawResponse:
    """Raw responses of `client.fine_tuning.alpha.graders`."""

    def __init__(self, resource: AsyncFineTuningAlphaGraders) -> None:
        self.run = async_raw(resource.run)
        self.validate = async_raw(resource.validate)


class AsyncFineTuningCheckpointsPermissions(AsyncResource):
    """Methods of `client.fine_tuning.checkpoints.permissions`."""

    @cached_property
    def with_raw_response(self) -> AsyncFineTuningCheckpointsPermissionsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFineTuningCheckpointsPermissionsWithRawResponse(self)

    def create(
        self, model: str, *, project_ids: Sequence[str], **options: Unpack[RequestOptions]
    ) -> AsyncPaginator[types.CheckpointPermission]:
        """Let other projects send requests to a trained model or a checkpoint, also through aliases
        of their own. They cannot export, delete or train on it, and their requests count as their
        own usage. An existing permission is kept. If the project has `four_eyes`, a second person
        must have approved the model.

        Only a key of the project that has the model may share it: a model can repeat what it was
        trained on, and the role `admin` does not read the data of other projects.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
            project_ids: IDs of the projects that may use the model.
        """
        return self._transport.pages(
            types.CheckpointPermission,
            Request(
                "POST",
                at("fine_tuning", "checkpoints", model, "permissions"),
                json=body_of(project_ids=project_ids),
                options=options,
            ),
        )

    async def delete(
        self, model: str, permission_id: str, **options: Unpack[RequestOptions]
    ) -> types.CheckpointPermissionDeleted:
        """Revoke the permission of a project to use a trained model. Its requests get 404 within
        seconds. Keys with the role `admin` revoke permissions to use the models of all projects.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
            permission_id: ID of a permission to use the model.
        """
        return await self._transport.request(
            types.CheckpointPermissionDeleted,
            Request(
                "DELETE",
                at("fine_tuning", "checkpoints", model, "permissions", permission_id),
                options=options,
            ),
        )

    def list(
        self,
        model: str,
        *,
        project_id: str | None = None,
        order: Literal["ascending", "descending"] | None = None,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.CheckpointPermission]:
        """List the permissions of other projects to use a trained model. Keys with the roles
        `admin` and `auditor` list those of the models of all projects.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
            project_id: Project to filter by.
            order: Sort order by creation time. `desc` returns the newest first.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.CheckpointPermission,
            Request(
                "GET",
                at("fine_tuning", "checkpoints", model, "permissions"),
                params={"project_id": project_id, "order": order, "after": after, "limit": limit},
                options=options,
            ),
        )


class AsyncFineTuningCheckpointsPermissionsWithRawResponse:
    """Raw responses of `client.fine_tuning.checkpoints.permissions`."""

    def __init__(self, resource: AsyncFineTuningCheckpointsPermissions) -> None:
        self.create = async_raw_list(resource.create)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)


class AsyncFineTuningJobsCheckpoints(AsyncResource):
    """Methods of `client.fine_tuning.jobs.checkpoints`."""

    @cached_property
    def with_raw_response(self) -> AsyncFineTuningJobsCheckpointsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFineTuningJobsCheckpointsWithRawResponse(self)

    def list(
        self,
        job_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.FineTuningJobCheckpoint]:
        """List the checkpoints of a job, newest first, with their metrics. To use a checkpoint in
        inference requests, pass its `fine_tuned_model_checkpoint` as the model name.

        Args:
            job_id: ID of a fine-tuning job in the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.FineTuningJobCheckpoint,
            Request(
                "GET",
                at("fine_tuning", "jobs", job_id, "checkpoints"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )


class AsyncFineTuningJobsCheckpointsWithRawResponse:
    """Raw responses of `client.fine_tuning.jobs.checkpoints`."""

    def __init__(self, resource: AsyncFineTuningJobsCheckpoints) -> None:
        self.list = async_raw_list(resource.list)


class AsyncFineTuningJobsEvaluationBase(AsyncResource):
    """Methods of `client.fine_tuning.jobs.evaluation`."""

    @cached_property
    def labels(self) -> AsyncFineTuningJobsEvaluationLabels:
        """Labels."""
        return AsyncFineTuningJobsEvaluationLabels(self._transport)

    @cached_property
    def with_raw_response(self) -> AsyncFineTuningJobsEvaluationWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFineTuningJobsEvaluationWithRawResponse(self)

    async def retrieve(
        self, job_id: str, **options: Unpack[RequestOptions]
    ) -> types.FineTuningJobEvaluation:
        """Retrieve the state and the verdict of a job's evaluation.

        When a job with held-out rows succeeds, the serving engine answers these rows with the base
        model, with the base model and the best prompt that the service finds, and with the tuned
        model. The verdict says whether to serve the model, and gives the figures. If people labeled
        the answers, it says what they prefer.

        Args:
            job_id: ID of a fine-tuning job in the project.
        """
        return await self._transport.request(
            types.FineTuningJobEvaluation,
            Request("GET", at("fine_tuning", "jobs", job_id, "evaluation"), options=options),
        )

    async def create(
        self, job_id: str, *, baseline_prompt: str | None = None, **options: Unpack[RequestOptions]
    ) -> types.FineTuningJobEvaluation:
        """Run a completed, skipped or failed evaluation again, for example after the engine was
        started, or to compare the model with another prompt. Returns 409 if it is in progress.

        Args:
            job_id: ID of a fine-tuning job in the project.
            baseline_prompt: System message of the base model, to compare the trained model with a
                prompted base model.
        """
        return await self._transport.request(
            types.FineTuningJobEvaluation,
            Request(
                "POST",
                at("fine_tuning", "jobs", job_id, "evaluation"),
                json=body_of(baseline_prompt=baseline_prompt) or None,
                options=options,
            ),
        )

    async def report(
        self,
        job_id: str,
        *,
        format: Literal["json", "html", "md"] | None = None,
        personal_data: Literal["mask", "show"] | None = None,
        line: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> str:
        """Retrieve everything that an evaluation measured: each row with all answers and scores as
        JSON, or the report as Markdown or as one HTML page without external resources.

        With `personal_data=mask`, which needs JSON, values that are found to be personal, and
        numbers that may be, are replaced in all texts, and `masked_values` of each row counts them.
        Returns 409 if the evaluation is not completed.

        Args:
            job_id: ID of a fine-tuning job in the project.
            format: Format of the report: JSON, HTML or Markdown.
            personal_data: Whether to show personal data in texts, or to replace it by labels such
                as `[EMAIL]`. The audit log notes who asked for it to be shown.
            line: `line` of the only row that a JSON report has.
        """
        return await self._transport.request(
            str,
            Request(
                "GET",
                at("fine_tuning", "jobs", job_id, "evaluation", "report"),
                params={"format": format, "personal_data": personal_data, "line": line},
                options=options,
            ),
        )

    async def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.FineTuningJobEvaluation], object] | None = None,
    ) -> types.FineTuningJobEvaluation:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The evaluation {job_id}")
        return await self._transport.wait(
            lambda: self.retrieve(job_id), deadline, on_change=on_change
        )


class AsyncFineTuningJobsEvaluationWithRawResponse:
    """Raw responses of `client.fine_tuning.jobs.evaluation`."""

    def __init__(self, resource: AsyncFineTuningJobsEvaluationBase) -> None:
        self.retrieve = async_raw(resource.retrieve)
        self.create = async_raw(resource.create)
        self.report = async_raw(resource.report)


class AsyncFineTuningAlpha(AsyncResource):
    """Methods of `client.fine_tuning.alpha`."""

    @cached_property
    def graders(self) -> AsyncFineTuningAlphaGraders:
        """Graders."""
        return AsyncFineTuningAlphaGraders(self._transport)


class AsyncFineTuningCheckpoints(AsyncResource):
    """Methods of `client.fine_tuning.checkpoints`."""

    @cached_property
    def permissions(self) -> AsyncFineTuningCheckpointsPermissions:
        """Permissions."""
        return AsyncFineTuningCheckpointsPermissions(self._transport)


class AsyncFineTuningJobsBase(AsyncResource):
    """Methods of `client.fine_tuning.jobs`."""

    @cached_property
    def checkpoints(self) -> AsyncFineTuningJobsCheckpoints:
        """Checkpoints."""
        return AsyncFineTuningJobsCheckpoints(self._transport)

    @cached_property
    def evaluation(self) -> AsyncFineTuningJobsEvaluation:
        """Evaluation."""
        from finetuned._async.jobs import AsyncFineTuningJobsEvaluation

        return AsyncFineTuningJobsEvaluation(self._transport)

    @cached_property
    def with_raw_response(self) -> AsyncFineTuningJobsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFineTuningJobsWithRawResponse(self)

    async def create(
        self,
        *,
        model: str,
        training_file: str,
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
        **options: Unpack[RequestOptions],
    ) -> types.FineTuningJob:
        """Create a fine-tuning job. The service validates its files, then queues it for a GPU
        worker.

        The status goes from `validating_files` to `queued`, to `running`, and finally to
        `succeeded`, `failed` or `cancelled`. Follow the training through the job's events. When the
        job succeeds, `fine_tuned_model` is the model name to use in inference requests.

        Only `model` and `training_file` are required. Set hyperparameters in `method`, or at the
        top level as in older SDKs. The service chooses a value for each `auto` from the data, and
        events give the reasons.

        Args:
            model: ID of the base model from the catalog.
            training_file: ID of the training file. The file may still be processing.
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
        """
        return await self._transport.request(
            types.FineTuningJob,
            Request(
                "POST",
                "fine_tuning/jobs",
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
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(self, job_id: str, **options: Unpack[RequestOptions]) -> types.FineTuningJob:
        """Retrieve the current state of a job: its status, hyperparameters, queue position, and the
        fine-tuned model or the error.

        Args:
            job_id: ID of a fine-tuning job in the project.
        """
        return await self._transport.request(
            types.FineTuningJob, Request("GET", at("fine_tuning", "jobs", job_id), options=options)
        )

    async def cancel(self, job_id: str, **options: Unpack[RequestOptions]) -> types.FineTuningJob:
        """Cancel a job permanently. A running trainer stops within seconds. Existing checkpoints
        are kept. Returns 409 if the job has already ended.

        Args:
            job_id: ID of a fine-tuning job in the project.
        """
        return await self._transport.request(
            types.FineTuningJob,
            Request("POST", at("fine_tuning", "jobs", job_id, "cancel"), options=options),
        )

    async def pause(self, job_id: str, **options: Unpack[RequestOptions]) -> types.FineTuningJob:
        """Pause a queued or running job and keep its progress in a checkpoint. `resume` continues
        from that checkpoint.

        A queued job becomes `paused` immediately. A running job stays `running` with `pausing` set
        until its checkpoint is stored, and then becomes `paused`. If its training finishes first,
        the job succeeds. Returns 409 if the job is pausing, is paused, has ended, or is still
        validating its files.

        Args:
            job_id: ID of a fine-tuning job in the project.
        """
        return await self._transport.request(
            types.FineTuningJob,
            Request("POST", at("fine_tuning", "jobs", job_id, "pause"), options=options),
        )

    async def resume(self, job_id: str, **options: Unpack[RequestOptions]) -> types.FineTuningJob:
        """Resume a paused job: it is queued again and continues from its latest checkpoint. A job
        that is still pausing also continues, without losing a step. Returns 409 if the job is
        neither paused nor pausing.

        Args:
            job_id: ID of a fine-tuning job in the project.
        """
        return await self._transport.request(
            types.FineTuningJob,
            Request("POST", at("fine_tuning", "jobs", job_id, "resume"), options=options),
        )

    def list_events(
        self,
        job_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.FineTuningJobEvent]:
        """List the events of a job, newest first: messages and metrics of training steps.

        With `stream=true`, the response is a stream of server-sent events, oldest first, that stays
        open until the job ends. Each event has an `id:` line, an `event:` line and one `data:` line
        with a `FineTuningJobEvent`. The stream ends with `data: [DONE]`. A disconnected client
        continues by sending `Last-Event-ID`. If the API key is revoked, the stream ends with an
        error.

        Args:
            job_id: ID of a fine-tuning job in the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.FineTuningJobEvent,
            Request(
                "GET",
                at("fine_tuning", "jobs", job_id, "events"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )

    async def metrics(
        self,
        job_id: str,
        *,
        buckets: int | None = None,
        from_step: int | None = None,
        to_step: int | None = None,
        metrics: Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.JobMetrics:
        """Retrieve the metrics of a job by step, for a chart of a training of any length: the
        lowest, highest, mean and last value of each metric in each bucket, so that no spike is
        lost. Set `from_step` and `to_step` to look closer.

        Jobs of at least 4,000 steps store the values of about 2,000 steps, with the extremes
        between them. `FINETUNED_METRICS_KEPT_DAYS` after its end, a job has only the metrics in its
        result file.

        Args:
            job_id: ID of a fine-tuning job in the project.
            buckets: Maximum number of buckets of each metric.
            from_step: First step of the range. By default, the first.
            to_step: Last step of the range. By default, the last.
            metrics: Names of the metrics to return, such as `train_loss`. By default, all.
        """
        return await self._transport.request(
            types.JobMetrics,
            Request(
                "GET",
                at("fine_tuning", "jobs", job_id, "metrics"),
                params={
                    "buckets": buckets,
                    "from_step": from_step,
                    "to_step": to_step,
                    "metrics": metrics,
                },
                options=options,
            ),
        )

    async def estimate(
        self,
        *,
        model: str,
        training_file: str,
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
        **options: Unpack[RequestOptions],
    ) -> types.FineTuningEstimate:
        """Estimate a job from the request body for creating one, without creating it.

        The estimate includes the value chosen for every `auto` and the reason for it, the number of
        steps and tokens, the peak memory, whether the job fits the online workers, and its
        duration.

        A job that would fail because of its files is rejected with the same error. While a file is
        still being checked or measured, the response is 409 with the code `not_ready`; retry after
        `retry-after` seconds.

        Args:
            model: ID of the base model from the catalog.
            training_file: ID of the training file. The file may still be processing.
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
        """
        return await self._transport.request(
            types.FineTuningEstimate,
            Request(
                "POST",
                "fine_tuning/estimate",
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
                ),
                repeatable=True,
                options=options,
            ),
        )

    def list(
        self,
        *,
        file: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        status: Sequence[
            Literal[
                "validating_files",
                "queued",
                "running",
                "paused",
                "succeeded",
                "failed",
                "cancelled",
            ]
        ]
        | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.FineTuningJob]:
        """List the project's jobs, newest first. Filter by metadata with `metadata[key]=value`, or
        use `metadata=null` for jobs without metadata.

        Args:
            file: ID of a file that the jobs read.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
            status: Values of `status` to filter by.
            metadata: Metadata pairs that a job must all have, such as `metadata[team]=support`.
        """
        return self._transport.pages(
            types.FineTuningJob,
            Request(
                "GET",
                "fine_tuning/jobs",
                params={
                    "file": file,
                    "after": after,
                    "limit": limit,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                    "status": status,
                    "metadata": metadata,
                },
                options=options,
            ),
        )

    async def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.FineTuningJob], object] | None = None,
    ) -> types.FineTuningJob:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The job {job_id}")
        return await self._transport.wait(
            lambda: self.retrieve(job_id), deadline, on_change=on_change
        )


class AsyncFineTuningJobsWithRawResponse:
    """Raw responses of `client.fine_tuning.jobs`."""

    def __init__(self, resource: AsyncFineTuningJobsBase) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.cancel = async_raw(resource.cancel)
        self.pause = async_raw(resource.pause)
        self.resume = async_raw(resource.resume)
        self.list_events = async_raw_list(resource.list_events)
        self.metrics = async_raw(resource.metrics)
        self.estimate = async_raw(resource.estimate)
        self.list = async_raw_list(resource.list)


class AsyncFineTuning(AsyncResource):
    """Methods of `client.fine_tuning`."""

    @cached_property
    def alpha(self) -> AsyncFineTuningAlpha:
        """Alpha."""
        return AsyncFineTuningAlpha(self._transport)

    @cached_property
    def checkpoints(self) -> AsyncFineTuningCheckpoints:
        """Checkpoints."""
        return AsyncFineTuningCheckpoints(self._transport)

    @cached_property
    def jobs(self) -> AsyncFineTuningJobs:
        """Jobs."""
        from finetuned._async.jobs import AsyncFineTuningJobs

        return AsyncFineTuningJobs(self._transport)
