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

from service.datasets.text.languages import language_name
from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison
from service.verdict.evidence import Evidence, is_worse
from service.verdict.results import Verdict, VerdictKind
from service.verdict.rules import (
    cannot_tell,
    checkpoint_is_better,
    loss_rose,
    lowest_loss,
    needs_too_many_rows,
    no_gain,
    nothing_to_compare,
    rise_of_loss,
    serve,
    solved_by_base,
    solved_by_prompt,
    use_prompt,
    use_retrieval,
    worse,
)
from service.verdict.thresholds import FORGETTING_WARNING, LEAST_LANGUAGE_ROWS, MISSING_SHARE
from service.verdict.wording import (
    column_name,
    effect,
    interval,
    join_names,
    memorized_text,
    metric_name,
    quantity,
)

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
    return msgspec.structs.replace(
        found, warnings=_warnings(evidence, found.kind), differences=evidence.differences
    )


def _warnings(evidence: Evidence, kind: VerdictKind) -> list[str]:
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


def _unverified(evidence: Evidence) -> Iterator[str]:
    comparison = evidence.comparison
    if not comparison.base_verified:
        yield "The base column was not verified to be the untrained base model."
    if comparison.column(PROMPT) is None and comparison.column(TUNED) is not None:
        yield "No prompt was compared: a good prompt might do as well as the tuned model."


def _unfit_rows(evidence: Evidence) -> Iterator[str]:
    comparison = evidence.comparison
    if comparison.overlapping is None:
        yield "The held-out rows were not compared with the training rows, and may be among them."
    elif comparison.overlapping:
        were = "was" if comparison.overlapping == 1 else "were"
        rows = quantity(comparison.overlapping, "held-out row")
        yield f"{rows} that the training data contains, exactly or nearly, {were} left out."
    if comparison.chosen_on_rows:
        yield (
            "The checkpoint or the trial was chosen by its loss on these rows, so the gain is "
            "overstated. Train again: new jobs keep half of the held-out rows apart."
        )


def _missing(evidence: Evidence) -> Iterator[str]:
    total = len(evidence.comparison.rows)
    for name in (BASE, PROMPT, TUNED):
        if evidence.comparison.column(name) is None:
            continue
        failed = sum(
            name not in row.answers or row.answers[name].error is not None
            for row in evidence.comparison.rows
        )
        if failed > total * MISSING_SHARE:
            yield f"{quantity(failed, 'answer')} of {column_name(name)} failed and were left out."


def _worse_metrics(evidence: Evidence) -> Iterator[str]:
    for found in evidence.other_metrics:
        if is_worse(found):
            rival = column_name(found.b)
            metric, size = metric_name(found.metric), effect(found, named=False)
            yield f"Worse than {rival} on {metric}: {size}."


def _rare_languages(evidence: Evidence) -> Iterator[str]:
    counts = Counter(row.language for row in evidence.comparison.rows if row.language)
    rare = sorted(name for name, rows in counts.items() if rows < LEAST_LANGUAGE_ROWS)
    if rare and len(counts) > 1:
        languages = join_names(list(map(language_name, rare)))
        yield (f"Too few rows to detect a loss in {languages} (fewer than {LEAST_LANGUAGE_ROWS}).")


def _forgetting(evidence: Evidence) -> Iterator[str]:
    found = evidence.comparison.forgetting
    if found is not None and found.change <= -FORGETTING_WARNING and found.high < 0:
        mean, limits = interval(-found.change, -found.high, -found.low)
        yield f"The tuned model lost {mean} points {limits} on the general set."


def _memorization(evidence: Evidence) -> Iterator[str]:
    found = evidence.comparison.memorization
    if found is not None and (found.returned or found.personal):
        yield f"The tuned model returns {memorized_text(found)}."


def _loss(evidence: Evidence) -> Iterator[str]:
    lowest = lowest_loss(evidence)
    if lowest is not None:
        rise = rise_of_loss(evidence, lowest)
        yield f"{rise[0].upper()}{rise[1:]}: it may be trained too long."
