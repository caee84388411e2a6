"""Reading of a data set: its canonical rows, their lines and their features."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.datasets.checks.issues import MAX_LISTED
from service.datasets.contract import ConvertResult
from service.datasets.duplicates.groups import Lines
from service.datasets.formats.convert import prepare
from service.datasets.formats.options import FormatOptions
from service.datasets.report.collect import Collected, Progress, collect
from service.datasets.report.features import FeatureOptions


class FileRows(NamedTuple):
    """The valid rows of a file: how they were read, their lines, and their features."""

    result: ConvertResult
    lines: Lines
    collected: Collected


def read_file(
    path: Path,
    folder: Path,
    file_format: FormatOptions,
    features: FeatureOptions,
    *,
    max_issues: int = MAX_LISTED,
    processes: int = 1,
    progress: Progress | None = None,
) -> FileRows:
    """Read a file of any format. Its canonical rows and temporary files go to `folder`."""
    folder.mkdir(exist_ok=True)
    canonical = folder / "canonical"
    prepared = prepare(path, canonical, file_format, processes=processes, max_issues=max_issues)
    collected = collect(
        canonical,
        prepared.result.rows,
        folder,
        features,
        processes=processes,
        progress=progress,
    )
    return FileRows(prepared.result, np.array(prepared.lines, dtype=np.uint32), collected)
