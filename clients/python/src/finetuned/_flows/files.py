"""Files: metadata, content, previews, data reports, comparisons, cleanings and merges."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from finetuned._flows.common import Deadline, Page, at, listed, wait_for_end, wait_until
from finetuned._flows.downloads import save
from finetuned._flows.source import Source
from finetuned._http import Answer, Request, body_of, parse, retry_after_s
from finetuned._steps import (
    Flow,
    Item,
    Items,
    fetch,
    run,
    send,
)
from finetuned.errors import CleaningFailed, FileRefused, MergeFailed
from finetuned.types import (
    CleaningObject,
    DiffRowObject,
    FileDeleted,
    FileDiff,
    FileObject,
    FilePreview,
    FileReport,
    FileToMerge,
    FormatFields,
    MergeObject,
    RowObject,
)

Row = TypeVar("Row", RowObject, DiffRowObject)
Keep = Literal["keep", "first", "last", "most_common", "longest", "drop"]
_POLL_S = 0.5
_PAGE = 100
_SEARCHED = 1_000  # newest files among which `find` looks


def list_files(
    *,
    purpose: str | None = None,
    order: str = "desc",
    limit: int | None = None,
    after: str | None = None,
) -> Items[FileObject]:
    """List the project's files, newest first."""
    params = {"purpose": purpose, "order": order}
    return listed(FileObject, "files", limit=limit, after=after, params=params)


