"""Checks the grader of a reinforcement job, alone and against the rows of its training file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter

from service.core.errors import BadRequest
from service.core.storage import Storage
from service.files.records import FileRecord, FileStatus
from service.grading.check import templates
from service.grading.errors import ItemFailed
from service.grading.schemas import Grader, MultiGrader
from service.grading.templates import Variable, lookup, parse_template

PARAM: Final = "method.reinforcement.grader"
_FIRST_ROWS, _FIRST_BYTES = 100, 1024 * 1024
_grader: Final[TypeAdapter[Grader]] = TypeAdapter(Grader)


@dataclass(frozen=True)
class MissingVariable:
    """A variable that a grader reads and rows lack. `param` is the grader's field that names it."""

    param: str
    variable: str
    lacking: int
    rows: int

    @property
    def is_in_no_row(self) -> bool:
        """Whether all rows lack it."""
        return self.lacking == self.rows

    def __str__(self) -> str:
        if self.is_in_no_row:
            return (
                f"The grader reads '{self.variable}', which none of the first {self.rows} rows of "
                "the training file has. Name a field of the rows, or add it to them."
            )
        return (
            f"The grader reads '{self.variable}', which {self.lacking} of the first {self.rows} "
            "rows of the training file do not have; their answers cannot be graded"
        )


def parse_grader(stored: dict[str, Any]) -> Grader:
    """Return the grader of a job's record."""
    return _grader.validate_python(stored)


async def check_rows(grader: Grader, storage: Storage, file: FileRecord) -> None:
    """Check a grader against the rows of a training file, if they are known. Raises BadRequest."""
    if file.row_format != "reinforcement" or file.status is not FileStatus.PROCESSED:
        return  # the preparation of the job checks it
    for missing in await find_missing_variables(grader, storage, file):
        if missing.is_in_no_row:
            raise BadRequest(str(missing), param=missing.param, code="invalid_grader")


async def find_missing_variables(
    grader: Grader, storage: Storage, file: FileRecord
) -> list[MissingVariable]:
    """Return the variables that the grader reads and the first rows of a checked file lack."""
    stream = await storage.stream(file.canonical_key, 0, _FIRST_BYTES)
    return missing_variables(grader, _items(await _lines(stream)))


def missing_variables(grader: Grader, items: Sequence[dict[str, Any]]) -> list[MissingVariable]:
    """Return the variables that items lack. Those that a Python grader reads are unknown."""
    if not items:
        return []
    lacking = (
        (param, variable, sum(not _has(item, variable) for item in items))
        for param, variable in _item_variables(grader, PARAM)
    )
    return [MissingVariable(param, str(name), n, len(items)) for param, name, n in lacking if n]


def _item_variables(grader: Grader, at: str) -> Iterator[tuple[str, Variable]]:
    if isinstance(grader, MultiGrader):
        for name, part in grader.named.items():
            yield from _item_variables(part, f"{at}.graders.{name}")
    for param, text in templates(grader):
        if param == "human_label":
            continue
        for variable in parse_template(text).variables:
            if variable.namespace == "item":
                yield f"{at}.{param}", variable


def _has(item: dict[str, Any], variable: Variable) -> bool:
    try:
        lookup(variable, {"item": item})
    except ItemFailed:
        return False
    return True


async def _lines(stream: AsyncIterator[bytes]) -> list[bytes]:
    """Return the whole lines at the beginning of a file."""
    head = b"".join([chunk async for chunk in stream])
    lines = head.split(b"\n")
    return lines[: max(1, len(lines) - 1)][:_FIRST_ROWS]


def _items(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    items = []
    for line in lines:
        try:
            items.append(msgspec.json.decode(line)["item"])
        except msgspec.DecodeError:  # a row that is longer than the head
            break
    return items
