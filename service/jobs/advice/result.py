"""The result of an advice, as it is stored and shown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import msgspec

from service.core.redis import Client
from service.models.records import base_of, is_checkpoint, read_all_figures
from service.verdict.advice import conclude
from service.verdict.comparison import PROMPT, Comparison
from service.verdict.results import Finding

_LEAST_JOBS: Final = 3


async def result_of(
    comparison: Comparison | None,
    *,
    redis: Client,
    project_id: str,
    rows: int,
    findings: Sequence[Finding],
    estimate: dict[str, Any] | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the fields of the advice in the API. Scores are in points (0 to 100)."""
    found = conclude(comparison, rows=rows, findings=findings)
    shown: dict[str, Any] = {
        "recommendation": found.recommendation,
        "sentence": found.sentence,
        "rows": rows,
        "metric": found.metric,
        "headroom": found.headroom,
        "findings": msgspec.to_builtins(list(findings)),
        "estimate": estimate,
        "notes": list(notes),
    }
    for name, score in (("base", found.base), ("prompt", found.prompt)):
        if score is not None:
            shown[name] = {**_points(score.mean, score.low, score.high), "rows": score.n}
    if comparison is None:
        return shown
    if found.prompt is not None and (column := comparison.column(PROMPT)) is not None:
        shown["prompt"]["example_lines"] = column.example_lines
    if (gain := found.prompt_gain) is not None:
        shown["prompt_gain"] = _points(gain.mean, gain.low, gain.high)
    if (signs := comparison.retrieval) is not None:
        shown["retrieval"] = {
            "rows": signs.rows,
            "facts": signs.facts,
            "found": signs.found,
            "base_right": signs.unseen_right,
        }
    shown["expected_gain"] = await expected_gain(
        redis, project_id, comparison.base_model, comparison.primary.name
    )
    return shown


async def expected_gain(
    redis: Client, project_id: str, base_model: str, metric: str
) -> dict[str, float] | None:
    """Return what the project's trainings of the base model gained over the best prompt.

    None if fewer than three were evaluated on the metric: nothing is known then.
    """
    key = f"{metric}_gain_over_prompt"
    gains = [
        float(measured[key])
        for model, measured in (await read_all_figures(redis, project_id)).items()
        if base_of(model) == base_model and not is_checkpoint(model) and key in measured
    ]
    if len(gains) < _LEAST_JOBS:
        return None
    low, high = min(gains), max(gains)
    return {
        "points": round(median(gains), 2),
        "low": round(low, 2),
        "high": round(high, 2),
        "models": len(gains),
    }


def _points(mean: float, low: float, high: float) -> dict[str, float]:
    scores = {"points": mean, "low": low, "high": high}
    return {name: round(100 * score, 2) for name, score in scores.items()}
