"""The rule for models that training made worse."""

from __future__ import annotations

from service.datasets.text.languages import language_name
from service.evaluation.evidence import Evidence, loses
from service.evaluation.results import Verdict, VerdictKind
from service.evaluation.wording import listed, sized


def worse(evidence: Evidence) -> Verdict | None:
    """Apply if the tuned model is worse than the base, overall or in a language."""
    overall = evidence.tuned_base
    if overall is not None and loses(overall):
        return Verdict(
            kind=VerdictKind.WORSE,
            sentence=f"Worse than the base: {sized(overall)}.",
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
    names = listed([language_name(found.language or "") for found in lost])
    sizes = "; ".join(map(sized, lost))
    return Verdict(
        kind=VerdictKind.WORSE,
        sentence=f"Worse than the base in {names}: {sizes}.",
        recommendation=f"Add training rows in {names}, or keep the base for users who write in it.",
    )
