"""Rules of the verdict. Each is a function that returns a verdict, or None if it does not apply.

`verdict.py` lists them in the order in which they are tried.
"""

from __future__ import annotations

from service.datasets.text.languages import language_name
from service.verdict.comparison import BASE, PROMPT, TUNED, Column, Comparison, Retrieval, cost
from service.verdict.differences import difference
from service.verdict.evidence import Evidence, gains, is_better, is_no_better, is_worse, loses
from service.verdict.results import Difference, Score, Verdict, VerdictKind
from service.verdict.thresholds import (
    FACTS_SHARE,
    FORGOT,
    LEAST_CLUSTERS,
    LEAST_LOSS_RISE,
    LEAST_SAVED_SHARE,
    LOSS_RISE,
    SEEN_GAP,
    UNSEEN_RIGHT_SHARE,
)
from service.verdict.wording import (
    column_name,
    effect,
    interval,
    join_names,
    memorized_text,
    much_worse_text,
    points,
    prompt_name,
    quantity,
    unit,
)


def solved_by_base(evidence: Evidence) -> Verdict | None:
    """Apply if the base is at the ceiling, and the tuned model gains nothing on it."""
    difference = evidence.tuned_base
    found = _at_ceiling(evidence, BASE, difference)
    if found is None or difference is None:
        return None
    lost = f", and the tuned model is worse by {effect(difference)}" if loses(difference) else ""
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
    return f"{mean} {unit(found.metric)} {limits} on {quantity(found.n, 'row')}"


def serve(evidence: Evidence) -> Verdict | None:
    """Apply if the tuned model beats base and prompt, whether or not it is safe to serve."""
    if not evidence.rivals or not all(map(gains, evidence.rivals)):
        return None
    strongest = evidence.rivals[0]
    much_worse = much_worse_text(strongest)
    gain = f"tuned beats {column_name(strongest.b)} by {effect(strongest)} ({much_worse})"
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
    if tuned.prompt_tokens > prompt.prompt_tokens * (1 - LEAST_SAVED_SHARE):
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
        sentence=f"Don't serve it yet: {gain}, but it returns {memorized_text(found)}.",
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
        sentence=(f"Don't pay for an adapter: {who} {does} (tuned minus prompt: {effect(found)})."),
        recommendation=f"Use the base model with {who}, which the report shows.",
    )


