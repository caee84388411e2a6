"""The data set report as plain values, which can be rendered in several formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.datasets.checks.issues import Issue
from service.datasets.checks.validate import ValidationReport
from service.datasets.facts import SourceFacts


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
    """Rows of the validation file that also appear in the training file."""

    rows: int
    exact: int
    near: int
    same_prompt: int
    examples: list[list[int]]  # [validation line, training line]


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
    """Recommended action, with its reason and evidence. The most urgent advice comes first."""

    code: str
    title: str
    text: str
    evidence: dict[str, float]
    lines: list[int] = msgspec.field(default_factory=list)


class Report(msgspec.Struct, frozen=True):
    """Report on a data set. Line numbers refer to the file as uploaded."""

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

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return built
