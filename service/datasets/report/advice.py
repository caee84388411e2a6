"""Generates advice on a data set by rules, with evidence from the report's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.contract.report import Advice, Report
from service.datasets.duplicates.groups import Lines
from service.datasets.file_features import Collected
from service.datasets.text.languages import UNKNOWN, language_name


class ToolRows(NamedTuple):
    """Lines of the rows that use tools, and the models that cannot be trained on them.

    A row uses tools if it calls a tool or contains a tool result.
    """

    lines: list[int]
    lacking: list[str]


def log_tool_rows(
    collected: Collected, tokenizers: Mapping[str, Path], lines: Lines, log: IssueLog
) -> ToolRows:
    """Log each model that cannot be trained on rows with tools, at the first such row.

    `tokenizers` maps models to tokenizer.json files, each in its model's folder.
    """
    rows = [int(lines[row]) for row in np.flatnonzero(collected.features["tools"])]
    if not rows:
        return ToolRows([], [])
    from service.datasets.chat_templates import takes_tools  # imports Jinja

    lacking = [model for model, path in tokenizers.items() if takes_tools(path.parent) is False]
    for model in lacking:
        log.add(make_issue("tools_not_supported", rows[0], model=model, rows=len(rows)))
    return ToolRows(rows, lacking)


_MIN_ROWS, _FEW_ROWS = 10, 50
_PROMPTING_ROWS = 200
_LINES = 10
_MAX_CLASSES, _UNBALANCED = 50, 4
_QUALITY = {
    "refusal": "refusals",
    "cut_off_answer": "cut-off answers",
    "echo": "repeated questions",
    "placeholder": "placeholders",
    "null_text": "missing values written as text",
    "html": "HTML",
    "broken_json": "broken JSON",
    "schema_mismatch": "JSON that breaks its schema",
    "arguments_mismatch": "tool arguments that break their schema",
}


class Figures(NamedTuple):
    """Inputs of the rules: the report so far, and figures that it does not contain."""

    report: Report
    distinct_answers: int
    class_rows: list[int]
    rarest_class: list[int]
    distinct_prompts: int
    factual_rows: list[int]
    personal_rows: int
    mojibake_rows: int
    quality_rows: dict[str, list[int]]
    tool_rows: ToolRows


def advise(figures: Figures) -> list[Advice]:
    """Return the recommended actions, most urgent first."""
    return [advice for rule in _RULES for advice in rule(figures)]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _broken_rows(f: Figures) -> Iterator[Advice]:
    broken = f.report.validation.rows - f.report.validation.valid_rows
    if not broken:
        return
    errors = [issue for issue in f.report.validation.issues if issue.severity == "error"]
    codes = {issue.code for issue in errors}
    top = max(codes, key=lambda code: (f.report.validation.counts[code], code), default="")
    fix = next((issue.fix for issue in errors if issue.code == top), "")
    yield Advice(
        "fix_broken_rows",
        f"Fix {broken} broken row(s) first",
        f"They cannot be trained on. The most common error is {top.replace('_', ' ')}: {fix}",
        {"broken_rows": broken, "share": _share(broken, f.report.validation.rows)},
        [issue.line for issue in errors if issue.line is not None][:_LINES],
    )


def _too_few(f: Figures) -> Iterator[Advice]:
    if f.report.rows < _MIN_ROWS:
        yield Advice(
            "too_few_rows",
            f"{f.report.rows} rows are too few for a job",
            f"A job needs {_MIN_ROWS}; a clear effect starts at {_FEW_ROWS} to 100 good rows.",
            {"rows": f.report.rows, "needed": _MIN_ROWS},
        )
    elif f.report.rows < _FEW_ROWS:
        yield Advice(
            "too_few_rows",
            f"{f.report.rows} rows are few",
            f"Collect {_FEW_ROWS} to 100 that show what the model gets wrong today, before "
            "tuning anything else.",
            {"rows": f.report.rows, "suggested": _FEW_ROWS},
        )


def _contradictions(f: Figures) -> Iterator[Advice]:
    if not f.report.contradictions.groups:
        return
    if f.report.validation.format == "labeled":
        title = f"{f.report.contradictions.groups} answer(s) are labeled both good and bad"
        text = "Conflicting labels cancel each other out. Keep one label for each answer"
    else:
        title = f"{f.report.contradictions.groups} question(s) have conflicting answers"
        text = "The model learns the average of conflicting answers. Keep one for each question"
    yield Advice(
        "contradictions",
        title,
        f"{text}; the clean call can do this, by a rule that you choose.",
        {"questions": f.report.contradictions.groups, "rows": f.report.contradictions.rows},
        [lines[0] for lines in f.report.contradictions.examples[:_LINES]],
    )


def _personal(f: Figures) -> Iterator[Advice]:
    if f.personal_rows:
        yield Advice(
            "personal_data",
            f"{f.personal_rows} row(s) contain personal data",
            "A tuned model can repeat what it saw. Redact it with the clean call, with masks or "
            "with pseudonyms that are consistent throughout the file.",
            {"rows": f.personal_rows, "share": _share(f.personal_rows, f.report.rows)},
        )


def _overlap(f: Figures) -> Iterator[Advice]:
    if (
        f.report.overlap is not None
        and f.report.overlap.exact + f.report.overlap.near + f.report.overlap.contained
    ):
        count = f.report.overlap.exact + f.report.overlap.near + f.report.overlap.contained
        yield Advice(
            "overlap",
            f"{count} row(s) of the validation file are also in the training file",
            "The validation loss will look better than it is. Remove them from one of the files.",
            {
                "exact": f.report.overlap.exact,
                "near": f.report.overlap.near,
                "contained": f.report.overlap.contained,
                "of": f.report.overlap.rows,
            },
            [lines[0] for lines in f.report.overlap.examples[:_LINES]],
        )


def _truncation(f: Figures) -> Iterator[Advice]:
    """Advise only on the longest context, because a shorter one is the trainer's choice."""
    for stats in f.report.tokens[:1]:
        limit = max(stats.truncated_rows, default=0)
        rows = stats.truncated_rows.get(limit, 0)
        if rows * 100 >= stats.rows > 0:
            lost = stats.unlearnable_rows[limit]
            yield Advice(
                "truncation",
                f"{rows} row(s) are cut at {limit} tokens",
                f"Answers come last, so they are cut first; {lost} row(s) keep nothing "
                "to learn from. Shorten the prompts, or choose a base model with a longer context.",
                {"limit": limit, "rows": rows, "share": _share(rows, stats.rows)},
            )


