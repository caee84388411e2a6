"""Options of a cleaning. This module imports no libraries that read or change text."""

from __future__ import annotations

from typing import Literal

import msgspec

from service.datasets.limits import NEAR_THRESHOLD

ContradictionRule = Literal["keep", "first", "last", "most_common", "longest", "drop"]
RedactMode = Literal["keep", "mask", "pseudonym"]
UnicodeForm = Literal["keep", "NFC", "NFKC"]


class CleanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options for cleaning a data set. Of each group of duplicates, the first row is kept.

    `exact_duplicates` drops rows that are identical in everything that is trained on: the
    system prompt, the tools, all messages, the rejected answer of a preference row, and the
    label of a labeled row.
    `near_duplicates` also drops rows that mean the same as an earlier one, if their system
    prompt, tools, rejected answer, and label are the same. With a `near_threshold` of 1, the rows
    may differ only in case, spacing, punctuation, and politeness.
    `contradictions` selects the answer to keep if a question has several, or the label to keep
    if the same answer has both. `possible_personal_data` also redacts numbers that have the form
    of personal data, but that no word confirms. Repairs of the text are off by default. For
    `unicode`, NFKC also folds full-width letters and similar characters, which changes what the
    model writes. `validation_share` is the share of rows, 0 to 0.5, to write to a second file.
    """

    drop_broken: bool = True
    exact_duplicates: bool = True
    near_duplicates: bool = False
    near_threshold: float = NEAR_THRESHOLD
    contradictions: ContradictionRule = "keep"
    personal_data: RedactMode = "keep"
    possible_personal_data: bool = False
    unicode: UnicodeForm = "keep"
    mend_mojibake: bool = False
    drop_control_characters: bool = False
    validation_share: float = 0.0
    seed: int = 0
