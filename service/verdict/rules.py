"""Rules of the verdict. Each is a function that returns a verdict, or None if it does not apply.

`verdict.py` lists them in the order in which they are tried.
"""

from __future__ import annotations

from service.verdict.comparison import BASE, PROMPT, TUNED, Column, Retrieval
from service.verdict.differences import difference
from service.verdict.evidence import Evidence, gains, is_better, is_no_better, is_worse, loses
from service.verdict.results import Difference, Figures, Score, Verdict, VerdictKind
from service.verdict.statements import (
    build_verdict,
    effect_figures,
    language_figures,
    loss_figures,
    lost_figures,
    memorized_figures,
    power_figures,
    prompt_figures,
    retrieval_figures,
    savings_figures,
    score_figures,
    state,
    tuned_figures,
    worse_figures,
    worst_language_figures,
)
from service.verdict.thresholds import (
    FACTS_SHARE,
    FORGOT,
    LEAST_CLUSTERS,
    LEAST_LOSS_RISE,
    LOSS_RISE,
    SEEN_GAP,
    UNSEEN_RIGHT_SHARE,
)


def solved_by_base(evidence: Evidence) -> Verdict | None:
    """Apply if the base is at the ceiling, and the tuned model gains nothing on it."""
    difference = evidence.tuned_base
    found = _at_ceiling(evidence, BASE, difference)
    if found is None or difference is None:
        return None
    sentence = state("base_is_at_ceiling", score_figures(found))
    if loses(difference):
        figures = score_figures(found) | tuned_figures(difference)
        sentence = state("base_is_at_ceiling_tuned_is_worse", figures)
    return build_verdict(VerdictKind.SOLVED_ALREADY, sentence, state("use_base"))


def solved_by_prompt(evidence: Evidence) -> Verdict | None:
    """Apply if the best prompt is at the ceiling, and the tuned model gains nothing on it."""
    found = _at_ceiling(evidence, PROMPT, evidence.tuned_prompt)
    if found is None:
        return None
    prompt = prompt_figures(evidence.comparison.column(PROMPT))
    return build_verdict(
        VerdictKind.SOLVED_ALREADY,
        state("prompt_is_at_ceiling", prompt, score_figures(found)),
        state("use_base_with_prompt", prompt),
    )


def _at_ceiling(evidence: Evidence, column: str, tuned: Difference | None) -> Score | None:
    """Return the column's score if it is at the ceiling and `tuned`, minus it, is no gain."""
    if tuned is None or gains(tuned):
        return None
    return evidence.ceiling(column)


def serve(evidence: Evidence) -> Verdict | None:
    """Apply if the tuned model beats base and prompt, whether or not it is safe to serve."""
    if not evidence.rivals or not all(map(gains, evidence.rivals)):
        return None
    strongest = evidence.rivals[0]
    gain = effect_figures(strongest) | worse_figures(strongest)
    return _memorized(evidence, gain) or _forgot(evidence, gain) or _safe(evidence, gain)


def _safe(evidence: Evidence, gain: Figures) -> Verdict:
    much_worse = sum(found.much_worse for found in evidence.rivals)
    return build_verdict(
        VerdictKind.SERVE,
        state("tuned_is_better", gain),
        state("serve_tuned", savings_figures(evidence.comparison), much_worse=much_worse),
    )


def _memorized(evidence: Evidence, gain: Figures) -> Verdict | None:
    found = evidence.comparison.memorization
    if found is None or not (found.canaries_returned or found.personal):
        return None
    return build_verdict(
        VerdictKind.MEMORIZED,
        state("tuned_returns_training_text", gain, memorized_figures(found)),
        state("remove_personal_data"),
    )


def _forgot(evidence: Evidence, gain: Figures) -> Verdict | None:
    found = evidence.comparison.forgetting
    if found is None or found.change > -FORGOT or found.high >= 0:
        return None
    figures = gain | lost_figures(found) | worst_language_figures(found)
    return build_verdict(
        VerdictKind.FORGOT,
        state("tuned_lost_general_abilities", figures),
        state("train_without_forgetting"),
    )


def nothing_to_compare(evidence: Evidence) -> Verdict | None:
    """Apply if no row was answered by both the base and the tuned model."""
    if evidence.tuned_base is not None:
        return None
    return build_verdict(
        VerdictKind.CANNOT_TELL,
        state("no_common_rows", rows_needed=LEAST_CLUSTERS),
        state("hold_out_rows", rows_needed=LEAST_CLUSTERS),
        rows_needed=LEAST_CLUSTERS,
    )


