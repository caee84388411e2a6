"""Rows that call tools, beside base models whose chat template does not write calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.duplicates.find import Lines
from service.datasets.report.collect import Collected
from service.datasets.rows.templates import takes_tools


class ToolRows(NamedTuple):
    """The lines of the rows that call a tool or hold its result, and the models for which they
    are of no use."""

    lines: list[int]
    lacking: list[str]


def tell_tool_rows(
    collected: Collected, tokenizers: Mapping[str, Path], lines: Lines, log: IssueLog
) -> ToolRows:
    """An issue for each model that such rows cannot be trained on, at the first of them.

    `tokenizers` are tokenizer.json files by model, each in its model's folder.
    """
    rows = [int(lines[row]) for row in np.flatnonzero(collected.features["tools"])]
    if not rows:
        return ToolRows([], [])
    lacking = [model for model, path in tokenizers.items() if takes_tools(path.parent) is False]
    for model in lacking:
        log.add(make_issue("tools_not_supported", rows[0], model=model, rows=len(rows)))
    return ToolRows(rows, lacking)
