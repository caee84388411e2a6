"""`/v1/files/{id}/reviews`: what people decide on single rows of a file."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query

from service.core.errors import BadRequest, LimitReached
from service.core.records import Missing
from service.datasets.rows.canonical import canonical_line
from service.datasets.rows.lines import parse
from service.files.curation.operations import require_rows
from service.files.curation.reviews.records import (
    MAX_REVIEWS,
    ReviewRecord,
    Reviews,
    ReviewText,
    TooManyReviews,
)
from service.files.curation.reviews.schemas import (
    PutRowReview,
    RowReview,
    RowReviewCounts,
    RowReviewList,
)
from service.files.records import FileRecord, ReviewLabel
from service.files.routes import Store, require_file
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, Paged, Resource, deleted, list_of

router = APIRouter(prefix="/v1/files/{file_id}/reviews", tags=["Data sets"])

REVIEW: Final = Resource("review", "line", label="line")
ReviewStore = Annotated[Reviews, Depends(resource("reviews"))]
Line = Annotated[
    int, Path(ge=1, le=2**32 - 1, description="Line of the row in the uploaded file, from 1.")
]


async def _reviewed_file(file_id: str, caller: Caller, files: Store) -> FileRecord:
    file = await require_file(files, caller.project_id, file_id)
    require_rows(file, "file_id", "have reviews")
    return file


ReviewedFile = Annotated[FileRecord, Depends(_reviewed_file)]


@router.get(
    "",
    operation_id="listRowReviews",
    summary="List the reviews of a file",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.REVIEWS_READ),
)
async def list_reviews(
    file: ReviewedFile,
    reviews: ReviewStore,
    paging: Paged,
    label: Annotated[ReviewLabel | None, Query(description="Label to filter by.")] = None,
) -> RowReviewList:
    """List the reviews of a file in the order of its lines, with the number of reviews by label."""
    page = reviews.page(file, label, after=paging.after, limit=paging.limit)
    found = await REVIEW.read(page)
    read = await reviews.read(found.items)
    audit_trail.count(reviews=len(read))
    counts = await reviews.counts(file)
    listed = list_of([RowReview.from_record(*one) for one in read], found.has_more)
    return RowReviewList(
        **dict(listed),
        counts=RowReviewCounts(**{label.value: count for label, count in counts.items()}),
    )


@router.get(
    "/{line}",
    operation_id="getRowReview",
    summary="Get the review of a row",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.REVIEWS_READ),
)
async def get_review(line: Line, file: ReviewedFile, reviews: ReviewStore) -> RowReview:
    """Get the review of a row."""
    [found] = await reviews.read([await _existing(reviews, file, line)])
    return RowReview.from_record(*found)


@router.put(
    "/{line}",
    operation_id="putRowReview",
    summary="Review a row",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.REVIEW_UPDATED),
)
async def set_review(
    line: Line, body: PutRowReview, caller: Caller, file: ReviewedFile, reviews: ReviewStore
) -> RowReview:
    """Write the review of a row, or replace it. If several people review a row, the last review
    counts.

    A cleaning with `use_reviews` applies the reviews of its file: it keeps, drops and replaces rows
    as the labels say. Reviews are deleted with their file.
    """
    text = ReviewText(_checked(body, line, file), body.note)
    try:
        record = await reviews.set(file, line, body.label, text, _name(caller))
    except TooManyReviews as e:
        raise LimitReached(
            f"The file already has {MAX_REVIEWS:,} reviews, which is the maximum. Clean it with "
            "'use_reviews', and go on with the new file."
        ) from e
    except Missing as e:
        raise Resource("file").not_found(file.id) from e
    return RowReview.from_record(record, text)


@router.delete(
    "/{line}",
    operation_id="deleteRowReview",
    summary="Delete the review of a row",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.REVIEW_DELETED),
)
async def delete_review(line: Line, file: ReviewedFile, reviews: ReviewStore) -> Deleted:
    """Delete the review of a row with its text."""
    record = await _existing(reviews, file, line)
    if not await reviews.delete(file, record):
        raise REVIEW.not_found(str(line))
    return deleted(record.id, "file.review")


async def _existing(reviews: Reviews, file: FileRecord, line: int) -> ReviewRecord:
    return REVIEW.get_or_404(await reviews.get(file, line), str(line))


def _checked(body: PutRowReview, line: int, file: FileRecord) -> dict[str, object] | None:
    """Return the edited row. Raises BadRequest if jobs could not train on it.

    The format of the rows is unknown before the file was checked, and if it cannot be read.
    """
    if body.row is None:
        return None
    try:
        written = msgspec.json.encode(body.row)
    except (UnicodeEncodeError, RecursionError) as e:
        raise BadRequest(
            "The row cannot be stored: a string in it is not Unicode, or it is nested too deeply.",
            param="row",
            code="invalid_value",
        ) from e
    if file.row_format is None:
        _, issue = parse(written)
    else:
        _, issue = canonical_line(written, line, file.row_format)
    if issue is not None:
        place = f" at {issue.pointer}" if issue.pointer else ""
        raise BadRequest(
            f"The row is not valid{place}: {issue.message} {issue.fix}",
            param="row",
            code="invalid_value",
        )
    return body.row


def _name(caller: Principal) -> str:
    return caller.token_subject or caller.key_id