def _uniform(f: Figures) -> Iterator[Advice]:
    extra = f.report.exact_duplicates.extra_rows + f.report.near_duplicates.extra_rows
    if f.report.rows >= _MIN_ROWS and extra * 5 >= f.report.rows:
        yield Advice(
            "too_uniform",
            f"{extra} of {f.report.rows} rows are copies or near copies of others",
            "Copies count double. The clean call drops identical rows, and near copies with "
            "`near_duplicates`. Write rows that ask different things.",
            {
                "exact": f.report.exact_duplicates.extra_rows,
                "near": f.report.near_duplicates.extra_rows,
                "share": _share(extra, f.report.rows),
            },
            [
                lines[0]
                for lines in (
                    f.report.exact_duplicates.examples + f.report.near_duplicates.examples
                )[:_LINES]
            ],
        )
    elif f.report.rows >= _FEW_ROWS and f.distinct_answers * 10 <= f.report.rows:
        yield from _few_answers(f)


def _few_answers(f: Figures) -> Iterator[Advice]:
    largest, smallest = f.class_rows[0], f.class_rows[-1]
    if f.distinct_answers <= _MAX_CLASSES and largest >= _UNBALANCED * smallest:
        yield Advice(
            "class_imbalance",
            f"The {f.distinct_answers} classes are not balanced",
            f"The most frequent answer is in {largest} of {f.report.rows} rows "
            f"({largest / f.report.rows:.0%}), the rarest in {smallest}. The model learns to "
            "prefer the frequent one: add rows of the rare ones, or leave out some of the others.",
            {
                "classes": f.distinct_answers,
                "largest": largest,
                "smallest": smallest,
                "largest_share": _share(largest, f.report.rows),
            },
            f.rarest_class[:_LINES],
        )
    else:
        yield Advice(
            "few_answers",
            f"{f.report.rows} rows have only {f.distinct_answers} different answers",
            "If this is meant to sort inputs into classes, they are balanced well enough. If not, "
            "the model will learn to say little else.",
            {"answers": f.distinct_answers, "rows": f.report.rows},
        )


