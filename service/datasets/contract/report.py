"""Types of the report on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.datasets.checks.issues import Issue
from service.datasets.checks.validate import ValidationReport
from service.datasets.formats.options import SourceFacts


class Histogram(msgspec.Struct, frozen=True):
    """Histogram of values.

    `counts[i]` values are in [edges[i], edges[i + 1]). The last bin includes its upper edge.
    """

    edges: Annotated[
        list[float],
        Meta(description="Edges of the bins, in ascending order: one more than there are bins."),
    ]
    counts: Annotated[list[int], Meta(description="Number of values in each bin.")]


class Distribution(msgspec.Struct, frozen=True):
    """Distribution of a per-row number."""

    min: Annotated[int, Meta(description="Smallest value.")]
    p50: Annotated[int, Meta(description="Median of the values.")]
    p95: Annotated[int, Meta(description="95th percentile.")]
    max: Annotated[int, Meta(description="Largest value.")]
    mean: Annotated[float, Meta(description="Mean of the values.")]
    total: Annotated[int, Meta(description="Sum of all values.")]
    histogram: Annotated[Histogram, Meta(description="Histogram of the values.")]


class Scores(msgspec.Struct, frozen=True):
    """Quality scores of the rows, from 0 to 1.

    A score is 1, minus the weight of each kind of finding in the row, and at least 0. A broken row
    has 0. `weights` has the amount by which each kind of finding in this file lowers a score. The
    bins of the histogram are a tenth wide; the last one has the rows with a score of 1.
    """

    mean: Annotated[float, Meta(description="Mean score of all rows.")]
    histogram: Annotated[
        Histogram,
        Meta(
            description="Histogram of the scores in bins of 0.1. The last bin has the rows "
            "with a score of 1."
        ),
    ]
    weights: Annotated[
        dict[str, float],
        Meta(
            description="Amount by which each kind of finding in this file lowers the score of "
            "a row."
        ),
    ]


class TokenStats(msgspec.Struct, frozen=True):
    """Token counts for one model's tokenizer.

    Counts cover `rows` rows, which are a sample if the file is large. They include the tokens
    of the texts and five per message for what a chat template adds. `truncated_rows` and
    `unlearnable_rows` map a context length to the number of rows that it truncates or leaves
    with nothing to learn from.
    """

    model: Annotated[str, Meta(description="ID of the base model whose tokenizer was used.")]
    rows: Annotated[int, Meta(description="Number of rows that were counted.")]
    sampled: Annotated[bool, Meta(description="Whether only a sample of the rows was counted.")]
    tokens: Annotated[Distribution, Meta(description="Tokens per row.")]
    supervised_tokens: Annotated[
        Distribution, Meta(description="Tokens per row that the model is trained to generate.")
    ]
    truncated_rows: Annotated[
        dict[int, int], Meta(description="Number of rows that are truncated, by context length.")
    ]
    unlearnable_rows: Annotated[
        dict[int, int],
        Meta(
            description="Number of rows with nothing left to learn from after truncation, by "
            "context length."
        ),
    ]


class TokenizerFit(msgspec.Struct, frozen=True):
    """Efficiency of a model's tokenizer for a language.

    For comparison, English takes about 0.25 tokens per character.
    """

    model: Annotated[str, Meta(description="ID of the base model.")]
    language: Annotated[str, Meta(description="Language, as an ISO 639-1 code.")]
    rows: Annotated[int, Meta(description="Number of rows in this language.")]
    tokens_per_character: Annotated[
        float, Meta(description="Tokens per character. English takes about 0.25.")
    ]
    byte_fallback_share: Annotated[
        float,
        Meta(
            description="Share of the tokens that encode single bytes, since the vocabulary "
            "lacks the character."
        ),
    ]


class GroupStats(msgspec.Struct, frozen=True):
    """Groups of similar rows.

    `extra_rows` is the number of rows that could be removed. `examples` lists line numbers of
    the largest groups.
    """

    groups: Annotated[int, Meta(description="Number of groups.")]
    rows: Annotated[int, Meta(description="Number of rows in all groups.")]
    extra_rows: Annotated[
        int,
        Meta(
            description="Number of rows that could be removed, so that one of each group remains."
        ),
    ]
    examples: Annotated[list[list[int]], Meta(description="Line numbers of the largest groups.")]


class OverlapStats(msgspec.Struct, frozen=True):
    """Rows of the validation file that also appear in the training file.

    `near` counts rows that mean the same as a training row, and `contained` counts rows with a
    question and answer that a training conversation contains. `same_prompt` counts rows that ask
    a question of the training file, whatever the answer.
    """

    rows: Annotated[
        int,
        Meta(
            description="Number of rows of the validation file that also appear in the "
            "training file."
        ),
    ]
    exact: Annotated[int, Meta(description="Number of rows that are identical to a training row.")]
    near: Annotated[int, Meta(description="Number of rows that mean the same as a training row.")]
    same_prompt: Annotated[
        int,
        Meta(
            description="Number of rows that ask a question of the training file, whatever the "
            "answer."
        ),
    ]
    examples: Annotated[
        list[list[int]],
        Meta(
            description="Pairs of line numbers: in the validation file, and in the training file."
        ),
    ]
    contained: Annotated[
        int,
        Meta(
            description="Number of rows whose question and answer are part of a longer "
            "training conversation."
        ),
    ] = 0


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

    encoder: Annotated[str, Meta(description="Name of the text encoder.")]
    questions: Annotated[int, Meta(description="Number of compared questions.")]
    skipped: Annotated[int, Meta(description="Number of questions that were not compared.")]
    same_meaning: Annotated[
        int, Meta(description="Number of rows that mean the same as another row.")
    ]
    contradictions: Annotated[
        int,
        Meta(
            description="Number of rows that ask the same as another row and answer it differently."
        ),
    ]
    overlap: Annotated[
        int,
        Meta(
            description="Number of rows of the validation file that mean the same as a "
            "training row."
        ),
    ]


class RowPair(msgspec.Struct, frozen=True):
    """Two rows that are worth comparing.

    `similarity` is the share of words, or of characters in scripts without spaces, that the rows
    have in common in the same order, from 0 to 1, ignoring punctuation and politeness. For
    `contradiction`, only the questions count. In the texts, detected personal data is masked, and
    long texts are truncated. The kinds `same_meaning`, `meaning_contradiction`, and
    `meaning_overlap` occur only in reports of earlier versions. For `overlap` and
    `meaning_overlap`, `line` refers to the validation file, and `other_line` to the training file.
    """

    kind: Annotated[PairKind, Meta(description="Why the rows are worth comparing.")]
    line: Annotated[int, Meta(description="Line of the first row.")]
    other_line: Annotated[int, Meta(description="Line of the second row.")]
    similarity: Annotated[float, Meta(description="Similarity from 0 to 1.")]
    text: Annotated[str, Meta(description="Text of the first row, with personal data masked.")]
    other_text: Annotated[
        str, Meta(description="Text of the second row, with personal data masked.")
    ]


class Share(msgspec.Struct, frozen=True):
    """Number and share of rows in a language or script."""

    name: Annotated[str, Meta(description="Language, script or class.")]
    rows: Annotated[int, Meta(description="Number of rows.")]
    share: Annotated[float, Meta(description="Share of all rows, from 0 to 1.")]


class PersonalData(msgspec.Struct, frozen=True):
    """Number and locations of findings of one kind of personal data, without the values."""

    kind: Annotated[str, Meta(description="Kind of personal data, such as `email`.")]
    count: Annotated[int, Meta(description="Number of findings.")]
    places: Annotated[
        list[tuple[int, str]],
        Meta(description="Locations of the first findings: line number and JSON Pointer."),
    ]


class SystemPrompts(msgspec.Struct, frozen=True):
    """Statistics on system prompts.

    `top_share` is the share of all rows that have the most common system prompt.
    """

    distinct: Annotated[int, Meta(description="Number of different system prompts.")]
    rows_without: Annotated[int, Meta(description="Number of rows without a system prompt.")]
    top_share: Annotated[
        float, Meta(description="Share of all rows that have the most common system prompt.")
    ]


class Advice(msgspec.Struct, frozen=True):
    """Recommended action, with its reason and evidence. The most urgent advice comes first.

    Title and text are made of `variant`, the code of their wording, and `figures`, so a program can
    show them in another language. In reports of earlier versions, both are empty.
    """

    code: Annotated[str, Meta(description="Machine-readable code of the recommendation.")]
    title: Annotated[str, Meta(description="Recommended action in a few words.")]
    text: Annotated[str, Meta(description="Recommended action, and the reason for it.")]
    evidence: Annotated[
        dict[str, float], Meta(description="Figures that the recommendation is based on, by name.")
    ]
    lines: Annotated[list[int], Meta(description="Line numbers of examples.")] = msgspec.field(
        default_factory=list
    )
    variant: Annotated[str, Meta(description="Code of the wording of title and text.")] = ""
    figures: Annotated[dict[str, Any], Meta(description="Values in title and text, by name.")] = (
        msgspec.field(default_factory=dict)
    )


class Suitability(msgspec.Struct, frozen=True):
    """Whether a data set is ready for training."""

    code: Annotated[str, Meta(description="Code of the sentence.")]
    sentence: Annotated[
        str, Meta(description="Whether the data set is ready, and what comes first if not.")
    ]
    figures: Annotated[dict[str, Any], Meta(description="Values in the sentence, by name.")]


class Report(msgspec.Struct, frozen=True):
    """Report on a data set. Line numbers refer to the file as uploaded.

    Rows of `near_duplicates` mean the same. Rows of `same_form` differ in a word, a number, a name
    or a sign, and are not copies. `pairs` shows examples of both, of `contradictions`, and of
    `overlap`, with their texts.
    """

    version: Annotated[int, Meta(description="Version of the report format.")]
    source: Annotated[SourceFacts, Meta(description="Detected properties of the file.")]
    validation: Annotated[ValidationReport, Meta(description="Result of the validation.")]
    rows: Annotated[int, Meta(description="Number of rows.")]
    turns: Annotated[
        Distribution | None,
        Meta(description="Turns per row; null if there are no rows with turns."),
    ]
    characters: Annotated[
        Distribution | None, Meta(description="Characters per row; null if there are no rows.")
    ]
    answer_characters: Annotated[
        Distribution | None,
        Meta(description="Characters of the answers per row; null if there are no answers."),
    ]
    tokens: Annotated[list[TokenStats], Meta(description="Token counts, one entry per base model.")]
    tokenizer_fit: Annotated[
        list[TokenizerFit],
        Meta(description="Efficiency of each tokenizer for the languages of the file."),
    ]
    languages: Annotated[list[Share], Meta(description="Languages of the rows, most common first.")]
    scripts: Annotated[list[Share], Meta(description="Scripts of the rows, most common first.")]
    exact_duplicates: Annotated[GroupStats, Meta(description="Identical rows.")]
    near_duplicates: Annotated[GroupStats, Meta(description="Rows that mean the same.")]
    contradictions: Annotated[
        GroupStats, Meta(description="Rows with the same question and different answers.")
    ]
    overlap: Annotated[
        OverlapStats | None,
        Meta(
            description="Rows of the validation file that also appear in this file; null "
            "without a validation file."
        ),
    ]
    personal_data: Annotated[
        list[PersonalData], Meta(description="Detected personal data, by kind.")
    ]
    system_prompts: Annotated[SystemPrompts, Meta(description="Statistics on system prompts.")]
    findings: Annotated[
        tuple[Issue, ...],
        Meta(description="Issues found in the rows. Capped; `finding_counts` has all."),
    ]
    finding_counts: Annotated[
        Mapping[str, int], Meta(description="Number of all findings, by code.")
    ]
    advice: Annotated[list[Advice], Meta(description="Recommended actions, the most urgent first.")]
    same_form: Annotated[
        GroupStats,
        Meta(
            description="Rows that differ in a word, a number, a name or a sign, and are not "
            "copies."
        ),
    ] = GroupStats(0, 0, 0, [])
    pairs: Annotated[
        list[RowPair], Meta(description="Examples of similar rows, with their texts.")
    ] = msgspec.field(default_factory=list)
    possible_personal_data: Annotated[
        list[PersonalData],
        Meta(description="Numbers that could be personal data, but that no word nearby confirms."),
    ] = []
    scores: Annotated[
        Scores | None,
        Meta(
            description="Quality scores of the rows; null in reports of earlier versions, and "
            "without rows."
        ),
    ] = None
    suitability: Annotated[
        Suitability | None,
        Meta(
            description="Whether the data set is ready for training; null in reports of earlier "
            "versions."
        ),
    ] = None
    meaning: Annotated[
        MeaningStats | None,
        Meta(description="What a text encoder found; null except in reports of earlier versions."),
    ] = None
    model_search: Annotated[
        str | None, Meta(description="What the operator's model searched; null without one.")
    ] = None
