"""Data sets: what takes time is created, waited for, and returned with its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx2
from typing_extensions import Unpack

from finetuned import types
from finetuned._async.pages import AsyncPage
from finetuned._async.resources.dataset_cleanings import AsyncDatasetCleanings
from finetuned._async.resources.dataset_merges import AsyncDatasetMerges
from finetuned._async.transport import AsyncResource
from finetuned._concurrency import async_sleep
from finetuned._options import body_of
from finetuned._paginator import AsyncPaginator, async_paginator
from finetuned._request import Request, at, parse, retry_after_s
from finetuned._retry import Deadline
from finetuned.errors import CleaningFailed, MergeFailed

if TYPE_CHECKING:
    from finetuned import params

T = TypeVar("T")


class AsyncDatasets(AsyncResource):
    """Reports, previews, comparisons, cleanings and merges of files, once they are completed."""

    async def clean(
        self,
        file_id: str,
        *,
        timeout_s: float | None = None,
        **options: Unpack[params.CreateFileCleaning],
    ) -> types.FileCleaning:
        """Create clean files from a file and wait for them. The original file is not changed.

        The options are those of `dataset_cleanings.create`. Raises CleaningFailed if it fails.
        """
        cleanings = AsyncDatasetCleanings(self._transport)
        made = await cleanings.create(file_id, **options)
        found = await cleanings.wait(file_id, made.id, timeout_s=timeout_s)
        if found.error is not None:
            raise CleaningFailed(found.error.message, code=found.error.code)
        return found

    async def merge(
        self,
        files: Sequence[str | types.FileToMerge | params.FileToMerge],
        *,
        timeout_s: float | None = None,
        **options: Any,
    ) -> types.FileMerge:
        """Merge files into a new file and wait for it. The files are not changed.

        A file is an ID, or a `FileToMerge` with a maximum number of rows or a weight. The options
        are those of `dataset_merges.create`. Raises MergeFailed if the merge fails.
        """
        merges = AsyncDatasetMerges(self._transport)
        given: list[Any] = [{"file_id": f} if isinstance(f, str) else f for f in files]
        made = await merges.create(files=given, **options)
        found = await merges.wait(made.file_id, made.id, timeout_s=timeout_s)
        if found.error is not None:
            raise MergeFailed(found.error.message, code=found.error.code)
        return found

    async def preview(
        self,
        file_id: str,
        *,
        format: types.FileFormat | params.FileFormat | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> types.FilePreview:
        """Return the first rows of a file as they are read, and the format options it allows.

        `format` is tried instead of the options given at upload; with `{}`, everything is
        detected. Works for files that cannot be used, too.
        """
        body = body_of(file_id=file_id, format=format, limit=limit)
        request = Request("POST", "files/preview", json=body, repeatable=True)
        response = await self._ready(request, Deadline(timeout_s, f"The preview of {file_id}"))
        return parse(types.FilePreview, response)

    async def report(
        self,
        file_id: str,
        *,
        model: str | None = None,
        validation_file: str | None = None,
        timeout_s: float | None = None,
    ) -> types.FileReport:
        """Return statistics, findings and advice on a data set.

        `model` is the base model whose tokenizer is used (all of them if omitted). The report
        flags rows of `validation_file` that also occur in the file.
        """
        view = {"model": model, "validation_file": validation_file}
        return parse(types.FileReport, await self._report(file_id, view, timeout_s))

    async def report_text(
        self,
        file_id: str,
        *,
        form: Literal["md", "html"] = "md",
        model: str | None = None,
        validation_file: str | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Return the report as Markdown or as an HTML page."""
        view = {"model": model, "validation_file": validation_file, "format": form}
        return (await self._report(file_id, view, timeout_s)).text

    async def _report(
        self, file_id: str, view: dict[str, str | None], timeout_s: float | None
    ) -> httpx2.Response:
        request = Request("GET", at("files", file_id, "report"), view)
        return await self._ready(request, Deadline(timeout_s, f"The report on {file_id}"))

    def rows(
        self,
        file_id: str,
        *,
        issue: str | None = None,
        language: str | None = None,
        max_score: float | None = None,
        sort: Literal["line", "score"] | None = None,
        model: str | None = None,
        after: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> AsyncPaginator[types.FileRow]:
        """List rows of a data set with what the report found in them.

        `issue` is the code of a finding that the rows have, and `max_score` their highest score,
        from 0 to 1. `sort="score"` lists the lowest scores first. `after` is the line to start
        after. `model` is the base model of the report (all if omitted).
        """
        params = {
            "issue": issue,
            "language": language,
            "max_score": max_score,
            "sort": sort,
            "model": model,
            "after": after,
            "limit": limit,
        }
        request = Request("GET", at("files", file_id, "rows"), params)
        deadline = Deadline(timeout_s, f"The report on {file_id}")
        return async_paginator(lambda: self._page(types.FileRow, request, deadline))

    async def diff(
        self, file_id: str, other_file: str, *, timeout_s: float | None = None
    ) -> types.FileDiff:
        """Compare a file with a later one: rows that differ, and what shifts.

        Broken rows of the first file are left out; the second must be usable for training.
        """
        request = Request("GET", at("files", file_id, "diff"), {"other_file": other_file})
        deadline = Deadline(timeout_s, f"The comparison of {file_id}")
        return parse(types.FileDiff, await self._ready(request, deadline))

    def diff_rows(
        self,
        file_id: str,
        other_file: str,
        *,
        change: Literal["changed", "removed", "added"] | None = None,
        after: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> AsyncPaginator[types.FileDiffRow]:
        """List the rows that differ between a file and a later one.

        Changed rows come first, then removed ones, then added ones. `after` is the position (the
        ID of a row) after which to start.
        """
        params = {"other_file": other_file, "change": change, "after": after, "limit": limit}
        request = Request("GET", at("files", file_id, "diff", "rows"), params)
        deadline = Deadline(timeout_s, f"The comparison of {file_id}")
        return async_paginator(lambda: self._page(types.FileDiffRow, request, deadline))

    async def _page(self, kind: type[T], request: Request, deadline: Deadline) -> AsyncPage[T]:
        await self._ready(request, deadline)
        return await self._transport.page(kind, request)

    async def _ready(self, request: Request, deadline: Deadline) -> httpx2.Response:
        """Repeat a request until what it needs is ready."""
        while True:
            response = await self._transport.send(request)
            if response.status_code != 202:
                return response
            deadline.check()
            await async_sleep(min(retry_after_s(response.headers) or 0.5, 10.0))
