"""Advice on a data set: rules over the report's own figures, each with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from service.datasets.checks.validate import ValidationReport
from service.datasets.report.report import (
    Advice,
    GroupStats,
    OverlapStats,
    Share,
    SystemPrompts,
    TokenizerFit,
    TokenStats,
)
from service.datasets.rows.tool_rows import ToolRows
from service.datasets.text.languages import UNKNOWN, language_name

_LEAST_ROWS, _FEW_ROWS = 10, 50
_PROMPTING_ROWS = 200
_LINES = 10


class Figures(NamedTuple):
    """What the rules look at."""

    validation: ValidationReport
    rows: int
    distinct_answers: int
    distinct_prompts: int
    factual_rows: int
    personal_rows: int
    mojibake_rows: int
    exact: GroupStats
    near: GroupStats
    contradictions: GroupStats
    overlap: OverlapStats | None
    system_prompts: SystemPrompts
    languages: list[Share]
    tokens: list[TokenStats]
    fit: list[TokenizerFit]
    tool_rows: ToolRows


def advise(figures: Figures) -> list[Advice]:
    """What to do, the most pressing first."""
    return [advice for rule in _RULES for advice in rule(figures)]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _broken_rows(f: Figures) -> Iterator[Advice]:
    broken = f.validation.rows - f.validation.valid_rows
    if not broken:
        return
    errors = [issue for issue in f.validation.issues if issue.severity == "error"]
    codes = {issue.code for issue in errors}
    top = max(codes, key=lambda code: (f.validation.counts[code], code), default="")
    fix = next((issue.fix for issue in errors if issue.code == top), "")
    yield Advice(
        "fix_broken_rows",
        f"Mend {broken} broken row(s) first",
        f"They cannot be trained on. The commonest fault is {top}: {fix}",
        {"broken_rows": broken, "share": _share(broken, f.validation.rows)},
        [issue.line for issue in errors if issue.line is not None][:_LINES],
    )


def _too_few(f: Figures) -> Iterator[Advice]:
    if f.rows < _LEAST_ROWS:
        yield Advice(
            "too_few_rows",
            f"{f.rows} rows are too few for a job",
            f"A job needs {_LEAST_ROWS}; clear change begins at {_FEW_ROWS} to 100 good rows.",
            {"rows": f.rows, "needed": _LEAST_ROWS},
        )
    elif f.rows < _FEW_ROWS:
        yield Advice(
            "too_few_rows",
            f"{f.rows} rows are few",
            f"Collect {_FEW_ROWS} to 100 that show what the model gets wrong today, before "
            "tuning anything else.",
            {"rows": f.rows, "suggested": _FEW_ROWS},
        )


def _contradictions(f: Figures) -> Iterator[Advice]:
    if f.contradictions.groups:
        yield Advice(
            "contradictions",
            f"{f.contradictions.groups} question(s) have answers that differ",
            "The model learns the mean of answers that disagree. Keep one for each question; "
            "the clean call can, by a rule that you name.",
            {"questions": f.contradictions.groups, "rows": f.contradictions.rows},
            [lines[0] for lines in f.contradictions.examples[:_LINES]],
        )


def _personal(f: Figures) -> Iterator[Advice]:
    if f.personal_rows:
        yield Advice(
            "personal_data",
            f"{f.personal_rows} row(s) hold personal data",
            "A tuned model can repeat what it saw. Redact it with the clean call, by masks or "
            "by pseudonyms that stay the same through the file.",
            {"rows": f.personal_rows, "share": _share(f.personal_rows, f.rows)},
        )


def _overlap(f: Figures) -> Iterator[Advice]:
    if f.overlap is not None and f.overlap.exact + f.overlap.near:
        count = f.overlap.exact + f.overlap.near
        yield Advice(
            "overlap",
            f"{count} row(s) of the validation file stand in the training file",
            "The validation loss will look better than the model is. Remove them from one.",
            {"exact": f.overlap.exact, "near": f.overlap.near, "of": f.overlap.rows},
            [lines[0] for lines in f.overlap.examples[:_LINES]],
        )


def _truncation(f: Figures) -> Iterator[Advice]:
    """Of the longest context alone: a shorter one is the trainer's choice."""
    for stats in f.tokens[:1]:
        limit = max(stats.truncated_rows, default=0)
        rows = stats.truncated_rows.get(limit, 0)
        if rows * 100 >= stats.rows > 0:
            lost = stats.unlearnable_rows[limit]
            yield Advice(
                "truncation",
                f"{rows} row(s) are cut at {limit} tokens",
                f"Answers stand at the end, so they go first; {lost} row(s) keep nothing "
                "to learn from. Shorten the prompts, or take a base model of a longer context.",
                {"limit": limit, "rows": rows, "share": _share(rows, stats.rows)},
            )


