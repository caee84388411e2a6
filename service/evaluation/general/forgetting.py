"""What a training made a model forget, from its scores on the general set before and after."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from service.evaluation.comparison import Forgetting, LanguageForgetting
from service.evaluation.general.items import Item
from service.evaluation.statistics.clusters import Clusters
from service.evaluation.statistics.intervals import difference_interval


def forgetting(items: Sequence[Item], base: Sequence[float], tuned: Sequence[float]) -> Forgetting:
    """Compare the scores of the base and the tuned model, given by item.

    The scores, from 0 to 1, are the probabilities of the right choices. Raises ValueError if there
    are no items, or not one score each per item.
    """
    if not items:
        raise ValueError("at least one item is needed")
    rows = list(zip(items, base, tuned, strict=True))
    differences = Clusters.of([after - before for _, before, after in rows], [i.id for i in items])
    low, high = difference_interval(differences, fmean(base))
    return Forgetting(
        languages=[
            LanguageForgetting(
                language=language,
                rows=len(chosen),
                base=fmean(before for _, before, _ in chosen),
                tuned=fmean(after for _, _, after in chosen),
            )
            for language in dict.fromkeys(item.language for item in items)
            if (chosen := [row for row in rows if row[0].language == language])
        ],
        rows=len(rows),
        change=differences.mean,
        low=low,
        high=high,
    )
