"""Detects fields that mark a row or answer as a negative example, and labels of judged answers.

Apart from `weight` and the `label` of labeled rows, the supported formats have no such fields. If
one were ignored, the model would learn from bad answers, so such rows are rejected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from service.datasets.checks.issues import IssueLog, RowIssues, make_issue, pointer_to, printable
from service.datasets.formats.options import RowFormat

# A false value in a _GOOD field, or a true value in a _BAD field, marks a negative example.
# A field name may have the prefix `is_`.
_GOOD = frozenset(
    [
        *("label", "labels", "feedback", "rating", "weight", "sample_weight"),
        *("good", "accept", "accepted", "approved", "correct", "valid", "verified", "helpful"),
        *("chosen", "preferred", "desirable", "like", "liked", "thumbs_up"),
        *("keep", "use", "include", "train", "trainable", "learn"),
    ]
)
_BAD = frozenset(
    [
        *("bad", "wrong", "rejected", "undesirable", "dislike", "disliked", "thumbs_down"),
        *("flagged", "toxic", "harmful", "exclude", "excluded", "skip", "skipped"),
        *("ignore", "ignored", "deleted"),
    ]
)
_FALSE = frozenset(("false", "rejected", "undesirable", "thumbs_down", "disliked", "👎"))
_PERHAPS_FALSE = frozenset(
    ("0", "0.0", "-1", "-1.0", "no", "n", "f", "bad", "wrong", "incorrect", "dislike")
)
_TRUE = frozenset(("true",))
_PERHAPS_TRUE = frozenset(("1", "1.0", "yes", "y", "t"))
_RATINGS = frozenset(
    [
        *("score", "scores", "score_chosen", "score_rejected", "quality", "quality_score"),
        *("rating", "ratings", "reward", "rewards", "rank", "ranking", "stars", "feedback"),
        *("vote", "votes", "upvotes", "downvotes", "thumbs", "weight", "weights", "sample_weight"),
    ]
)
# Names of columns with context for a question.
CONTEXTS = (
    "context", "contexts", "input", "passage", "passages", "document", "documents", "paragraph",
    "background", "article", "knowledge", "evidence", "retrieved_context", "retrieved_contexts",
    "上下文", "文脈", "コンテキスト", "문맥", "บริบท", "ngữ cảnh", "konteks", "संदर्भ", "kontext",
    "contexte", "contexto", "contesto", "контекст", "سياق",
)  # fmt: skip
_PREFERENCES = frozenset(
    [
        *("chosen", "rejected", "preferred", "non_preferred"),
        *("preferred_output", "non_preferred_output"),
        *("preferred_completion", "non_preferred_completion"),
    ]
)


def check_negative_fields(
    found: RowIssues, owner: Mapping[str, Any], at: str, known: Collection[str] = ()
) -> None:
    """Add an issue for each field, except the `known` ones, that marks a negative example."""
    for key, value in owner.items():
        if key in known or isinstance(value, list | dict) or value is None:
            continue
        code = _code(_plain(key), str(value).strip().casefold().replace(" ", "_"))
        if code is not None:
            found.add(code, pointer_to(at, key), field=printable(key))


def unused_code(column: str, row_format: str) -> str:
    """Return the issue code for a column that is not used."""
    name = _plain(column)
    if row_format == "chat" and name in _PREFERENCES:
        return "unused_preference"
    if name in CONTEXTS:
        return "unused_context"
    return "unused_rating" if name in _RATINGS else "unused_column"


def _plain(text: str) -> str:
    """Normalize a column name to the form used in the lists above."""
    return "_".join(text.casefold().replace("-", " ").replace("_", " ").split())


def _code(name: str, value: str) -> str | None:
    name = name.removeprefix("is_")
    if name in _GOOD:
        surely, perhaps = _FALSE, _PERHAPS_FALSE
    elif name in _BAD:
        surely, perhaps = _TRUE, _PERHAPS_TRUE
    else:
        return None
    if value in surely:
        return "negative_example"
    return "unclear_label" if value in perhaps else None


_TEXTS: Final = {
    **dict.fromkeys(("true", "👍", "thumbs_up", "thumbs up", "thumbsup", "up", "liked"), True),
    **dict.fromkeys(
        ("false", "👎", "thumbs_down", "thumbs down", "thumbsdown", "down", "disliked"), False
    ),
}
# The label is the last field of a canonical row.
_ENDINGS: Final = {b'"label":true}': True, b'"label":false}': False}
_ENDING_BYTES: Final = max(map(len, _ENDINGS)) + 1


def as_label(value: Any) -> Any:
    """Convert a label that a table holds as text to a boolean. Other values are unchanged."""
    return _TEXTS.get(value.strip().casefold(), value) if isinstance(value, str) else value


def are_labels(values: Iterable[Any], *, as_text: bool) -> bool:
    """Return whether all values are booleans or, if `as_text`, texts such as true and 👎.

    Other labels are, for example, names of classes.
    """
    taken = [as_label(value) if as_text else value for value in values]
    return bool(taken) and all(isinstance(value, bool) for value in taken)


class LabelsSeen:
    """Collects the labels of the canonical rows of a file."""

    def __init__(self, row_format: RowFormat) -> None:
        self._is_labeled = row_format == "labeled"
        self._seen: set[bool] = set()

    def add(self, line: bytes) -> None:
        """Record the label of a canonical row."""
        if self._is_labeled and len(self._seen) < len(_ENDINGS):
            ending = line[-_ENDING_BYTES:].rstrip()
            self._seen.update(label for end, label in _ENDINGS.items() if ending.endswith(end))

    def check(self, log: IssueLog) -> None:
        """Add an issue if only one of the two labels occurs."""
        if len(self._seen) == 1:
            log.add(make_issue("one_label", label=str(self._seen.pop()).lower()))
