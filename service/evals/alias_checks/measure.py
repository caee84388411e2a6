"""Measures the limits of a suite from the rows of its run and its baseline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.evals.alias_checks.records import SuiteRun
from service.evals.comparison.compare import Score, compare_rows
from service.evals.records import Evals, RunRecord


async def measure(evals: Evals, wanted: SuiteRun, run: RunRecord, baseline: RunRecord) -> SuiteRun:
    """Return the suite's run with its limits. They stay unknown if an item has no outcome.

    A run does not differ from itself.
    """
    if run.tally.errored:
        return wanted
    record = await evals.get(run.project_id, run.eval_id)
    graders = [str(one["name"]) for one in record.testing_criteria] if record else []
    of_run = await evals.runs.all_rows(run)
    of_baseline = of_run if run.id == baseline.id else await evals.runs.all_rows(baseline)
    found = (await asyncio.to_thread(compare_rows, graders, [of_baseline, of_run])).runs[1]
    measured: dict[str, Sequence[Score]] = {"difference": found.differences, "score": found.scores}
    limits = {
        f"{name}_{limit}": getattr(one, limit)
        for name, scores in measured.items()
        for one in scores
        if one.metric == wanted.suite.metric and one.low is not None
        for limit in ("low", "mean", "high")
    }
    if run.id == baseline.id:
        limits |= dict.fromkeys(("difference_low", "difference_mean", "difference_high"), 0.0)
    return wanted.model_copy(update=limits)
