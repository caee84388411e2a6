"""Detection of rows with tool calls that a base model's chat template does not support."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.duplicates.groups import Lines
from service.datasets.report.collect import Collected


class ToolRows(NamedTuple):
    """Lines of the rows that use tools, and the models that cannot be trained on them.

    A row uses tools if it calls a tool or contains a tool result.
    """

    lines: list[int]
    lacking: list[str]


def log_tool_rows(
    collected: Collected, tokenizers: Mapping[str, Path], lines: Lines, log: IssueLog
) -> ToolRows:
    """Report each model that cannot be trained on rows with tools, at the first such row.

    `tokenizers` maps models to tokenizer.json files, each in its model's folder.
    """
    rows = [int(lines[row]) for row in np.flatnonzero(collected.features["tools"])]
    if not rows:
        return ToolRows([], [])
    from service.datasets.rows.templates import takes_tools  # imports Jinja

    lacking = [model for model, path in tokenizers.items() if takes_tools(path.parent) is False]
    for model in lacking:
        log.add(make_issue("tools_not_supported", rows[0], model=model, rows=len(rows)))
    return ToolRows(rows, lacking)