def _uniform(f: Figures) -> Iterator[Advice]:
    extra = f.exact.extra_rows + f.near.extra_rows
    if f.rows >= _LEAST_ROWS and extra * 5 >= f.rows:
        yield Advice(
            "too_uniform",
            f"{extra} of {f.rows} rows are copies or near copies of others",
            "Copies count double. The clean call drops equal rows, and near copies with "
            "`near_duplicates`; look at those first, since they may differ in a number, a date "
            "or yes and no. Write rows that differ in what they ask.",
            {
                "exact": f.exact.extra_rows,
                "near": f.near.extra_rows,
                "share": _share(extra, f.rows),
            },
            [lines[0] for lines in (f.exact.examples + f.near.examples)[:_LINES]],
        )
    elif f.rows >= _FEW_ROWS and f.distinct_answers * 10 <= f.rows:
        yield Advice(
            "few_answers",
            f"{f.rows} rows have only {f.distinct_answers} different answers",
            "If this is meant to sort inputs into classes, balance them. If not, the model "
            "will learn to say little else.",
            {"answers": f.distinct_answers, "rows": f.rows},
        )


def _facts(f: Figures) -> Iterator[Advice]:
    if (
        f.rows >= 20
        and f.factual_rows * 2 >= f.rows
        and f.distinct_prompts * 10 >= f.rows * 9
        and f.distinct_answers * 2 >= f.rows
    ):
        yield Advice(
            "facts_to_look_up",
            "Most answers are facts to look up",
            "Short answers with figures that differ from question to question are knowledge, "
            "which changes, and which tuning teaches badly. Try retrieval (RAG) first; tune "
            "for tone, form and language.",
            {"factual_rows": f.factual_rows, "share": _share(f.factual_rows, f.rows)},
        )


def _prompting(f: Figures) -> Iterator[Advice]:
    prompts = f.system_prompts
    if prompts.distinct == 1 and prompts.top_share >= 0.95 and f.rows < _PROMPTING_ROWS:
        yield Advice(
            "try_prompting",
            "One system prompt may do",
            f"All rows share a system prompt and there are {f.rows} of them. Try that prompt "
            "with three to five of the rows as examples; tune if the base model still fails.",
            {"rows": f.rows, "share_with_prompt": prompts.top_share},
        )
    elif prompts.distinct > 1 and prompts.distinct * 2 <= f.rows:
        yield Advice(
            "one_system_prompt",
            f"{prompts.distinct} system prompts stand in the file",
            "Use the one that the application sends; a prompt that varies teaches nothing of "
            "what it says.",
            {"distinct": prompts.distinct, "top_share": prompts.top_share},
        )


def _languages(f: Figures) -> Iterator[Advice]:
    odd = f.languages[1:] if f.languages and f.languages[0].share >= 0.9 else []
    odd = [share for share in odd if share.name != UNKNOWN and share.share < 0.02]
    if odd and f.rows >= 20:
        yield Advice(
            "stray_languages",
            f"A few rows are not in {language_name(f.languages[0].name)}",
            "Look at the rows in "
            + ", ".join(language_name(s.name) for s in odd[:5])
            + ": they are too few "
            "to teach a language and may be mistakes.",
            {share.name: share.rows for share in odd[:5]},
        )


def _mojibake(f: Figures) -> Iterator[Advice]:
    if f.mojibake_rows:
        yield Advice(
            "mojibake",
            f"{f.mojibake_rows} row(s) were damaged by a wrong encoding",
            "Export the data again as UTF-8, or let the clean call mend the text.",
            {"rows": f.mojibake_rows},
        )


def _tokenizers(f: Figures) -> Iterator[Advice]:
    for share in f.languages:
        fits = [fit for fit in f.fit if fit.language == share.name]
        if share.name == UNKNOWN or share.share < 0.05 or not fits:
            continue
        name = language_name(share.name)
        best = min(fits, key=lambda fit: fit.tokens_per_character)
        worst = max(fits, key=lambda fit: fit.tokens_per_character)
        if worst.tokens_per_character >= 1.5 * best.tokens_per_character:
            yield Advice(
                "tokenizer_fit",
                f"{best.model} speaks {name} best",
                f"{worst.model} needs {worst.tokens_per_character:.2f} tokens a character of "
                f"{name}, {best.model} {best.tokens_per_character:.2f}: faster answers "
                "and a longer context for the same text.",
                {fit.model: fit.tokens_per_character for fit in fits},
            )
        elif best.byte_fallback_share >= 0.2:
            yield Advice(
                "tokenizer_fit",
                f"No base model here knows {name} well",
                f"Even {best.model} writes {best.byte_fallback_share:.0%} of it byte by byte. "
                "Expect slow answers; a model trained on the language would do better.",
                {fit.model: fit.byte_fallback_share for fit in fits},
            )


def _tool_rows(f: Figures) -> Iterator[Advice]:
    if not f.tool_rows.lacking:
        return
    rows, models = len(f.tool_rows.lines), ", ".join(f.tool_rows.lacking)
    yield Advice(
        "tools_not_supported",
        f"Train {rows} row(s) with tools on another base model",
        f"The chat template of {models} writes no tool calls and results: a model that is trained "
        "on these rows learns to answer with nothing, so a job is refused.",
        {"tool_rows": rows, "share": _share(rows, f.rows)},
        f.tool_rows.lines[:_LINES],
    )


_RULES: tuple[Callable[[Figures], Iterator[Advice]], ...] = (
    _broken_rows,
    _tool_rows,
    _too_few,
    _personal,
    _contradictions,
    _overlap,
    _truncation,
    _mojibake,
    _uniform,
    _facts,
    _prompting,
    _languages,
    _tokenizers,
)
