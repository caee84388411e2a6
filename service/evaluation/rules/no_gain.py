"""Rules for models whose gain is absent, too small, or not shown."""

from __future__ import annotations

from service.evaluation.comparison import PROMPT
from service.evaluation.evidence import Evidence, gains, is_better, is_no_better, is_worse
from service.evaluation.results import Difference, Verdict, VerdictKind
from service.evaluation.thresholds import LEAST_CLUSTERS
from service.evaluation.wording import column_name, counted, much_worse, points, prompt_name, sized


def nothing_to_compare(evidence: Evidence) -> Verdict | None:
    """Apply if no row was answered by both the base and the tuned model."""
    if evidence.tuned_base is not None:
        return None
    return Verdict(
        kind=VerdictKind.CANNOT_TELL,
        sentence=(
            f"Cannot tell; collect {LEAST_CLUSTERS} rows: none was answered by both the base and "
            "the tuned model."
        ),
        recommendation=f"Train again with at least {LEAST_CLUSTERS} held-out rows.",
        rows_needed=LEAST_CLUSTERS,
    )


def use_prompt(evidence: Evidence) -> Verdict | None:
    """Apply if any gain over the best prompt is too small to matter."""
    found, prompt_base = evidence.tuned_prompt, evidence.prompt_base
    if found is None or not is_no_better(found):
        return None
    if _is_pointless(evidence.tuned_base) and not (prompt_base and is_better(prompt_base)):
        return None  # base, prompt and tuned are equal: `no_gain` applies
    who = prompt_name(evidence.comparison.column(PROMPT))
    if is_worse(found):
        does = "does better"
    elif is_better(found):
        does = "does almost as well"
    else:
        does = "does as well"
    return Verdict(
        kind=VerdictKind.PROMPT,
        sentence=(f"Don't pay for an adapter: {who} {does} (tuned minus prompt: {sized(found)})."),
        recommendation=f"Use the base model with {who}, which the report shows.",
    )


def no_gain(evidence: Evidence) -> Verdict | None:
    """Apply if any gain over the base is too small to matter."""
    found = evidence.tuned_base
    if found is None or not is_no_better(found):
        return None
    return Verdict(
        kind=VerdictKind.NO_GAIN,
        sentence=f"No gain that matters: tuned minus base is {sized(found)}.",
        recommendation=(
            "Use the base model. Check that the training rows show what the held-out rows ask for, "
            "and do not contradict each other."
        ),
    )


def cannot_tell(evidence: Evidence) -> Verdict:
    """Return the number of rows that would decide. Applies if no other rule does."""
    found = _undecided(evidence)
    assert found is not None
    more = evidence.more_rows(found)
    collect = counted(more, "more row")
    measured = f"tuned minus {column_name(found.b)} is {sized(found)}"
    if found.clusters < LEAST_CLUSTERS:
        sentence = (
            f"Too few rows to say; collect {collect}: {measured}, and a verdict to serve needs at "
            f"least {LEAST_CLUSTERS} different prompts."
        )
    else:
        worse = f" ({much_worse(found)})" if found.much_worse else ""
        sentence = f"Cannot tell; collect {collect}: {measured}{worse}{_power(found)}."
    return Verdict(
        kind=VerdictKind.CANNOT_TELL,
        sentence=sentence,
        recommendation=(
            f"Train again with {counted(more, 'more held-out row')}. Until then, keep what you "
            "serve."
        ),
        rows_needed=more,
    )


def needs_too_many_rows(evidence: Evidence) -> Verdict | None:
    """Apply if only more rows than an evaluation may have would decide."""
    most = evidence.comparison.most_rows
    found = _undecided(evidence)
    if most is None or found is None or found.n + evidence.more_rows(found) <= most:
        return None
    needed = found.n + evidence.more_rows(found)
    return Verdict(
        kind=VerdictKind.CANNOT_TELL,
        sentence=(
            f"Cannot tell: tuned minus {column_name(found.b)} is {sized(found)}. About "
            f"{counted(needed, 'row')} would decide, and an evaluation has at most {most:,}."
        ),
        recommendation=(
            "Keep what you serve, or train on other rows. To evaluate on more rows, the operator "
            "can raise FINETUNED_EVALUATION_ROWS up to 1000."
        ),
        rows_needed=evidence.more_rows(found),
    )


def _undecided(evidence: Evidence) -> Difference | None:
    """Return the difference that is no gain and needs the most rows; None if all are gains."""
    open_ = [found for found in evidence.rivals if not gains(found)]
    return max(open_, key=evidence.more_rows, default=None)


def _is_pointless(found: Difference | None) -> bool:
    return found is not None and is_no_better(found)


def _power(found: Difference) -> str:
    if found.detectable is None:
        return ", which detects no difference"
    if found.detectable <= abs(found.mean):
        return ""
    return f", which cannot detect less than {points(found.detectable)}"
