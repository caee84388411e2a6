"""Storage of what an evaluation measured: the comparison, its verdict and its reports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.core.storage import Storage
from service.jobs.evaluation.checkpoints import checkpoint_figures
from service.jobs.evaluation.records import FORMS, GateFault, GateOutcome, JobEvaluation
from service.verdict.comparison import Comparison
from service.verdict.gate import apply_gate, figures, parse_gate
from service.verdict.results import Verdict

NO_GATE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True)
class Conclusion:
    """The verdict of an evaluation, its figures by the key of a gate, and the gate's outcome.

    `checkpoints` has the figures of each checkpoint by model.
    """

    verdict: dict[str, Any]
    figures: dict[str, float | str]
    gate: GateOutcome | None
    checkpoints: dict[str, dict[str, float | str]]


async def store(
    storage: Storage,
    evaluation: JobEvaluation,
    comparison: Comparison,
    gate: Mapping[str, str] = NO_GATE,
) -> Conclusion:
    """Judge the comparison, store it with its reports, and return the conclusion."""
    verdict, reports = await asyncio.to_thread(_conclude, comparison, gate)
    for form, content in reports.items():
        await storage.put_bytes(evaluation.key(FORMS[form]), content)
    measured = figures(comparison)
    return Conclusion(
        msgspec.to_builtins(verdict),
        measured,
        gate_outcome(gate, measured),
        checkpoint_figures(comparison),
    )


def figures_by_model(comparison: Comparison) -> dict[str, dict[str, float | str]]:
    """Return the figures of the tuned model and of the checkpoints that were compared."""
    return {**checkpoint_figures(comparison), comparison.model: figures(comparison)}


def gate_outcome(
    gate: Mapping[str, str], measured: Mapping[str, float | str]
) -> GateOutcome | None:
    """Apply a job's gate to the figures of its evaluation. Returns None if it has no gate."""
    if not gate:
        return None
    results = apply_gate(parse_gate(gate), measured).conditions
    failed = [
        GateFault(key=r.key, condition=r.condition, measured=r.measured, reason=r.reason)
        for r in results
        if not r.passed
    ]
    return GateOutcome(conditions=dict(gate), failed=tuple(failed))


def _conclude(comparison: Comparison, gate: Mapping[str, str]) -> tuple[Verdict, dict[str, bytes]]:
    # Importing these loads numpy, which the api imports only if a grader needs it.
    from service.verdict.report.render import to_html, to_markdown
    from service.verdict.verdict import judge

    verdict = judge(comparison)
    result = apply_gate(parse_gate(gate), figures(comparison)) if gate else None
    return verdict, {
        "json": comparison.to_json(),
        "md": to_markdown(comparison, verdict, gate=result),
        "html": to_html(comparison, verdict, gate=result),
    }
