"""The labels of judged answers: whether a column holds them, and whether both occur."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.facts import RowFormat

_TEXTS: Final = {"true": True, "false": False}
# The label is the last field of a canonical row.
_ENDINGS: Final = {b'"label":true}': True, b'"label":false}': False}
_ENDING_BYTES: Final = max(map(len, _ENDINGS)) + 1


def as_label(value: Any) -> Any:
    """Convert a label that a table holds as text to a boolean. Other values are unchanged."""
    return _TEXTS.get(value.strip().casefold(), value) if isinstance(value, str) else value


def are_labels(values: Iterable[Any], *, as_text: bool) -> bool:
    """Whether the values are all booleans, in a container of text also `true` and `false`.

    Other labels are the names of classes, say, and no judgment.
    """
    taken = [as_label(value) if as_text else value for value in values]
    return bool(taken) and all(isinstance(value, bool) for value in taken)


class LabelsSeen:
    """The labels of the canonical rows of a file."""

    def __init__(self, row_format: RowFormat) -> None:
        self._looks = row_format == "labeled"
        self._seen: set[bool] = set()

    def look(self, line: bytes) -> None:
        """Note the label of a canonical row."""
        if self._looks and len(self._seen) < len(_ENDINGS):
            ending = line[-_ENDING_BYTES:].rstrip()
            self._seen.update(label for end, label in _ENDINGS.items() if ending.endswith(end))

    def check(self, log: IssueLog) -> None:
        """Add an issue if only one of the two labels occurs."""
        if len(self._seen) == 1:
            log.add(make_issue("one_label", label=str(self._seen.pop()).lower()))
