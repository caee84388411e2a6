"""Score of a row's quality: 1, minus the weight of each kind of finding in the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from service.datasets.checks.issue_codes import CHECKS


class Weight(NamedTuple):
    """What a kind of finding takes off a score, in tenths, with the reason."""

    tenths: int
    reason: str

    @property
    def points(self) -> float:
        """What the finding takes off, from 0 to 1."""
        return self.tenths / TENTHS


TENTHS: Final = 10
BEST: Final = 1.0
UNUSABLE: Final = Weight(TENTHS, "The row cannot be trained on.")
NONE: Final = Weight(0, "The finding says nothing about how good the row is.")

WEIGHTS: Final[Mapping[str, Weight]] = MappingProxyType(
    {
        # What the row teaches is wrong in any application.
        "null_text": Weight(8, "There is no text to learn from."),
        "same_outputs": Weight(8, "There is no preference to learn."),
        "placeholder": Weight(6, "Users of the model would see the placeholder."),
        "echo": Weight(6, "The question is not answered."),
        "broken_json": Weight(6, "A program cannot read such an answer."),
        "arguments_mismatch": Weight(6, "The tool cannot be called like this."),
        "mojibake": Weight(6, "The letters are wrong."),
        "cut_off_answer": Weight(5, "The model learns to stop too early."),
        "schema_mismatch": Weight(5, "The answer or its schema is wrong."),
        # Wrong in most applications, or one of two rows is wrong and it may be the other.
        "refusal": Weight(4, "Most refusals are mistakes, but some are wanted."),
        "contradiction": Weight(4, "One of two answers is wrong, perhaps the other one."),
        "label_contradiction": Weight(4, "One of two labels is wrong, perhaps the other one."),
        "exact_duplicate": Weight(4, "The row adds nothing, and counts twice."),
        "unclear_label": Weight(4, "The row may be marked as one not to learn from."),
        "rows_in_field": Weight(4, "The answer may contain other rows."),
        # Often wrong, or right in itself and harmful in another way.
        "personal_data": Weight(3, "The model can repeat it, and a cleaning masks it."),
        "answer_in_other_language": Weight(3, "Users expect an answer in their language."),
        "html": Weight(3, "Users see tags, unless the application shows HTML."),
        "special_token": Weight(3, "It may end the answer in the middle."),
        "wrong_language": Weight(2, "The row may belong to another data set."),
        "near_duplicate": Weight(2, "The row adds only another wording."),
        "truncated": Weight(2, "The end is lost, unless the context is longer."),
        "empty_turn": Weight(2, "Something that was said is missing."),
        "control_character": Weight(2, "The text was damaged where it was copied."),
        "unanswered_tool_call": Weight(2, "The result of the tool is missing."),
        "undeclared_tool": Weight(2, "The model learns to call a tool that it is not given."),
        "mixed_encoding": Weight(2, "The letters may be wrong."),
        # Unusual, which is not wrong by itself.
        "very_short_answer": Weight(1, "A short answer may be complete."),
        "very_long_row": Weight(1, "A long row may be good, and takes more memory."),
        "system_not_first": Weight(1, "Some chat templates refuse this order."),
        "starts_with_assistant": Weight(1, "Some chat templates refuse this order."),
        "repeated_role": Weight(1, "Some chat templates refuse this order."),
        "ends_without_assistant": Weight(1, "Nothing is learned from the end."),
        "duplicate_tool": Weight(1, "One of the tools is not used."),
        # Errors that are reported at the first of many rows, or that say something about a model.
        "tools_not_supported": NONE,
    }
)


def weight(code: str) -> Weight:
    """Return the weight of a kind of finding. An error takes off everything."""
    default = UNUSABLE if CHECKS[code].severity == "error" else NONE
    return WEIGHTS.get(code, default)


def score(codes: Iterable[str]) -> float:
    """Return the score of a row from the codes of its findings, each of which counts once."""
    return _score(frozenset(codes))


@lru_cache(maxsize=4096)  # many rows have the same findings
def _score(codes: frozenset[str]) -> float:
    lost = sum(weight(code).tenths for code in codes)
    return max(TENTHS - lost, 0) / TENTHS
