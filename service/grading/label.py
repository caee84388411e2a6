"""Comparison of labels by `label` graders."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from service.grading.errors import ItemFailed
from service.grading.results import LabelPair

_QUOTING: Final = " \t\n*_`\"'.,:;!?。、！？：；，“”‘’„«»‹›「」『』【】()[]{}<>"


def normalize_label(text: str) -> str:
    """Return a label without case, surrounding quotes and punctuation, and superfluous spaces."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_QUOTING) or folded  # a label may be all punctuation, such as "?"


def compare(text: str, reference: str, labels: Sequence[str] | None) -> LabelPair:
    """Return the expected and the given label. Raises ItemFailed for an unknown reference."""
    given, expected = normalize_label(text), normalize_label(reference)
    if labels is None:
        return LabelPair(expected, given or None)
    known = {normalize_label(label): label for label in labels}
    if expected not in known:
        raise ItemFailed("other_error", "The reference is not one of the grader's labels.")
    return LabelPair(known[expected], known.get(given))