def use_prompt(evidence: Evidence) -> Verdict | None:
    """Apply if any gain over the best prompt is too small to matter."""
    found, prompt_base = evidence.tuned_prompt, evidence.prompt_base
    if found is None or not is_no_better(found):
        return None
    if _is_pointless(evidence.tuned_base) and not (prompt_base and is_better(prompt_base)):
        return None  # base, prompt and tuned are equal: `no_gain` applies
    prompt = prompt_figures(evidence.comparison.column(PROMPT))
    if is_worse(found):
        code = "prompt_is_better"
    elif is_better(found):
        code = "prompt_is_almost_as_good"
    else:
        code = "prompt_is_as_good"
    return build_verdict(
        VerdictKind.PROMPT,
        state(code, prompt, effect_figures(found)),
        state("use_prompt_of_report", prompt),
    )


def no_gain(evidence: Evidence) -> Verdict | None:
    """Apply if any gain over the base is too small to matter."""
    found = evidence.tuned_base
    if found is None or not is_no_better(found):
        return None
    return build_verdict(
        VerdictKind.NO_GAIN,
        state("no_gain", effect_figures(found)),
        state("use_base_and_check_rows"),
    )


def cannot_tell(evidence: Evidence) -> Verdict:
    """Return the number of rows that would decide. Applies if no other rule does."""
    found = _undecided(evidence)
    assert found is not None
    more = evidence.more_rows(found)
    figures = effect_figures(found) | {"rows_needed": more}
    if found.clusters < LEAST_CLUSTERS:
        sentence = state("too_few_prompts", figures, prompts_needed=LEAST_CLUSTERS)
    else:
        sentence = state("undecided", figures, worse_figures(found), power_figures(found))
    return build_verdict(
        VerdictKind.CANNOT_TELL,
        sentence,
        state("hold_out_more_rows", rows_needed=more),
        rows_needed=more,
    )


def needs_too_many_rows(evidence: Evidence) -> Verdict | None:
    """Apply if only more rows than an evaluation may have would decide."""
    most = evidence.comparison.most_rows
    found = _undecided(evidence)
    if most is None or found is None or found.n + evidence.more_rows(found) <= most:
        return None
    more = evidence.more_rows(found)
    figures = effect_figures(found) | {"rows_in_all": found.n + more, "most_rows": most}
    return build_verdict(
        VerdictKind.CANNOT_TELL,
        state("needs_too_many_rows", figures),
        state("keep_or_train_on_other_rows"),
        rows_needed=more,
    )


def _undecided(evidence: Evidence) -> Difference | None:
    """Return the difference that is no gain and needs the most rows; None if all are gains."""
    open_ = [found for found in evidence.rivals if not gains(found)]
    return max(open_, key=evidence.more_rows, default=None)


def _is_pointless(found: Difference | None) -> bool:
    return found is not None and is_no_better(found)


def checkpoint_is_better(evidence: Evidence) -> Verdict | None:
    """Apply if a checkpoint beats the final model."""
    best = max(filter(gains, evidence.checkpoints), key=lambda found: found.mean, default=None)
    if best is None:
        return None
    comparison = evidence.comparison
    rivals = [difference(comparison, comparison.primary, best.a, other) for other in (BASE, PROMPT)]
    is_useful = all(gains(found) for found in rivals if found is not None)
    return build_verdict(
        VerdictKind.OVERFIT,
        state("checkpoint_is_better", effect_figures(best), checkpoint=best.a),
        state("serve_checkpoint" if is_useful else "train_fewer_steps", checkpoint=best.a),
    )


def loss_rose(evidence: Evidence) -> Verdict | None:
    """Apply if the loss on the held-out rows rose during the training."""
    lowest = lowest_loss(evidence)
    if lowest is None:
        return None
    figures = loss_figures(lowest, evidence.comparison.column(TUNED))
    return build_verdict(
        VerdictKind.OVERFIT,
        state("held_out_loss_rose_without_gain", figures),
        state("train_less"),
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


def worse(evidence: Evidence) -> Verdict | None:
    """Apply if the tuned model is worse than the base, overall or in a language."""
    overall = evidence.tuned_base
    if overall is not None and loses(overall):
        sentence = state("tuned_is_worse", effect_figures(overall))
        return build_verdict(VerdictKind.WORSE, sentence, state("check_rows"))
    return _worse_in_a_language(evidence)


def _worse_in_a_language(evidence: Evidence) -> Verdict | None:
    lost = sorted(filter(loses, evidence.languages), key=lambda found: found.mean)
    if not lost:
        return None
    figures = language_figures(lost)
    return build_verdict(
        VerdictKind.WORSE,
        state("tuned_is_worse_in_languages", figures),
        state("add_rows_in_languages", languages=figures["languages"]),
    )


def use_retrieval(evidence: Evidence) -> Verdict | None:
    """Apply if the answers are facts, of which the tuned model knows only trained ones at best."""
    found = evidence.comparison.retrieval
    if found is None or not _needs_facts(found):
        return None
    return build_verdict(
        VerdictKind.RETRIEVAL,
        state("facts_not_learned", retrieval_figures(found)),
        state("use_retrieval", found=found.found, rows=found.rows),
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
