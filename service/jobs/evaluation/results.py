"""Judges what an evaluation measured, and stores the comparison with its reports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.core.storage import Storage
from service.jobs.evaluation.checkpoints import checkpoint_figures
from service.jobs.evaluation.records import REPORT_FILES, GateFault, GateOutcome, JobEvaluation
from service.verdict.comparison import Comparison
from service.verdict.gate import apply_gate, figures, parse_gate
from service.verdict.results import GateResult, Verdict

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
    """Judge the comparison, store it with its reports, and return the conclusion."""
    measured = await asyncio.to_thread(figures_by_model, comparison)
    result = apply_gate(parse_gate(gate), measured[comparison.model]) if gate else None
    verdict, reports = await asyncio.to_thread(_conclude, comparison, result)
    for form, content in reports.items():
        await storage.put_bytes(evaluation.key(REPORT_FILES[form]), content)
    outcome = None if result is None else _outcome(gate, result)
    return Conclusion(msgspec.to_builtins(verdict), outcome, measured)


async def read_comparison(storage: Storage, evaluation: JobEvaluation) -> Comparison:
    """Read what a completed evaluation measured. Raises StorageMissing and StorageError."""
    content = await storage.get_bytes(evaluation.key(REPORT_FILES["json"]))
    return await asyncio.to_thread(Comparison.from_json, content)


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


def _conclude(comparison: Comparison, gate: GateResult | None) -> tuple[Verdict, dict[str, bytes]]:
    # Imported here, because the CLI reads figures: without numpy, and without Jinja2, which only
    # workers have.
    from service.verdict.report.render import to_html, to_markdown
    from service.verdict.verdict import judge

    verdict = judge(comparison)
    return verdict, {
        "json": comparison.to_json(),
        "md": to_markdown(comparison, verdict, gate=gate),
        "html": to_html(comparison, verdict, gate=gate),
    }
