"""Comparison of labels by `label` graders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.grading.errors import ItemFailed
from service.grading.results import LabelPair
from service.grading.words import narrow

_ENDS: Final = " .,;:!?。、"
_QUOTES: Final = "\"'`“”„‘’«»‹›"
_PAIRS: Final = frozenset({"**", "__", "()", "[]", "{}", "<>", "「」", "『』", "【】"})


def normalize_label(text: str) -> str:
    """Return a label without case, surrounding quotes and punctuation, and superfluous spaces.

    Signs at one side only, as in "<5", "A*" and ".5", are part of the label.
    """
    folded = " ".join(narrow(text).lower().split())
    label = folded
    while (inner := _inner(label)) != label:
        label = inner
    return label or folded  # a label may be all punctuation, such as "?"


def _inner(label: str) -> str:
    label = label.rstrip(_ENDS).strip(_QUOTES + " ")
    return label[1:-1].strip() if label[:1] + label[1:][-1:] in _PAIRS else label


def compare(text: str, reference: str, labels: Sequence[str] | None) -> LabelPair:
    """Return the expected and the given label. Raises ItemFailed for an unknown reference."""
    given, expected = normalize_label(text), normalize_label(reference)
    if labels is None:
        return LabelPair(expected, given or None)
    known = {normalize_label(label): label for label in labels}
    if expected not in known:
        raise ItemFailed("other_error", "The reference is not one of the grader's labels.")
    return LabelPair(known[expected], known.get(given))
