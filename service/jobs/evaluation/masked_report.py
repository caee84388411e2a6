"""Reports of evaluations with labels in place of personal data."""

from __future__ import annotations

from typing import Any

from service.files.curation.masking import Masking

_TEXTS = ("system_prompt", "prompt", "reference", "text", "tool_calls")


async def mask_report(report: dict[str, Any], project_id: str, masking: Masking) -> None:
    """Replace personal data in all texts of a comparison. Raises Unavailable.

    Scores and counters stay. A value that is found in one text is replaced in all.
    """
    rows = report["rows"]
    owners = [[column] for column in report["columns"]]
    owners += [[row, *row["answers"].values()] for row in rows]
    values = [
        [{name: part[name] for name in _TEXTS if name in part} for part in parts]
        for parts in owners
    ]
    result = await masking.mask(project_id, [values])
    for parts, masked in zip(owners, result.groups[0], strict=True):
        for part, texts in zip(parts, masked, strict=True):
            part |= texts
    for row, count in zip(rows, result.masked[0][len(report["columns"]) :], strict=True):
        row["masked_values"] = count