def find(
    source: str | os.PathLike[str] | bytes, *, purpose: str = "fine-tune"
) -> Flow[FileObject | None]:
    """Return an uploaded file with the bytes of a local file (a path), or None if there is none.

    Looks among the newest 1,000 files of the purpose. Files that cannot be used, that expire, or
    that were uploaded with format options are not returned.
    """
    given = yield from run(lambda: Source.of(source, "data"))
    digest, after = "", None
    for _ in range(_SEARCHED // _PAGE):
        params = {"purpose": purpose, "limit": _PAGE, "after": after}
        page = yield from fetch(Page[FileObject], Request("GET", "files", params=params))
        for file in page.data:
            if file.bytes == given.size and _is_as_if_just_uploaded(file):
                digest = digest or (yield from run(given.sha256))
                if file.sha256 == digest:
                    return file
        if not page.has_more or not page.data:
            break
        after = page.data[-1].id
    return None


def _is_as_if_just_uploaded(file: FileObject) -> bool:
    return file.status != "error" and file.expires_at is None and not file.format


def retrieve(file_id: str) -> Flow[FileObject]:
    """Retrieve a file, with its validation result."""
    return fetch(FileObject, Request("GET", at("files", file_id)))


def delete(file_id: str, *, cascade: bool = False) -> Flow[FileDeleted]:
    """Delete a file and its content. Models trained on it are kept and listed in `models`.

    With `cascade`, they are deleted too, with their checkpoints, exports and evaluations.
    """
    params = {"cascade": "true"} if cascade else {}
    return fetch(FileDeleted, Request("DELETE", at("files", file_id), params=params))


def wait(file_id: str, *, timeout_s: float | None = None) -> Flow[FileObject]:
    """Wait until a file is validated. Raises FileRefused if it cannot be used for training."""
    file = yield from wait_until(
        lambda file: file.status in ("processed", "error"),
        lambda: retrieve(file_id),
        Deadline(timeout_s, f"The check of {file_id}"),
        pause_s=lambda _: _POLL_S,
    )
    if file.status == "error":
        raise FileRefused(
            f"{file.filename} cannot be used: {file.status_details or 'no reason given'}",
            code="invalid_training_file",
            next_step=f"Run `finetuned files report {file.id}` to see how to fix each error, "
            f"or `finetuned files preview {file.id}` to see how the file is read.",
        )
    return file


def content(file_id: str) -> Flow[bytes]:
    """Return the bytes exactly as uploaded, in memory. Use `download` for large files."""
    answer = yield from send(Request("GET", at("files", file_id, "content")))
    return answer.content


def download(file_id: str, to: str | os.PathLike[str]) -> Flow[Path]:
    """Download the bytes to a local file, which is written atomically."""
    return (yield from save(Request("GET", at("files", file_id, "content")), to))


def preview(
    file_id: str,
    *,
    format: FormatFields | dict[str, Any] | None = None,
    limit: int | None = None,
    timeout_s: float | None = None,
) -> Flow[FilePreview]:
    """Return the first rows of a file as they are read, and the format options that it allows.

    `format` is tried instead of the options given at upload; with `{}`, everything is detected.
    Works for files that cannot be used, too. Waits until the preview is ready.
    """
    body = body_of(file_id=file_id, format=format, limit=limit)
    request = Request("POST", at("files", "preview"), json=body, repeatable=True)
    answer = yield from _ready(request, Deadline(timeout_s, f"The preview of {file_id}"))
    return parse(FilePreview, answer)


def report(
    file_id: str,
    *,
    model: str | None = None,
    validation_file: str | None = None,
    timeout_s: float | None = None,
) -> Flow[FileReport]:
    """Return statistics, findings and advice on a data set. Waits until the report is ready.

    `model` is the base model whose tokenizer is used (all of them if omitted). The report flags
    rows of `validation_file` that also occur in the file.
    """
    view = {"model": model, "validation_file": validation_file}
    answer = yield from _reported(file_id, view, "json", timeout_s)
    return parse(FileReport, answer)


def report_text(
    file_id: str,
    *,
    form: Literal["md", "html"] = "md",
    model: str | None = None,
    validation_file: str | None = None,
    timeout_s: float | None = None,
) -> Flow[str]:
    """Return the report as Markdown or as an HTML page. Waits until the report is ready."""
    view = {"model": model, "validation_file": validation_file}
    answer = yield from _reported(file_id, view, form, timeout_s)
    return answer.content.decode()


def _reported(
    file_id: str, view: dict[str, str | None], form: str, timeout_s: float | None
) -> Flow[Answer]:
    params = {**view, "format": form}
    deadline = Deadline(timeout_s, f"The report on {file_id}")
    request = Request("GET", at("files", file_id, "report"), params=params)
    return (yield from _ready(request, deadline))


def _ready(request: Request, deadline: Deadline) -> Flow[Answer]:
    """Repeat a request until the report or preview that it needs is ready."""
    return wait_until(
        lambda answer: answer.status != 202,
        lambda: send(request),
        deadline,
        pause_s=lambda answer: min(retry_after_s(answer.headers) or _POLL_S, 10.0),
    )


def rows(
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
) -> Items[RowObject]:
    """List rows of a data set with what the report found in them. Waits until it is ready.

    `issue` is the code of a finding that the rows have, and `max_score` their highest score, from
    0 to 1. `sort="score"` lists the lowest scores first; the default is the order of the file.
    `after` is the line to start after. `model` is the base model of the report (all if omitted).
    """
    params = {
        "issue": issue,
        "language": language,
        "max_score": max_score,
        "sort": sort,
        "model": model,
    }
    deadline = Deadline(timeout_s, f"The report on {file_id}")
    return _pages(RowObject, at("files", file_id, "rows"), params, after, limit, deadline)


def diff(file_id: str, other_file: str, *, timeout_s: float | None = None) -> Flow[FileDiff]:
    """Compare a file with a later one: rows that differ, and what shifts. Waits until it is ready.

    Broken rows of the first file are left out; the second must be usable for training.
    """
    request = Request("GET", at("files", file_id, "diff"), params={"other_file": other_file})
    answer = yield from _ready(request, Deadline(timeout_s, f"The comparison of {file_id}"))
    return parse(FileDiff, answer)


def diff_rows(
    file_id: str,
    other_file: str,
    *,
    change: Literal["changed", "removed", "added"] | None = None,
    after: int | None = None,
    limit: int | None = None,
    timeout_s: float | None = None,
) -> Items[DiffRowObject]:
    """List the rows that differ between a file and a later one. Waits until they are ready.

    Changed rows come first, then removed ones, then added ones. `after` is the position (the ID of
    a row) after which to start.
    """
    params = {"other_file": other_file, "change": change}
    deadline = Deadline(timeout_s, f"The comparison of {file_id}")
    return _pages(
        DiffRowObject, at("files", file_id, "diff", "rows"), params, after, limit, deadline
    )


def _pages(
    kind: type[Row],
    path: str,
    params: dict[str, Any],
    after: int | None,
    limit: int | None,
    deadline: Deadline,
) -> Items[Row]:
    """List rows, whose IDs are their positions, once the task that finds them is completed."""
    left = limit
    while left is None or left > 0:
        cursor = {"after": after, "limit": _PAGE if left is None else min(left, _PAGE)}
        request = Request("GET", path, params={**params, **cursor})
        answer = yield from _ready(request, deadline)
        page: Page[Any] = parse(Page[kind], answer)  # type: ignore[valid-type]
        for row in page.data:
            yield Item(row)
        if not page.has_more or not page.data:
            return
        left = None if left is None else left - len(page.data)
        after = int(page.data[-1].id)


def clean(
    file_id: str,
    *,
    drop_broken: bool | None = None,
    exact_duplicates: bool | None = None,
    near_duplicates: bool | None = None,
    near_threshold: float | None = None,
    contradictions: Keep | None = None,
    personal_data: Literal["keep", "mask", "pseudonym"] | None = None,
    possible_personal_data: bool | None = None,
    unicode: Literal["keep", "NFC", "NFKC"] | None = None,
    mend_mojibake: bool | None = None,
    drop_control_characters: bool | None = None,
    validation_share: float | None = None,
    seed: int | None = None,
    decisions_file: str | None = None,
    format: FormatFields | dict[str, Any] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> Flow[CleaningObject]:
    """Create clean files from a file and wait for them. The original file is not changed.

    Omitted options use the server's defaults. Raises CleaningFailed if the cleaning fails.
    """
    options = body_of(
        drop_broken=drop_broken,
        exact_duplicates=exact_duplicates,
        near_duplicates=near_duplicates,
        near_threshold=near_threshold,
        contradictions=contradictions,
        personal_data=personal_data,
        possible_personal_data=possible_personal_data,
        unicode=unicode,
        mend_mojibake=mend_mojibake,
        drop_control_characters=drop_control_characters,
        validation_share=validation_share,
        seed=seed,
        decisions_file=decisions_file,
        format=format,
    )
    request = Request(
        "POST",
        at("files", file_id, "clean"),
        json=options,
        headers=once(idempotency_key),
    )
    cleaning = yield from fetch(CleaningObject, request)
    cleaning = yield from wait_for_end(
        cleaning,
        lambda: cleaning_of(file_id, cleaning.id),
        Deadline(timeout_s, f"The cleaning {cleaning.id}"),
    )
    if cleaning.error is not None:
        raise CleaningFailed(cleaning.error.message, code=cleaning.error.code)
    return cleaning


def cleaning_of(file_id: str, cleaning_id: str) -> Flow[CleaningObject]:
    """Retrieve a cleaning: its status and the files it produced."""
    return fetch(CleaningObject, Request("GET", at("files", file_id, "clean", cleaning_id)))


def cleanings(file_id: str, *, limit: int | None = None) -> Items[CleaningObject]:
    """List the cleanings of a file, newest first."""
    return listed(CleaningObject, at("files", file_id, "clean"), limit=limit)


def merge(
    files: Sequence[str | FileToMerge | dict[str, Any]],
    *,
    filename: str | None = None,
    exact_duplicates: bool | None = None,
    balance: Literal["none", "files", "languages"] | None = None,
    seed: int | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> Flow[MergeObject]:
    """Merge files into a new file and wait for it. The files are not changed.

    A file is an ID, or a `FileToMerge` with a maximum number of rows or a weight. Omitted options
    use the server's defaults. Raises MergeFailed if the merge fails.
    """
    given = [{"file_id": file} if isinstance(file, str) else file for file in files]
    body = body_of(
        files=given,
        filename=filename,
        exact_duplicates=exact_duplicates,
        balance=balance,
        seed=seed,
    )
    request = Request("POST", at("files", "merge"), json=body, headers=once(idempotency_key))
    found = yield from fetch(MergeObject, request)
    found = yield from wait_for_end(
        found,
        lambda: merging(found.file_id, found.id),
        Deadline(timeout_s, f"The merge {found.id}"),
    )
    if found.error is not None:
        raise MergeFailed(found.error.message, code=found.error.code)
    return found


def merging(file_id: str, merge_id: str) -> Flow[MergeObject]:
    """Retrieve a merge, whose first file is `file_id`: its status and the file it produced."""
    return fetch(MergeObject, Request("GET", at("files", file_id, "merges", merge_id)))


def merges(file_id: str, *, limit: int | None = None) -> Items[MergeObject]:
    """List the merges whose first file this is, newest first."""
    return listed(MergeObject, at("files", file_id, "merges"), limit=limit)


def once(key: str | None) -> dict[str, str]:
    """Return an idempotency header, with which a repeated create takes effect once."""
    return {"idempotency-key": key or os.urandom(16).hex()}
