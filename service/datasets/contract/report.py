"""Types of the report on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from service.datasets.checks.issues import Issue
from service.datasets.checks.validate import ValidationReport
from service.datasets.formats.options import SourceFacts


class Histogram(msgspec.Struct, frozen=True):
    """Histogram of values.

    `counts[i]` values are in [edges[i], edges[i + 1]). The last bin includes its upper edge.
    """

    edges: list[float]
    counts: list[int]


class Distribution(msgspec.Struct, frozen=True):
    """Distribution of a per-row number."""

    min: int
    p50: int
    p95: int
    max: int
    mean: float
    total: int
    histogram: Histogram


class Scores(msgspec.Struct, frozen=True):
    """Quality scores of the rows, from 0 to 1.

    A score is 1, minus the weight of each kind of finding in the row, and at least 0. A broken row
    has 0. `weights` has the amount by which each kind of finding in this file lowers a score. The
    bins of the histogram are a tenth wide; the last one has the rows with a score of 1.
    """

    mean: float
    histogram: Histogram
    weights: dict[str, float]


class TokenStats(msgspec.Struct, frozen=True):
    """Token counts for one model's tokenizer.

    Counts cover `rows` rows, which are a sample if the file is large. They include the tokens
    of the texts and five per message for what a chat template adds. `truncated_rows` and
    `unlearnable_rows` map a context length to the number of rows that it truncates or leaves
    with nothing to learn from.
    """

    model: str
    rows: int
    sampled: bool
    tokens: Distribution
    supervised_tokens: Distribution
    truncated_rows: dict[int, int]
    unlearnable_rows: dict[int, int]


class TokenizerFit(msgspec.Struct, frozen=True):
    """Efficiency of a model's tokenizer for a language.

    For comparison, English takes about 0.25 tokens per character.
    """

    model: str
    language: str
    rows: int
    tokens_per_character: float
    byte_fallback_share: float


class GroupStats(msgspec.Struct, frozen=True):
    """Groups of similar rows.

    `extra_rows` is the number of rows that could be removed. `examples` lists line numbers of
    the largest groups.
    """

    groups: int
    rows: int
    extra_rows: int
    examples: list[list[int]]


class OverlapStats(msgspec.Struct, frozen=True):
    """Rows of the validation file that also appear in the training file.

    `near` counts rows that mean the same as a training row, and `contained` counts rows with a
    question and answer that a training conversation contains. `same_prompt` counts rows that ask
    a question of the training file, whatever the answer.
    """

    rows: int
    exact: int
    near: int
    same_prompt: int
    examples: list[list[int]]  # [validation line, training line]
    contained: int = 0


PairKind = Literal[
    "near_duplicate",
    "same_form",
    "contradiction",
    "overlap",
    "same_meaning",
    "meaning_contradiction",
    "meaning_overlap",
]


class MeaningStats(msgspec.Struct, frozen=True):
    """Rows that a text encoder called equal in meaning, in reports of earlier versions."""

    encoder: str
    questions: int
    skipped: int
    same_meaning: int
    contradictions: int
    overlap: int


class RowPair(msgspec.Struct, frozen=True):
    """Two rows that are worth comparing.

    `similarity` is the share of words, or of characters in scripts without spaces, that the rows
    have in common in the same order, from 0 to 1, ignoring punctuation and politeness. For
    `contradiction`, only the questions count. In the texts, detected personal data is masked, and
    long texts are truncated. The kinds `same_meaning`, `meaning_contradiction`, and
    `meaning_overlap` occur only in reports of earlier versions. For `overlap` and
    `meaning_overlap`, `line` refers to the validation file, and `other_line` to the training file.
    """

    kind: PairKind
    line: int
    other_line: int
    similarity: float
    text: str
    other_text: str


class Share(msgspec.Struct, frozen=True):
    """Number and share of rows in a language or script."""

    name: str
    rows: int
    share: float


class PersonalData(msgspec.Struct, frozen=True):
    """Number and locations of findings of one kind of personal data, without the values."""

    kind: str
    count: int
    places: list[tuple[int, str]]  # line, JSON pointer


class SystemPrompts(msgspec.Struct, frozen=True):
    """Statistics on system prompts.

    `top_share` is the share of all rows that have the most common system prompt.
    """

    distinct: int
    rows_without: int
    top_share: float


class Advice(msgspec.Struct, frozen=True):
    """Recommended action, with its reason and evidence. The most urgent advice comes first.

    Title and text are made of `variant`, the code of their wording, and `figures`, so a program can
    show them in another language. In reports of earlier versions, both are empty.
    """

    code: str
    title: str
    text: str
    evidence: dict[str, float]
    lines: list[int] = msgspec.field(default_factory=list)
    variant: str = ""
    figures: dict[str, Any] = msgspec.field(default_factory=dict)


class Report(msgspec.Struct, frozen=True):
    """Report on a data set. Line numbers refer to the file as uploaded.

    Rows of `near_duplicates` mean the same. Rows of `same_form` differ in a word, a number, a name
    or a sign, and are not copies. `pairs` shows examples of both, of `contradictions`, and of
    `overlap`, with their texts.
    """

    version: int
    source: SourceFacts
    validation: ValidationReport
    rows: int
    turns: Distribution | None
    characters: Distribution | None
    answer_characters: Distribution | None
    tokens: list[TokenStats]
    tokenizer_fit: list[TokenizerFit]
    languages: list[Share]
    scripts: list[Share]
    exact_duplicates: GroupStats
    near_duplicates: GroupStats
    contradictions: GroupStats
    overlap: OverlapStats | None
    personal_data: list[PersonalData]
    system_prompts: SystemPrompts
    findings: tuple[Issue, ...]
    finding_counts: Mapping[str, int]
    advice: list[Advice]
    same_form: GroupStats = GroupStats(0, 0, 0, [])
    pairs: list[RowPair] = msgspec.field(default_factory=list)
    possible_personal_data: list[PersonalData] = []
    """Numbers that no word confirms as personal data. Reports of earlier versions have none."""
    scores: Scores | None = None
    """Null in reports of earlier versions, and without rows."""
    meaning: MeaningStats | None = None
    """What a text encoder found, in reports of earlier versions."""
