"""Generates `docs/metrics.md` from the declarations in `service/core/metrics.py`."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from service.core import metrics
from service.core.local_metrics import LocalCounter, LocalGauge, LocalHistogram

_HEAD = """# Metrics

Written by `make metrics-docs` from `service/core/metrics.py`; a test compares them.

The API serves its metrics at `/metrics` on `FINETUNED_API_METRICS_PORT` (9101; loopback unless
`FINETUNED_API_METRICS_HOST` is set), a worker on `FINETUNED_WORKER_PORT`, and an engine together
with vLLM's own (`vllm:…`). They need no key, so keep the ports internal. Labels are bounded: route
templates, states, names from the catalog, and the names of the first
`FINETUNED_METRICS_MAX_PROJECTS` (50) projects, then `other`.
"""

# Sections by metric name prefix; the first match wins.
_SECTIONS = (
    ("finetuned_build_", "Processes", "api, worker, engine"),
    ("finetuned_loop_", "Processes", "api, worker, engine"),
    ("finetuned_http_", "HTTP", "api"),
    ("finetuned_uploaded_", "HTTP", "api"),
    ("finetuned_inference_", "Inference gateway", "api"),
    ("finetuned_usage_", "Inference gateway", "api"),
    ("finetuned_engine_", "Engines, as seen by their callers", "api, worker"),
    ("finetuned_adapter", "Adapters of an engine", "engine"),
    ("finetuned_job_attempts_", "Jobs and training", "worker"),
    ("finetuned_jobs_total", "Jobs and training", "api, worker"),
    ("finetuned_job", "Jobs and training", "worker"),
    ("finetuned_oldest_", "Jobs and training", "worker"),
    ("finetuned_worker_jobs_", "Jobs and training", "worker"),
    ("finetuned_train", "Jobs and training", "worker"),
    ("finetuned_gpu_workers_", "Queues and workers", "api, worker"),
    ("finetuned_gpu_", "GPUs", "worker, with a GPU and `nvidia-ml-py`"),
    ("finetuned_queue_", "Queues and workers", "api, worker"),
    ("finetuned_workers", "Queues and workers", "api, worker"),
    ("finetuned_file", "Files", "worker"),
    ("finetuned_webhook_", "Webhooks", "worker"),
    ("finetuned_storage_", "Storage", "api, worker, engine"),
    ("finetuned_redis_reconnects_", "Redis", "api, worker, engine"),
    ("finetuned_redis_", "Redis", "api, worker"),
    ("finetuned_records_", "Records", "api, worker, engine"),
    ("finetuned_lookups_", "Cached keys and models", "api"),
    ("finetuned_invalidation", "Cached keys and models", "api"),
)


@dataclass(frozen=True)
class Declared:
    """One declared metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def section(self) -> tuple[str, str]:
        """Section heading, and the processes that expose the metric.

        Raises LookupError if no section matches.
        """
        for beginning, heading, where in _SECTIONS:
            if self.name.startswith(beginning):
                return heading, where
        raise LookupError(f"{self.name} has no section: add one to metrics_page.py")


def declared() -> list[Declared]:
    """Every metric as it is scraped, in declaration order."""
    return [_read(value) for value in vars(metrics).values() if isinstance(value, _KINDS)]


def page() -> str:
    """The whole page, as Markdown."""
    by_heading: dict[str, list[str]] = {}
    for metric in declared():
        heading, where = metric.section
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        text = metric.help.replace("|", r"\|")
        row = f"| `{metric.name}` | {metric.kind} | {labels} | {where} | {text} |"
        by_heading.setdefault(heading, []).append(row)
    parts = [_HEAD]
    for heading, rows in by_heading.items():
        table = "\n".join(
            ["| name | type | labels | process | description |", "|---|---|---|---|---|", *rows]
        )
        parts.append(f"## {heading}\n\n{table}\n")
    return "\n".join(parts)


_WORDS = {
    LocalCounter: "counter",
    LocalGauge: "gauge",
    LocalHistogram: "histogram",
}
_Metric = LocalCounter | LocalGauge | LocalHistogram | Counter | Gauge | Histogram
_KINDS = (*_WORDS, Counter, Gauge, Histogram)


def _read(metric: _Metric) -> Declared:
    for kind, word in _WORDS.items():
        if isinstance(metric, kind):
            return Declared(metric.name, word, metric.labels, metric.documentation)
    # prometheus-client's own metrics describe themselves; a counter's name lacks `_total`.
    family = next(iter(metric.describe()))  # type: ignore[union-attr]
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = tuple(getattr(metric, "_labelnames", ()))
    return Declared(name, family.type, labels, family.documentation)
