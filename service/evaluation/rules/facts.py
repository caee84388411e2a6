"""The rule that recommends retrieval."""

from __future__ import annotations

from service.evaluation.comparison import Retrieval
from service.evaluation.evidence import Evidence
from service.evaluation.results import Verdict, VerdictKind
from service.evaluation.thresholds import FACTS_SHARE, SEEN_GAP, UNSEEN_RIGHT_SHARE


def use_retrieval(evidence: Evidence) -> Verdict | None:
    """Apply if the answers are facts that the tuned model knows at best from its training rows."""
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
