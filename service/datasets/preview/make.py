"""Makes the preview of a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from service.datasets.checks.issues import IssueLog
from service.datasets.errors import DatasetError
from service.datasets.formats.options import FormatOptions
from service.datasets.preview.alternatives import find_alternatives
from service.datasets.preview.cut import cut_issue
from service.datasets.preview.preview import Preview
from service.datasets.preview.reading import Reading

_MAX_FINDINGS = 50
_MAX_OF_A_CODE = 5  # of the same finding, such as a line in another encoding


def make_preview(path: Path, options: FormatOptions, *, limit: int, work: Path) -> Preview:
    """Read the first `limit` rows of a file. What is wrong with the file is part of the preview.

    Rows are read only as far as necessary, but a file is unpacked and transcoded as a whole.
    Temporary copies are created in the folder `work`.
    """
    log = IssueLog(_MAX_FINDINGS, code_limit=_MAX_OF_A_CODE)
    reading, error = Reading(options, limit, log), None
    with (
        tempfile.TemporaryDirectory(dir=work, prefix=".unpacked-") as copies,
        tempfile.TemporaryDirectory(dir=work, prefix=".detected-") as others,
    ):
        try:
            reading.read(path, Path(copies))
        except DatasetError as e:
            error = cut_issue(e.issue)
        return Preview(
            found=reading.found(),
            error=error,
            rows=reading.rows,
            findings=[cut_issue(issue) for issue in log.issues],
            alternatives=find_alternatives(reading, Path(others)),
        )
