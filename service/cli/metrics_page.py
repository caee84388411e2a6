"""Generates `docs/metrics.md` from the declarations in `service/core/metrics.py`."""

from __future__ import annotations

from typing import Any

from service.core.metric_types import Metric
from service.core.metrics import declared

_HEAD = """# Metrics

Written by `make metrics-docs` from `service/core/metrics.py`; a test compares them.

The API serves its metrics at `/metrics` on `FINETUNED_API_METRICS_PORT` (9101; loopback unless
`FINETUNED_API_METRICS_HOST` is set), a worker on `FINETUNED_WORKER_PORT`, and an engine together
with vLLM's own (`vllm:…`). They need no key, so keep the ports internal. Labels are bounded: route
templates, states, names from the catalog, the names of the first
`FINETUNED_METRICS_MAX_PROJECTS` (50) projects, then `other`, and the
`FINETUNED_METRICS_MAX_ALIASES` (50) aliases that changed last.
"""
_COLUMNS = "| name | type | labels | process | description |\n|---|---|---|---|---|"


def page() -> str:
    """The whole page, as Markdown."""
    by_heading: dict[str, list[str]] = {}
    for metric in declared():
        by_heading.setdefault(metric.group.heading, [_COLUMNS]).append(_row(metric))
    tables = [f"## {heading}\n\n" + "\n".join(rows) for heading, rows in by_heading.items()]
    return "\n\n".join([_HEAD.rstrip(), *tables]) + "\n"


def _row(metric: Metric[Any]) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    where = ", ".join(process.name.lower() for process in metric.group.processes)
    if metric.group.note:
        where += f" ({metric.group.note})"
    text = metric.documentation.replace("|", r"\|")
    return f"| `{metric.name}` | {metric.kind} | {labels} | {where} | {text} |"