def _facts(f: Figures) -> Iterator[Advice]:
    if (
        f.report.rows >= 20
        and len(f.factual_rows) * 2 >= f.report.rows
        and f.distinct_prompts * 10 >= f.report.rows * 9
        and f.distinct_answers * 2 >= f.report.rows
    ):
        yield Advice(
            "facts_to_look_up",
            "Most answers are facts to look up",
            "Short answers with figures that differ from question to question are knowledge, "
            "which changes and which tuning teaches poorly. Try retrieval (RAG) first; tune "
            "for tone, form and language.",
            {
                "factual_rows": len(f.factual_rows),
                "share": _share(len(f.factual_rows), f.report.rows),
            },
            f.factual_rows[:_LINES],
        )


def _prompting(f: Figures) -> Iterator[Advice]:
    prompts = f.report.system_prompts
    if prompts.distinct == 1 and prompts.top_share >= 0.95 and f.report.rows < _PROMPTING_ROWS:
        yield Advice(
            "try_prompting",
            "One system prompt may be enough",
            f"All rows share a system prompt and there are {f.report.rows} of them. Try that "
            "prompt with three to five of the rows as examples; tune if the base model still "
            "fails.",
            {"rows": f.report.rows, "share_with_prompt": prompts.top_share},
        )
    elif prompts.distinct > 1 and prompts.distinct * 2 <= f.report.rows:
        yield Advice(
            "one_system_prompt",
            f"The file contains {prompts.distinct} system prompts",
            "Use the one that the application sends; the model does not learn what a varying "
            "prompt says.",
            {"distinct": prompts.distinct, "top_share": prompts.top_share},
        )


def _languages(f: Figures) -> Iterator[Advice]:
    odd = (
        f.report.languages[1:] if f.report.languages and f.report.languages[0].share >= 0.9 else []
    )
    odd = [share for share in odd if share.name != UNKNOWN and share.share < 0.02]
    if odd and f.report.rows >= 20:
        yield Advice(
            "stray_languages",
            f"A few rows are not in {language_name(f.report.languages[0].name)}",
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
            "Export the data again as UTF-8, or repair it with mend_mojibake in a cleaning.",
            {"rows": f.mojibake_rows},
        )


def _quality(f: Figures) -> Iterator[Advice]:
    if not f.quality_rows:
        return
    lines = sorted({line for found in f.quality_rows.values() for line in found})
    yield Advice(
        "answer_quality",
        f"Correct {len(lines)} row(s) with answers that should not be learned",
        "The model learns to answer like this: "
        + ", ".join(f"{_QUALITY[code]} ({len(rows)})" for code, rows in f.quality_rows.items())
        + ". Rewrite or remove these rows.",
        {code: len(rows) for code, rows in f.quality_rows.items()},
        lines[:_LINES],
    )


def _tokenizers(f: Figures) -> Iterator[Advice]:
    for share in f.report.languages:
        fits = [fit for fit in f.report.tokenizer_fit if fit.language == share.name]
        if share.name == UNKNOWN or share.share < 0.05 or not fits:
            continue
        name = language_name(share.name)
        best = min(fits, key=lambda fit: fit.tokens_per_character)
        worst = max(fits, key=lambda fit: fit.tokens_per_character)
        if worst.tokens_per_character >= 1.5 * best.tokens_per_character:
            yield Advice(
                "tokenizer_fit",
                f"{best.model} encodes {name} most compactly",
                f"{worst.model} needs {worst.tokens_per_character:.2f} tokens per character of "
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
        f"The chat template of {models} does not render tool calls and results: a model trained "
        f"on these rows learns to give empty answers, so a job is refused.",
        {"tool_rows": rows, "share": _share(rows, f.report.rows)},
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
    _quality,
    _uniform,
    _facts,
    _prompting,
    _languages,
    _tokenizers,
)