def no_gain(evidence: Evidence) -> Verdict | None:
    """Apply if any gain over the base is too small to matter."""
    found = evidence.tuned_base
    if found is None or not is_no_better(found):
        return None
    return Verdict(
        kind=VerdictKind.NO_GAIN,
        sentence=f"No gain that matters: tuned minus base is {effect(found)}.",
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
    collect = quantity(more, "more row")
    measured = f"tuned minus {column_name(found.b)} is {effect(found)}"
    if found.clusters < LEAST_CLUSTERS:
        sentence = (
            f"Too few rows to say; collect {collect}: {measured}, and a verdict to serve needs at "
            f"least {LEAST_CLUSTERS} different prompts."
        )
    else:
        worse = f" ({much_worse_text(found)})" if found.much_worse else ""
        sentence = f"Cannot tell; collect {collect}: {measured}{worse}{_power(found)}."
    return Verdict(
        kind=VerdictKind.CANNOT_TELL,
        sentence=sentence,
        recommendation=(
            f"Train again with {quantity(more, 'more held-out row')}. Until then, keep what you "
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
            f"Cannot tell: tuned minus {column_name(found.b)} is {effect(found)}. About "
            f"{quantity(needed, 'row')} would decide, and an evaluation has at most {most:,}."
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


def checkpoint_is_better(evidence: Evidence) -> Verdict | None:
    """Apply if a checkpoint beats the final model."""
    best = max(filter(gains, evidence.checkpoints), key=lambda found: found.mean, default=None)
    if best is None:
        return None
    comparison = evidence.comparison
    rivals = [difference(comparison, comparison.primary, best.a, other) for other in (BASE, PROMPT)]
    if all(gains(found) for found in rivals if found is not None):
        advice = f"Serve {best.a} instead, and train fewer steps next time."
    else:
        advice = f"Train fewer steps, or on more rows. {best.a} is not better than base and prompt."
    return Verdict(
        kind=VerdictKind.OVERFIT,
        sentence=f"Overfit: {best.a} beats the final model by {effect(best)}.",
        recommendation=advice,
    )


def loss_rose(evidence: Evidence) -> Verdict | None:
    """Apply if the loss on the held-out rows rose during the training."""
    lowest = lowest_loss(evidence)
    if lowest is None:
        return None
    return Verdict(
        kind=VerdictKind.OVERFIT,
        sentence=f"Overfit: {rise_of_loss(evidence, lowest)}, and no gain was shown.",
        recommendation="Train fewer epochs or with a lower learning rate, or collect more rows.",
    )


def lowest_loss(evidence: Evidence) -> Column | None:
    """Return the checkpoint or base with the lowest held-out loss, if the final loss is higher.

    None if the final loss is not higher by the factor `LOSS_RISE` and by `LEAST_LOSS_RISE`.
    """
    comparison = evidence.comparison
    final = comparison.column(TUNED)
    earlier = [comparison.column(BASE), *comparison.checkpoints]
    known = [(column.loss, column) for column in earlier if column and column.loss is not None]
    if not known or final is None or final.loss is None:
        return None
    loss, column = min(known, key=lambda pair: pair[0])
    return column if final.loss > max(loss * LOSS_RISE, loss + LEAST_LOSS_RISE) else None


def rise_of_loss(evidence: Evidence, lowest: Column) -> str:
    """Return the rise as a clause, such as "the held-out loss rose from 1.20 to 1.90"."""
    final = evidence.comparison.column(TUNED)
    if final is None or final.loss is None or lowest.loss is None:
        raise ValueError("both losses must be known")
    return f"the held-out loss rose from {lowest.loss:.2f} ({lowest.name}) to {final.loss:.2f}"


def worse(evidence: Evidence) -> Verdict | None:
    """Apply if the tuned model is worse than the base, overall or in a language."""
    overall = evidence.tuned_base
    if overall is not None and loses(overall):
        return Verdict(
            kind=VerdictKind.WORSE,
            sentence=f"Worse than the base: {effect(overall)}.",
            recommendation=(
                "Don't serve it. Check the training rows for contradictions and wrong answers, "
                "then try a lower learning rate or fewer epochs."
            ),
        )
    return _worse_in_a_language(evidence)


def _worse_in_a_language(evidence: Evidence) -> Verdict | None:
    lost = sorted(filter(loses, evidence.languages), key=lambda found: found.mean)
    if not lost:
        return None
    names = join_names([language_name(found.language or "") for found in lost])
    sizes = "; ".join(map(effect, lost))
    return Verdict(
        kind=VerdictKind.WORSE,
        sentence=f"Worse than the base in {names}: {sizes}.",
        recommendation=f"Add training rows in {names}, or keep the base for users who write in it.",
    )


def use_retrieval(evidence: Evidence) -> Verdict | None:
    """Apply if the answers are facts, of which the tuned model knows only trained ones at best."""
    found = evidence.comparison.retrieval
    if found is None or not _needs_facts(found):
        return None
    right = f"{found.unseen_right} of {found.unseen_rows} right"
    if found.seen_rows:
        but = "but" if _is_known(found, found.seen_right / found.seen_rows) else "and"
        right += f", {but} {found.seen_right} of {found.seen_rows} trained ones"
    return Verdict(
        kind=VerdictKind.RETRIEVAL,
        sentence=f"Use retrieval: the answers are facts, and it gets unseen ones wrong ({right}).",
        recommendation=(
            "Search for the facts and put them into the prompt instead of training on them. A "
            f"keyword search over the training rows alone finds the answer to {found.found} of "
            f"{found.rows} held-out rows."
        ),
    )


def _needs_facts(found: Retrieval) -> bool:
    if not found.rows or not found.unseen_rows or found.facts / found.rows < FACTS_SHARE:
        return False
    if found.unseen_right / found.unseen_rows >= UNSEEN_RIGHT_SHARE:
        return False
    seen = found.seen_right / found.seen_rows if found.seen_rows else 0.0
    reachable = max(seen, found.found / found.rows)
    return _is_known(found, reachable) or found.only_facts / found.rows >= FACTS_SHARE


def _is_known(found: Retrieval, share: float) -> bool:
    """Return whether a share of right answers shows that the facts are known, but not learned."""
    return share - found.unseen_right / found.unseen_rows >= SEEN_GAP
