"""Decides the verdict of an evaluation: one sentence with its numbers, and what to do.

Rules are tried in this order, and the first that applies decides:

1. **cannot_tell**: no row was answered by both the base and the tuned model.
2. **retrieval**: the answers are facts, and the tuned model gets unseen ones wrong. This comes
   before all other findings since it explains a bad score, and no other training would help.
3. **overfit**: a checkpoint is better than the final model.
4. **solved_already**: the base is at the ceiling, and the tuned model gains nothing on it.
5. **worse**: the tuned model is worse than the base, overall or in a language.
6. **solved_already**: the best prompt is at the ceiling, and the tuned model gains nothing on it.
7. If the tuned model beats both base and prompt: **memorized** if it returns canaries or personal
   data, else **forgot** if it lost general abilities, else **serve**.
8. **overfit**: the held-out loss rose, and the tuned model did not beat base and prompt.
9. **prompt**: any gain over the best prompt is too small to matter.
10. **no_gain**: any gain over the base is too small to matter.
11. **cannot_tell**: everything else, with the number of rows to collect unless that is more than an
    evaluation may have.

A finding that does not decide becomes a warning. `evidence.py` defines "better", "worse" and "too
small to matter"; `thresholds.py` contains all thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison
from service.verdict.evidence import Evidence, is_worse
from service.verdict.results import Statement, Verdict, VerdictKind
from service.verdict.rules import (
    cannot_tell,
    checkpoint_is_better,
    loss_rose,
    lowest_loss,
    needs_too_many_rows,
    no_gain,
    nothing_to_compare,
    serve,
    solved_by_base,
    solved_by_prompt,
    use_prompt,
    use_retrieval,
    worse,
)
from service.verdict.statements import (
    effect_figures,
    loss_figures,
    lost_figures,
    memorized_figures,
    state,
    write,
)
from service.verdict.thresholds import FORGETTING_WARNING, LEAST_LANGUAGE_ROWS, MISSING_SHARE

_RULES: Final[tuple[Callable[[Evidence], Verdict | None], ...]] = (
    nothing_to_compare,
    use_retrieval,
    checkpoint_is_better,
    solved_by_base,
    worse,
    solved_by_prompt,
    serve,
    loss_rose,
    use_prompt,
    no_gain,
    needs_too_many_rows,
    cannot_tell,
)


def judge(comparison: Comparison) -> Verdict:
    """Return the verdict of a comparison. The same comparison always gets the same verdict."""
    evidence = Evidence.from_comparison(comparison)
    found = next(verdict for rule in _RULES if (verdict := rule(evidence)) is not None)
    warnings = _warnings(evidence, found.kind)
    return msgspec.structs.replace(
        found,
        warnings=list(map(write, warnings)),
        warning_details=warnings,
        differences=evidence.differences,
    )


def _warnings(evidence: Evidence, kind: VerdictKind) -> list[Statement]:
    """Return the warnings that the verdict of this kind does not already contain."""
    return [
        *_unverified(evidence),
        *_unfit_rows(evidence),
        *_missing(evidence),
        *_worse_metrics(evidence),
        *_rare_languages(evidence),
        *(_forgetting(evidence) if kind != VerdictKind.FORGOT else ()),
        *(_memorization(evidence) if kind != VerdictKind.MEMORIZED else ()),
        *(_loss(evidence) if kind != VerdictKind.OVERFIT else ()),
    ]


def _unverified(evidence: Evidence) -> Iterator[Statement]:
    comparison = evidence.comparison
    if not comparison.base_verified:
        yield state("base_not_verified")
    if comparison.column(PROMPT) is None and comparison.column(TUNED) is not None:
        yield state("no_prompt_compared")


def _unfit_rows(evidence: Evidence) -> Iterator[Statement]:
    comparison = evidence.comparison
    if comparison.overlapping is None:
        yield state("overlap_not_checked")
    elif comparison.overlapping:
        yield state("overlapping_rows", rows=comparison.overlapping)
    if comparison.chosen_on_rows:
        yield state("chosen_on_rows")


def _missing(evidence: Evidence) -> Iterator[Statement]:
    total = len(evidence.comparison.rows)
    for name in (BASE, PROMPT, TUNED):
        if evidence.comparison.column(name) is None:
            continue
        failed = sum(
            name not in row.answers or row.answers[name].error is not None
            for row in evidence.comparison.rows
        )
        if failed > total * MISSING_SHARE:
            yield state("answers_failed", answers=failed, column=name)


def _worse_metrics(evidence: Evidence) -> Iterator[Statement]:
    for found in evidence.other_metrics:
        if is_worse(found):
            yield state("worse_on_metric", effect_figures(found))


def _rare_languages(evidence: Evidence) -> Iterator[Statement]:
    counts = Counter(row.language for row in evidence.comparison.rows if row.language)
    rare = sorted(name for name, rows in counts.items() if rows < LEAST_LANGUAGE_ROWS)
    if rare and len(counts) > 1:
        figures = {"languages": rare, "rows_needed": LEAST_LANGUAGE_ROWS}
        yield state("too_few_rows_in_languages", figures)


def _forgetting(evidence: Evidence) -> Iterator[Statement]:
    found = evidence.comparison.forgetting
    if found is not None and found.change <= -FORGETTING_WARNING and found.high < 0:
        yield state("lost_general_abilities", lost_figures(found))


def _memorization(evidence: Evidence) -> Iterator[Statement]:
    found = evidence.comparison.memorization
    if found is not None and (found.returned or found.personal):
        yield state("returns_training_text", memorized_figures(found))


def _loss(evidence: Evidence) -> Iterator[Statement]:
    lowest = lowest_loss(evidence)
    if lowest is not None:
        final = evidence.comparison.column(TUNED)
        yield state("held_out_loss_rose", loss_figures(lowest, final))
