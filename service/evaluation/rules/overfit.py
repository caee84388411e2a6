"""Rules for models that were trained too long."""

from __future__ import annotations

from service.evaluation.comparison import BASE, PROMPT, TUNED, Column
from service.evaluation.evidence import Evidence, gains
from service.evaluation.results import Verdict, VerdictKind
from service.evaluation.statistics.differences import difference
from service.evaluation.thresholds import LEAST_LOSS_RISE, LOSS_RISE
from service.evaluation.wording import sized


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
        sentence=f"Overfit: {best.a} beats the final model by {sized(best)}.",
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
