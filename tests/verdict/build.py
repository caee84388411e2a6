"""Comparisons built from lists of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from service.verdict.comparison import Answer, Column, Comparison, Metric, Row


def build(
    scores: Mapping[str, Sequence[float | None]],
    *,
    metric: str = "chrf",
    kind: Literal["continuous", "binary"] = "continuous",
    clusters: list[str] | None = None,
    languages: Sequence[str | None] | None = None,
    losses: dict[str, float] | None = None,
    **fields: Any,
) -> Comparison:
    """Return a comparison with these scores by column; None is an answer that failed."""
    count = max((len(values) for values in scores.values()), default=0)
    rows = [
        Row(
            line=place + 1,
            prompt=[{"role": "user", "content": f"Question {place + 1}"}],
            reference=f"Answer {place + 1}",
            cluster=clusters[place] if clusters else f"c{place}",
            language=languages[place] if languages else None,
            answers={
                name: _answer(metric, values[place])
                for name, values in scores.items()
                if place < len(values)
            },
        )
        for place in range(count)
    ]
    return Comparison(
        **{
            "job_id": "ftjob-1",
            "model": "ft:demo:acme::1",
            "base_model": "demo",
            "created_at": 1_790_000_000,
            "base_verified": True,
            "columns": [_column(name, losses or {}) for name in scores],
            "metrics": [Metric(name=metric, kind=kind, primary=True)],
            "rows": rows,
            **fields,
        }
    )


def _answer(metric: str, score: float | None) -> Answer:
    if score is None:
        return Answer(text="", error="engine_error")
    return Answer(text="Text", scores={metric: score}, prompt_tokens=10, completion_tokens=5)


def _column(name: str, losses: dict[str, float]) -> Column:
    step = int(name.rsplit("-", 1)[1]) if name.startswith("ckpt") else None
    lines = [2, 5, 7, 11] if name == "prompt" else []
    return Column(name=name, model=name, step=step, loss=losses.get(name), example_lines=lines)
