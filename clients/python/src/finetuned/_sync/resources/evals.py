# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.evals`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import Omit, RequestOptions, body_of, changes_of, omit
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource

if TYPE_CHECKING:
    from finetuned import params


class EvalsRunsOutputItems(Resource):
    """Methods of `client.evals.runs.output_items`."""

    @cached_property
    def with_raw_response(self) -> EvalsRunsOutputItemsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return EvalsRunsOutputItemsWithRawResponse(self)

    def retrieve(
        self,
        eval_id: str,
        run_id: str,
        output_item_id: str,
        *,
        personal_data: Literal["mask", "show"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.EvalRunOutputItem:
        """Retrieve an output item: the item, the prompt, the answer, and each grader's result.

        Args:
            eval_id: ID of an eval in the project.
            run_id: ID of a run of the eval.
            output_item_id: ID of an output item of the run.
            personal_data: Whether to show personal data in texts, or to replace it by labels such
                as `[EMAIL]`. The audit log notes who asked for it to be shown.
        """
        return self._transport.request(
            types.EvalRunOutputItem,
            Request(
                "GET",
                at("evals", eval_id, "runs", run_id, "output_items", output_item_id),
                params={"personal_data": personal_data},
                options=options,
            ),
        )

    def list(
        self,
        eval_id: str,
        run_id: str,
        *,
        status: Literal["pass", "fail", "failed", "error"] | None = None,
        personal_data: Literal["mask", "show"] | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.EvalRunOutputItem]:
        """List the output items of a run in the order in which they finished, also while the run is
        in progress.

        With `personal_data=mask`, values that are found to be personal, and numbers that may be,
        are replaced in the item, the prompt, the answer and the graders' texts.

        Args:
            eval_id: ID of an eval in the project.
            run_id: ID of a run of the eval.
            status: Status to filter by. `failed` is the same as `fail`.
            personal_data: Whether to show personal data in texts, or to replace it by labels such
                as `[EMAIL]`. The audit log notes who asked for it to be shown.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by time.
        """
        return self._transport.pages(
            types.EvalRunOutputItem,
            Request(
                "GET",
                at("evals", eval_id, "runs", run_id, "output_items"),
                params={
                    "status": status,
                    "personal_data": personal_data,
                    "after": after,
                    "limit": limit,
                    "order": order,
                },
                options=options,
            ),
        )


class EvalsRunsOutputItemsWithRawResponse:
    """Raw responses of `client.evals.runs.output_items`."""

    def __init__(self, resource: EvalsRunsOutputItems) -> None:
        self.retrieve = raw(resource.retrieve)
        self.list = raw_list(resource.list)


class EvalsRuns(Resource):
    """Methods of `client.evals.runs`."""

    @cached_property
    def output_items(self) -> EvalsRunsOutputItems:
        """Output items."""
        return EvalsRunsOutputItems(self._transport)

    @cached_property
    def with_raw_response(self) -> EvalsRunsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return EvalsRunsWithRawResponse(self)

    def create(
        self,
        eval_id: str,
        *,
        data_source: types.JsonlDataSource
        | params.JsonlDataSource
        | types.CompletionsDataSource
        | params.CompletionsDataSource
        | types.ResponsesDataSource
        | params.ResponsesDataSource,
        metadata: Mapping[str, str] | None = None,
        name: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.EvalRun:
        """Create a run of an eval. A worker samples an answer to each item and grades it, behind
        the requests of users.

        The status goes from `queued` to `in_progress`, and finally to `completed`, `failed` or
        `canceled`. With the data source `jsonl`, the items contain the answers. Stored chats
        without `input_messages` are graded with their own answers; to read them, the key needs
        `data.read`.

        Args:
            eval_id: ID of an eval in the project.
            data_source: Items of the run, and how they are answered.
            metadata: Key-value pairs of your own; up to 16.
            name: Name of the run.
        """
        return self._transport.request(
            types.EvalRun,
            Request(
                "POST",
                at("evals", eval_id, "runs"),
                json=body_of(data_source=data_source, metadata=metadata, name=name),
                idempotent=True,
                options=options,
            ),
        )

    def retrieve(
        self, eval_id: str, run_id: str, **options: Unpack[RequestOptions]
    ) -> types.EvalRun:
        """Retrieve a run: its status, its counters, and when it is expected to end.

        Args:
            eval_id: ID of an eval in the project.
            run_id: ID of a run of the eval.
        """
        return self._transport.request(
            types.EvalRun, Request("GET", at("evals", eval_id, "runs", run_id), options=options)
        )

    def delete(
        self, eval_id: str, run_id: str, **options: Unpack[RequestOptions]
    ) -> types.EvalRunDeleted:
        """Delete a run with its output items. A run in progress stops. `receipt` is the ID of a
        signed receipt.

        Args:
            eval_id: ID of an eval in the project.
            run_id: ID of a run of the eval.
        """
        return self._transport.request(
            types.EvalRunDeleted,
            Request("DELETE", at("evals", eval_id, "runs", run_id), options=options),
        )

    def cancel(self, eval_id: str, run_id: str, **options: Unpack[RequestOptions]) -> types.EvalRun:
        """Cancel a run, as `cancelEvalRun` does. OpenAI's SDK for Python uses this path, and its
        SDK for Node the other.

        Args:
            eval_id: ID of an eval in the project.
            run_id: ID of a run of the eval.
        """
        return self._transport.request(
            types.EvalRun,
            Request("POST", at("evals", eval_id, "runs", run_id, "cancel"), options=options),
        )

    def list(
        self,
        eval_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        status: Sequence[Literal["queued", "in_progress", "completed", "canceled", "failed"]]
        | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.EvalRun]:
        """List the runs of an eval, oldest first by default. A page can have fewer runs than
        `limit` if their requests contain many items.

        Args:
            eval_id: ID of an eval in the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by time.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
            status: Values of `status` to filter by.
        """
        return self._transport.pages(
            types.EvalRun,
            Request(
                "GET",
                at("evals", eval_id, "runs"),
                params={
                    "after": after,
                    "limit": limit,
                    "order": order,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                    "status": status,
                },
                options=options,
            ),
        )

    def wait(
        self,
        eval_id: str,
        run_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.EvalRun], object] | None = None,
    ) -> types.EvalRun:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The run {run_id}")
        return self._transport.wait(
            lambda: self.retrieve(eval_id, run_id), deadline, on_change=on_change
        )


class EvalsRunsWithRawResponse:
    """Raw responses of `client.evals.runs`."""

    def __init__(self, resource: EvalsRuns) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
        self.cancel = raw(resource.cancel)
        self.list = raw_list(resource.list)


class Evals(Resource):
    """Methods of `client.evals`."""

    @cached_property
    def runs(self) -> EvalsRuns:
        """Runs."""
        return EvalsRuns(self._transport)

    @cached_property
    def with_raw_response(self) -> EvalsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return EvalsWithRawResponse(self)

    def create(
        self,
        *,
        data_source_config: types.CreateEvalDataSourceConfig
        | params.CreateEvalDataSourceConfig
        | types.CreateEvalLogsDataSourceConfig
        | params.CreateEvalLogsDataSourceConfig,
        testing_criteria: Sequence[
            types.StringCheckGrader
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
            | params.LabelGrader
        ],
        metadata: Mapping[str, str] | None = None,
        name: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Eval:
        """Create an eval: the schema of its items, and the graders that judge each item. Then
        create runs of it, for different models and prompts.

        Args:
            data_source_config: Schema of the items, or which stored chats they are.
            testing_criteria: Graders of each item. Their names must be distinct.
            metadata: Key-value pairs of your own; up to 16.
            name: Name of the eval.
        """
        return self._transport.request(
            types.Eval,
            Request(
                "POST",
                "evals",
                json=body_of(
                    data_source_config=data_source_config,
                    testing_criteria=testing_criteria,
                    metadata=metadata,
                    name=name,
                ),
                idempotent=True,
                options=options,
            ),
        )

    def retrieve(self, eval_id: str, **options: Unpack[RequestOptions]) -> types.Eval:
        """Retrieve an eval with its schema and graders.

        Args:
            eval_id: ID of an eval in the project.
        """
        return self._transport.request(
            types.Eval, Request("GET", at("evals", eval_id), options=options)
        )

    def update(
        self,
        eval_id: str,
        *,
        metadata: Mapping[str, str] | Omit | None = omit,
        name: str | Omit | None = omit,
        **options: Unpack[RequestOptions],
    ) -> types.Eval:
        """Update the name or the metadata of an eval. Its schema and graders never change.

        Args:
            eval_id: ID of an eval in the project.
            metadata: New key-value pairs; null removes them.
            name: New name.
        """
        return self._transport.request(
            types.Eval,
            Request(
                "POST",
                at("evals", eval_id),
                json=changes_of(metadata=metadata, name=name) or None,
                options=options,
            ),
        )

    def delete(self, eval_id: str, **options: Unpack[RequestOptions]) -> types.EvalDeleted:
        """Delete an eval with all its runs and their output items. Runs in progress stop. `receipt`
        is the ID of a signed receipt.

        Args:
            eval_id: ID of an eval in the project.
        """
        return self._transport.request(
            types.EvalDeleted, Request("DELETE", at("evals", eval_id), options=options)
        )

    def compare(
        self,
        eval_id: str,
        *,
        runs: str,
        after: str | None = None,
        limit: int | None = None,
        change: Literal["worse", "missing", "equal", "better"] | None = None,
        format: Literal["json", "md"] | None = None,
        personal_data: Literal["mask", "show"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> str:
        """Compare ended runs of an eval: mean scores and paired differences with 95% confidence
        intervals, tokens and latency, and the items, those that got worse first.

        Items are paired by their content, so the runs may read different files. An item that a run
        could not sample or grade is missing in the differences.

        Args:
            eval_id: ID of an eval in the project.
            runs: IDs of 2 to 5 ended runs, separated by commas. The first is the baseline.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            change: Only items with this change. Defaults to all.
            format: Format: JSON or Markdown. Defaults to JSON, or to Markdown if the header
                `Accept` is `text/markdown`.
            personal_data: Whether to show personal data in texts, or to replace it by labels such
                as `[EMAIL]`. The audit log notes who asked for it to be shown.
        """
        return self._transport.request(
            str,
            Request(
                "GET",
                at("evals", eval_id, "compare"),
                params={
                    "runs": runs,
                    "after": after,
                    "limit": limit,
                    "change": change,
                    "format": format,
                    "personal_data": personal_data,
                },
                options=options,
            ),
        )

    def list(
        self,
        *,
        order_by: Literal["created_at", "updated_at"] | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.Eval]:
        """List the project's evals, oldest first by default.

        Args:
            order_by: Time to order by.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by time.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
        """
        return self._transport.pages(
            types.Eval,
            Request(
                "GET",
                "evals",
                params={
                    "order_by": order_by,
                    "after": after,
                    "limit": limit,
                    "order": order,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                },
                options=options,
            ),
        )


class EvalsWithRawResponse:
    """Raw responses of `client.evals`."""

    def __init__(self, resource: Evals) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.update = raw(resource.update)
        self.delete = raw(resource.delete)
        self.compare = raw(resource.compare)
        self.list = raw_list(resource.list)
