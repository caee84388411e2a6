"""Decides the advice before a training, from the base model's scores with and without a prompt.

Rules are tried in this order, and the first that applies decides:

1. **fix_data**: the report of the file found damage that a training would learn.
2. **collect**: there are too few rows for a job.
3. **prompt**: the base model or its best prompt is at the ceiling, so there is nothing to gain.
4. **retrieval**: the answers are facts that the base model gets wrong.
5. **prompt**: there are few rows, and a prompt is better than none.
6. **collect**: there are few rows.
7. **train**: everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.verdict.comparison import BASE, PROMPT, Comparison, Retrieval
from service.verdict.differences import difference, score
from service.verdict.evidence import is_better
from service.verdict.results import (
    Conclusion,
    Difference,
    Figures,
    Finding,
    Recommendation,
    Score,
    Statement,
)
from service.verdict.statements import known_score_figures, rounded_points, state, write
from service.verdict.thresholds import (
    CEILING,
    CEILING_LOW,
    FACTS_SHARE,
    FEW_ROWS,
    LEAST_JOB_ROWS,
    UNSEEN_RIGHT_SHARE,
)

DAMAGE: Final = ("fix_broken_rows", "contradictions", "mojibake", "tools_not_supported")
"""Codes of findings in a file's report that come before a training, most urgent first."""
_Found = tuple[Recommendation, Statement]


def conclude(
    comparison: Comparison | None, *, rows: int, findings: Sequence[Finding]
) -> Conclusion:
    """Return the advice for a training file with `rows` rows.

    `comparison` has the columns of base and best prompt on some rows of the file; None if no row
    could be asked. `findings` are those of the file's report.
    """
    if comparison is None:
        found = (
            _fix_or_collect(rows, findings)
            or _decide_on_few_rows(rows, None)
            or (Recommendation.TRAIN, state("train_without_scores"))
        )
        return Conclusion(**_sentence(*found))
    metric = comparison.primary
    base, prompt = (score(comparison, metric, name) for name in (BASE, PROMPT))
    gain = difference(comparison, metric, PROMPT, BASE)
    best = max((one for one in (base, prompt) if one), key=lambda one: one.mean, default=None)
    found = (
        _fix_or_collect(rows, findings)
        or _already_solved(best)
        or _use_retrieval(comparison.retrieval)
        or _decide_on_few_rows(rows, gain)
        or _train(metric.name, base, prompt)
    )
    return Conclusion(
        **_sentence(*found),
        metric=metric.name,
        base=base,
        prompt=prompt,
        prompt_gain=gain,
        headroom=None if best is None else round((1 - best.mean) * 100, 2),
    )


def _sentence(kind: Recommendation, statement: Statement) -> Figures:
    return {
        "recommendation": kind,
        "sentence": write(statement),
        "code": statement.code,
        "figures": statement.figures,
    }


def _fix_or_collect(rows: int, findings: Sequence[Finding]) -> _Found | None:
    titles = {finding.code: finding.title for finding in findings}
    for code in DAMAGE:
        if code in titles:
            return Recommendation.FIX_DATA, state("fix_data", finding=code, title=titles[code])
    return _collect(rows) if rows < LEAST_JOB_ROWS else None


def _collect(rows: int) -> _Found:
    is_enough = rows >= LEAST_JOB_ROWS
    code, needed = (
        ("few_rows", FEW_ROWS) if is_enough else ("too_few_rows_for_a_job", LEAST_JOB_ROWS)
    )
    return Recommendation.COLLECT, state(code, rows=rows, rows_needed=needed)


def _already_solved(best: Score | None) -> _Found | None:
    if best is None or best.mean < CEILING or best.low < CEILING_LOW:
        return None
    code = "prompt_solves_it" if best.column == PROMPT else "base_solves_it"
    figures = {"points": rounded_points(best.mean), "rows": best.n}
    return Recommendation.PROMPT, state(code, figures)


def _use_retrieval(found: Retrieval | None) -> _Found | None:
    if found is None or not found.rows or found.facts / found.rows < FACTS_SHARE:
        return None
    if found.unseen_rows and found.unseen_right / found.unseen_rows >= UNSEEN_RIGHT_SHARE:
        return None
    figures = {"facts": found.facts, "rows": found.rows, "found": found.found}
    return Recommendation.RETRIEVAL, state("answers_are_facts", figures)


def _decide_on_few_rows(rows: int, gain: Difference | None) -> _Found | None:
    if rows >= FEW_ROWS:
        return None
    if gain is None or not is_better(gain):
        return _collect(rows)
    figures = {"points": rounded_points(gain.mean), "training_rows": rows}
    return Recommendation.PROMPT, state("prompt_for_now", figures)


def _train(metric: str, base: Score | None, prompt: Score | None) -> _Found:
    scored = base or prompt
    if scored is None:
        return Recommendation.TRAIN, state("train_without_answers")
    figures = known_score_figures(base, prompt) | {"metric": metric, "rows": scored.n}
    return Recommendation.TRAIN, state("train", figures)
