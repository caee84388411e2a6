"""Distribution of the rows' quality scores."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from service.datasets.checks.issues import Issue
from service.datasets.checks.validate import ValidationReport
from service.datasets.duplicates.groups import Lines
from service.datasets.quality.scores import TENTHS, score, weight
from service.datasets.report.report import Histogram, Scores
from service.datasets.report.row_index import by_line


def row_scores(
    lines: Lines, validation: ValidationReport, issues: Iterable[Issue]
) -> Scores | None:
    """Return the scores of the rows on the given lines, and of the broken rows."""
    if not validation.rows:
        return None
    found = by_line(issues)
    counts = [0] * (TENTHS + 1)
    counts[0] = validation.rows - len(lines)
    valid = np.intersect1d(np.array(list(found), dtype=lines.dtype), lines).tolist()
    for line in valid:
        counts[round(TENTHS * score(issue.code for issue in found[line]))] += 1
    counts[TENTHS] += len(lines) - len(valid)
    total = sum(tenths * count for tenths, count in enumerate(counts))
    codes = {issue.code for of_line in found.values() for issue in of_line}
    return Scores(
        mean=round(total / TENTHS / validation.rows, 4),
        histogram=Histogram([tenths / TENTHS for tenths in range(TENTHS + 2)], counts),
        weights={code: taken for code in sorted(codes) if (taken := weight(code).points)},
    )
