"""Data sets: what takes time is created, waited for, and returned with its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.pages import AsyncPage
from finetuned._async.resources.dataset_cleanings import AsyncDatasetCleanings
from finetuned._async.resources.dataset_diffs import AsyncDatasetDiffs
from finetuned._async.resources.dataset_merges import AsyncDatasetMerges
from finetuned._async.resources.dataset_previews import AsyncDatasetPreviews
from finetuned._async.resources.dataset_reports import AsyncDatasetReports
from finetuned._async.transport import AsyncResource
from finetuned._paginator import AsyncPaginator, async_paginator
from finetuned.errors import OperationFailed

if TYPE_CHECKING:
    from finetuned import params

T = TypeVar("T")


class AsyncDatasets(AsyncResource):
    """Reports, previews, comparisons, cleanings and merges of files, once they are completed.

    Each method creates an operation and waits for it, up to `timeout_s`. It raises OperationFailed
    if the operation ends without a result.
    """

    async def clean(
        self, *, timeout_s: float | None = None, **options: Unpack[params.CreateDatasetCleaning]
    ) -> types.DatasetCleaning:
        """Create clean files from a file. The original file is not changed.

        The options are those of `dataset_cleanings.create`.
        """
        cleanings = AsyncDatasetCleanings(self._transport)
        made = await cleanings.create(**options)
        return completed(await cleanings.wait(made.id, timeout_s=timeout_s))

    async def merge(
        self,
        files: Sequence[str | types.FileToMerge | params.FileToMerge],
        *,
        timeout_s: float | None = None,
        **options: Any,
    ) -> types.DatasetMerge:
        """Merge files into a new file. The files are not changed.

        A file is an ID, or a `FileToMerge` with a maximum number of rows or a weight. The options
        are those of `dataset_merges.create`.
        """
        merges = AsyncDatasetMerges(self._transport)
        given: list[Any] = [{"file_id": f} if isinstance(f, str) else f for f in files]
        made = await merges.create(files=given, **options)
        return completed(await merges.wait(made.id, timeout_s=timeout_s))

    async def preview(
        self, *, timeout_s: float | None = None, **options: Unpack[params.CreateDatasetPreview]
    ) -> types.DatasetPreviewContent:
        """Return the first rows of a file as they are read, and the format options it allows.

        The options are those of `dataset_previews.create`.
        """
        previews = AsyncDatasetPreviews(self._transport)
        made = await previews.create(**options)
        completed(await previews.wait(made.id, timeout_s=timeout_s))
        return await previews.content(made.id)

    async def report(
        self, *, timeout_s: float | None = None, **options: Unpack[params.CreateDatasetReport]
    ) -> types.DatasetReportContent:
        """Return statistics, findings and advice on a data set.

        The options are those of `dataset_reports.create`.
        """
        found = await self.report_text(format="json", timeout_s=timeout_s, **options)
        return types.DatasetReportContent.model_validate_json(found)

    async def report_text(
        self,
        *,
        format: Literal["json", "md", "html"] = "md",
        timeout_s: float | None = None,
        **options: Unpack[params.CreateDatasetReport],
    ) -> str:
        """Return a report as Markdown, as an HTML page, or as JSON."""
        reports = AsyncDatasetReports(self._transport)
        made = await reports.create(**options)
        completed(await reports.wait(made.id, timeout_s=timeout_s))
        return await reports.content(made.id, format=format)

    def rows(
        self,
        file_id: str,
        *,
        models: Sequence[str] | None = None,
        timeout_s: float | None = None,
        **filters: Any,
    ) -> AsyncPaginator[types.FileRow]:
        """List rows of a data set with what a report found in them.

        The filters are those of `dataset_reports.rows`, and `models` the base models of the report.
        """
        return async_paginator(lambda: self._rows(file_id, models, timeout_s, filters))

    async def _rows(
        self,
        file_id: str,
        models: Sequence[str] | None,
        timeout_s: float | None,
        filters: dict[str, Any],
    ) -> AsyncPage[types.FileRow]:
        reports = AsyncDatasetReports(self._transport)
        made = await reports.create(file_id=file_id, models=models)
        completed(await reports.wait(made.id, timeout_s=timeout_s))
        return await reports.rows(made.id, **filters)

    async def diff(
        self, *, timeout_s: float | None = None, **options: Unpack[params.CreateDatasetDiff]
    ) -> types.DatasetDiff:
        """Compare a file with a later one. `dataset_diffs.content` and `rows` have the details.

        Broken rows of the first file are left out; the second must be usable for training.
        """
        diffs = AsyncDatasetDiffs(self._transport)
        made = await diffs.create(**options)
        return completed(await diffs.wait(made.id, timeout_s=timeout_s))


def completed(operation: T) -> T:
    """Return an operation that has ended. Raises OperationFailed if it has no result."""
    found: Any = operation
    if found.status != "completed":
        error = found.error
        raise OperationFailed(
            error.message if error else f"{found.id} was {found.status}.",
            code=error.code if error else found.status,
            param=error.param if error else None,
        )
    return operation
