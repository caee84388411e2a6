"""Rules for tasks that are solved: by the tuned model, or already by base or prompt."""

from __future__ import annotations

from service.datasets.text.languages import language_name
from service.evaluation.comparison import BASE, PROMPT, TUNED, Comparison
from service.evaluation.costs import cost
from service.evaluation.evidence import Evidence, gains, loses
from service.evaluation.results import Difference, Score, Verdict, VerdictKind
from service.evaluation.thresholds import FORGOT
from service.evaluation.wording import (
    column_name,
    counted,
    interval,
    memorized,
    much_worse,
    points,
    prompt_name,
    sized,
    unit,
)

# Fewer tokens saved are within the noise of what a prompt adds.
_LEAST_SAVED_SHARE = 0.1


def solved_by_base(evidence: Evidence) -> Verdict | None:
    """Apply if the base is at the ceiling, and the tuned model gains nothing on it."""
    difference = evidence.tuned_base
    found = _at_ceiling(evidence, BASE, difference)
    if found is None or difference is None:
        return None
    lost = f", and the tuned model is worse by {sized(difference)}" if loses(difference) else ""
    return Verdict(
        kind=VerdictKind.SOLVED_ALREADY,
        sentence=f"Solved already: the base scores {_scored(found)}{lost}.",
        recommendation="Use the base model as it is. Training can gain nothing.",
    )


def solved_by_prompt(evidence: Evidence) -> Verdict | None:
    """Apply if the best prompt is at the ceiling, and the tuned model gains nothing on it."""
    found = _at_ceiling(evidence, PROMPT, evidence.tuned_prompt)
    if found is None:
        return None
    who = prompt_name(evidence.comparison.column(PROMPT))
    return Verdict(
        kind=VerdictKind.SOLVED_ALREADY,
        sentence=f"Solved already: {who} scores {_scored(found)}.",
        recommendation=f"Use the base model with {who}. Training can gain nothing more.",
    )


def _at_ceiling(evidence: Evidence, column: str, tuned: Difference | None) -> Score | None:
    """Return the column's score if it is at the ceiling and `tuned`, minus it, is no gain."""
    if tuned is None or gains(tuned):
        return None
    return evidence.ceiling(column)


def _scored(found: Score) -> str:
    mean, limits = interval(found.mean, found.low, found.high)
    return f"{mean} {unit(found.metric)} {limits} on {counted(found.n, 'row')}"


def serve(evidence: Evidence) -> Verdict | None:
    """Apply if the tuned model beats base and prompt. Also decides whether it is safe to serve."""
    if not evidence.rivals or not all(map(gains, evidence.rivals)):
        return None
    strongest = evidence.rivals[0]
    gain = f"tuned beats {column_name(strongest.b)} by {sized(strongest)} ({much_worse(strongest)})"
    return _memorized(evidence, gain) or _forgot(evidence, gain) or _safe(evidence, gain)


def _safe(evidence: Evidence, gain: str) -> Verdict:
    return Verdict(
        kind=VerdictKind.SERVE,
        sentence=f"Serve it: {gain}.",
        recommendation=(
            f"Serve the tuned model.{_check_worse(evidence)}{_savings(evidence.comparison)}"
        ),
    )


def _check_worse(evidence: Evidence) -> str:
    worse = any(found.much_worse for found in evidence.rivals)
    return " First read the answers that got much worse, in the report." if worse else ""


def _savings(comparison: Comparison) -> str:
    tuned, prompt = cost(comparison, TUNED), cost(comparison, PROMPT)
    if tuned is None or prompt is None:
        return ""
    if tuned.prompt_tokens > prompt.prompt_tokens * (1 - _LEAST_SAVED_SHARE):
        return ""
    return (
        f" It reads {tuned.prompt_tokens:,.0f} tokens per answer, where the best prompt needs "
        f"{prompt.prompt_tokens:,.0f}."
    )


def _memorized(evidence: Evidence, gain: str) -> Verdict | None:
    found = evidence.comparison.memorization
    if found is None or not (found.canaries_returned or found.personal):
        return None
    return Verdict(
        kind=VerdictKind.MEMORIZED,
        sentence=f"Don't serve it yet: {gain}, but it returns {memorized(found)}.",
        recommendation=(
            "Remove personal data and duplicates from the training file, and train fewer epochs."
        ),
    )


def _forgot(evidence: Evidence, gain: str) -> Verdict | None:
    found = evidence.comparison.forgetting
    if found is None or found.change > -FORGOT or found.high >= 0:
        return None
    mean, limits = interval(-found.change, -found.high, -found.low)
    worst = min(found.languages, key=lambda one: one.tuned - one.base, default=None)
    most = ""
    if worst is not None:
        lost = points(worst.base - worst.tuned)
        most = f", most in {language_name(worst.language)} ({lost})"
    return Verdict(
        kind=VerdictKind.FORGOT,
        sentence=(
            f"Serve it for this task only: {gain}, but it lost {mean} points {limits} on the "
            f"general set{most}."
        ),
        recommendation=(
            "For other uses, train with a lower learning rate or fewer epochs, or mix general rows "
            "into the training file."
        ),
    )
