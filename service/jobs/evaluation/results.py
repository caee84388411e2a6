"""Storage of what an evaluation measured: the comparison, its verdict and its reports."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from service.core.storage import Storage
from service.evaluation.comparison import Comparison
from service.evaluation.gate import figures
from service.evaluation.results import Verdict
from service.jobs.evaluation.records import FORMS, JobEvaluation


@dataclass(frozen=True)
class Conclusion:
    """The verdict of an evaluation, and its figures by the key of a gate."""

    verdict: dict[str, Any]
    figures: dict[str, float | str]


async def store(storage: Storage, evaluation: JobEvaluation, comparison: Comparison) -> Conclusion:
    """Judge the comparison, store it with its reports, and return the conclusion."""
    verdict, reports = await asyncio.to_thread(_conclude, comparison)
    for form, content in reports.items():
        await storage.put_bytes(evaluation.key(FORMS[form]), content)
    return Conclusion(msgspec.to_builtins(verdict), figures(comparison))


def _conclude(comparison: Comparison) -> tuple[Verdict, dict[str, bytes]]:
    # These need numpy, which the api does not have.
    from service.evaluation.report.html import to_html
    from service.evaluation.report.markdown import to_markdown
    from service.evaluation.verdict import judge

    verdict = judge(comparison)
    return verdict, {
        "json": comparison.to_json(),
        "md": to_markdown(comparison, verdict),
        "html": to_html(comparison, verdict),
    }
