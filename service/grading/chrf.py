"""chrF of `chrf` graders: F2 of character n-grams, right for languages without spaces."""

from __future__ import annotations

from service.grading.text_similarity import check_length


def chrf(text: str, reference: str) -> float:
    """Return sacrebleu's chrF divided by 100, from 0 to 1. Raises ItemFailed for long texts."""
    from sacrebleu.metrics.chrf import CHRF

    check_length(text, reference)
    if not text.strip() or not reference.strip():
        return float(text.strip() == reference.strip())
    return float(CHRF().sentence_score(text, [reference]).score) / 100
