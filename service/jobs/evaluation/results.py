"""Judges what an evaluation measured, stores the comparison, and renders it as a report."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from service.core.storage import Storage
from service.jobs.evaluation.checkpoints import checkpoint_figures
from service.jobs.evaluation.records import REPORT_FILE, GateFault, GateOutcome, JobEvaluation
from service.verdict.comparison import Comparison
from service.verdict.gate import apply_gate, figures, parse_gate
from service.verdict.results import GateResult, HumanReview, Verdict

Figures = dict[str, float | str]
"""Measured figures by the key of a gate."""


@dataclass(frozen=True)
class Conclusion:
    """The verdict of an evaluation, the outcome of the job's gate, and the figures by model."""

    verdict: dict[str, Any]
    gate: GateOutcome | None
    figures: dict[str, Figures]


async def store_results(
    storage: Storage, evaluation: JobEvaluation, comparison: Comparison, gate: Mapping[str, str]
) -> Conclusion:
    """Judge the comparison, store it, and return the conclusion."""
    measured = await asyncio.to_thread(figures_by_model, comparison)
    result = apply_gate(parse_gate(gate), measured[comparison.model]) if gate else None
    verdict = await asyncio.to_thread(_judge, comparison)
    await storage.put_bytes(evaluation.key(REPORT_FILE), comparison.to_json())
    outcome = None if result is None else _outcome(gate, result)
    return Conclusion(msgspec.to_builtins(verdict), outcome, measured)


async def read_comparison(storage: Storage, evaluation: JobEvaluation) -> Comparison:
    """Read what a completed evaluation measured. Raises StorageMissing and StorageError."""
    content = await storage.get_bytes(evaluation.key(REPORT_FILE))
    return await asyncio.to_thread(Comparison.from_json, content)


def render_report(
    form: Literal["html", "md"],
    comparison: Comparison,
    evaluation: JobEvaluation,
    review: HumanReview | None,
) -> bytes:
    """Return the report of a completed evaluation. A thousand rows take 0.3 s."""
    # Imported here, so that the API starts without numpy.
    from service.verdict.report.render import to_html, to_markdown

    gate, verdict = evaluation.gate, evaluation.verdict
    return (to_html if form == "html" else to_markdown)(
        comparison,
        _judge(comparison) if verdict is None else msgspec.convert(verdict, Verdict),
        gate=None
        if gate is None
        else apply_gate(parse_gate(gate.conditions), evaluation.figures or {}),
        review=review,
    )


def figures_by_model(comparison: Comparison) -> dict[str, Figures]:
    """Return the figures of the tuned model and of the checkpoints that were compared."""
    return {**checkpoint_figures(comparison), comparison.model: figures(comparison)}


def _outcome(gate: Mapping[str, str], result: GateResult) -> GateOutcome:
    failed = [
        GateFault(key=r.key, condition=r.condition, measured=r.measured, reason=r.reason)
        for r in result.conditions
        if not r.passed
    ]
    return GateOutcome(conditions=dict(gate), failed=tuple(failed))


def _judge(comparison: Comparison) -> Verdict:
    from service.verdict.verdict import judge  # the CLI reads figures without numpy

    return judge(comparison)
