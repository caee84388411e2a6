"""Measures the lower limits of a suite from the rows of its run and its baseline."""

from __future__ import annotations

import asyncio

from service.evals.alias_checks.records import SuiteRun
from service.evals.comparison.compare import compare_rows
from service.evals.records import Evals, RunRecord


async def measure(evals: Evals, wanted: SuiteRun, run: RunRecord, baseline: RunRecord) -> SuiteRun:
    """Return the suite's run with its limits. They stay unknown if an item has no outcome.

    A run does not differ from itself.
    """
    if run.tally.errored:
        return wanted
    record = await evals.get(run.project_id, run.eval_id)
    graders = [str(one["name"]) for one in record.testing_criteria] if record else []
    rows = [await evals.runs.all_rows(one) for one in (baseline, run)]
    found = (await asyncio.to_thread(compare_rows, graders, rows)).runs[1]
    metric = wanted.suite.metric
    difference = next((one for one in found.differences if one.metric == metric), None)
    score = next((one for one in found.scores if one.metric == metric), None)
    return wanted.model_copy(
        update={
            "difference_low": 0.0 if run.id == baseline.id else difference and difference.low,
            "score_low": score and score.low,
        }
    )
