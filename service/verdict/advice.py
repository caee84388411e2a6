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
from service.verdict.results import Conclusion, Difference, Finding, Recommendation, Score
from service.verdict.thresholds import (
    CEILING,
    CEILING_LOW,
    FACTS_SHARE,
    FEW_ROWS,
    LEAST_JOB_ROWS,
    UNSEEN_RIGHT_SHARE,
)
from service.verdict.wording import metric_name, points

DAMAGE: Final = ("fix_broken_rows", "contradictions", "mojibake", "tools_not_supported")
"""Codes of findings in a file's report that come before a training, most urgent first."""
_Found = tuple[Recommendation, str]


def conclude(
    comparison: Comparison | None, *, rows: int, findings: Sequence[Finding]
) -> Conclusion:
    """Return the advice for a training file with `rows` rows.

    `comparison` has the columns of base and best prompt on some rows of the file; None if no row
    could be asked. `findings` are those of the file's report.
    """
    if comparison is None:
        kind, sentence = (
            _fix_or_collect(rows, findings)
            or _decide_on_few_rows(rows, None)
            or _train_without_scores()
        )
        return Conclusion(recommendation=kind, sentence=sentence)
    metric = comparison.primary
    base, prompt = (score(comparison, metric, name) for name in (BASE, PROMPT))
    gain = difference(comparison, metric, PROMPT, BASE)
    best = max((one for one in (base, prompt) if one), key=lambda one: one.mean, default=None)
    kind, sentence = (
        _fix_or_collect(rows, findings)
        or _already_solved(best)
        or _use_retrieval(comparison.retrieval)
        or _decide_on_few_rows(rows, gain)
        or _train(metric_name(metric.name), base, prompt)
    )
    return Conclusion(
        recommendation=kind,
        sentence=sentence,
        metric=metric.name,
        base=base,
        prompt=prompt,
        prompt_gain=gain,
        headroom=None if best is None else round((1 - best.mean) * 100, 2),
    )


def _fix_or_collect(rows: int, findings: Sequence[Finding]) -> _Found | None:
    titles = {finding.code: finding.title for finding in findings}
    for code in DAMAGE:
        if code in titles:
            title = titles[code].rstrip(".")
            return Recommendation.FIX_DATA, f"Fix the data first: {title[:1].lower()}{title[1:]}."
    return _collect(rows) if rows < LEAST_JOB_ROWS else None


def _collect(rows: int) -> _Found:
    if rows < LEAST_JOB_ROWS:
        sentence = f"Collect more rows: {rows} are too few for a job, which needs {LEAST_JOB_ROWS}."
    else:
        sentence = f"Collect more rows: {rows} are few, and a clear effect starts at {FEW_ROWS}."
    return Recommendation.COLLECT, sentence


def _already_solved(best: Score | None) -> _Found | None:
    if best is None or best.mean < CEILING or best.low < CEILING_LOW:
        return None
    who = "the base model with a prompt" if best.column == PROMPT else "the base model"
    sentence = (
        f"Use a prompt: {who} already has {points(best.mean)} of 100 points on {best.n} rows, so a "
        "training can gain next to nothing."
    )
    return Recommendation.PROMPT, sentence


def _use_retrieval(found: Retrieval | None) -> _Found | None:
    if found is None or not found.rows or found.facts / found.rows < FACTS_SHARE:
        return None
    if found.unseen_rows and found.unseen_right / found.unseen_rows >= UNSEEN_RIGHT_SHARE:
        return None
    sentence = (
        f"Use retrieval: {found.facts} of {found.rows} answers are facts, which a training does "
        f"not teach; a keyword search over the other rows alone finds {found.found} of them."
    )
    return Recommendation.RETRIEVAL, sentence


def _decide_on_few_rows(rows: int, gain: Difference | None) -> _Found | None:
    if rows >= FEW_ROWS:
        return None
    if gain is None or not is_better(gain):
        return _collect(rows)
    sentence = (
        f"Use a prompt for now: it gains {points(gain.mean)} points over the base model, and "
        f"{rows} rows are few for a training."
    )
    return Recommendation.PROMPT, sentence


def _train_without_scores() -> _Found:
    sentence = (
        "Train, and hold rows out: the rows use tools or have no text answer, so the base model "
        "was not asked."
    )
    return Recommendation.TRAIN, sentence


def _train(metric: str, base: Score | None, prompt: Score | None) -> _Found:
    known = [
        f"{name} has {points(found.mean)}"
        for name, found in (("the base model", base), ("its best prompt", prompt))
        if found is not None
    ]
    scored = base or prompt
    if scored is None:
        return Recommendation.TRAIN, "Train, and hold rows out: the base model gave no answers."
    sentence = f"Train: {' and '.join(known)} of 100 {metric} points on {scored.n} rows."
    return Recommendation.TRAIN, sentence
