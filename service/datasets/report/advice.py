"""Generates advice on a data set by rules, with evidence from the report's figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.checks.issues import IssueLog, Severity, by_severity, make_issue
from service.datasets.contract.report import Advice, Report, Suitability
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
MAX_LINES: Final = 10
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


class Wording(NamedTuple):
    """Title and text of a recommendation. Their placeholders are figures, or parts of `_PARTS`."""

    title: str
    text: str


WORDINGS: Final[Mapping[str, Wording]] = {
    "fix_broken_rows": Wording(
        "Fix {rows} broken row(s) first",
        "They cannot be trained on. The most common error is {error}: {fix}",
    ),
    "too_few_rows_for_a_job": Wording(
        "{rows} row(s) are too few for a job",
        "A job needs {rows_needed}; a clear effect starts at {rows_suggested} to 100 good rows.",
    ),
    "few_rows": Wording(
        "{rows} rows are few",
        "Collect {rows_suggested} to 100 that show what the model gets wrong today, before tuning "
        "anything else.",
    ),
    "conflicting_labels": Wording(
        "{groups} answer(s) are labeled both good and bad",
        "Conflicting labels cancel each other out. Keep one label for each answer; a cleaning "
        "can do this, by a rule that you choose.",
    ),
    "conflicting_answers": Wording(
        "{groups} question(s) have conflicting answers",
        "The model learns the average of conflicting answers. Keep one for each question; a "
        "cleaning can do this, by a rule that you choose.",
    ),
    "personal_data": Wording(
        "{rows} row(s) contain personal data",
        "A tuned model can repeat what it saw. Redact it with a cleaning, by masks or by "
        "pseudonyms that are consistent throughout the file.",
    ),
    "overlap": Wording(
        "{rows} row(s) of the validation file are also in the training file",
        "The validation loss will look better than it is. Remove them from one of the files.",
    ),
    "truncation": Wording(
        "{rows} row(s) are cut at {limit} tokens",
        "Answers come last, so they are cut first; {unlearnable_rows} row(s) keep nothing to learn "
        "from. Shorten the prompts, or choose a base model with a longer context.",
    ),
    "too_uniform": Wording(
        "{copies} of {rows} rows are copies or near copies of others",
        "Copies count double. A cleaning drops identical rows, and near copies if you ask it to. "
        "Write rows that ask different things.",
    ),
    "class_imbalance": Wording(
        "The {classes} classes are not balanced",
        "The most frequent answer is in {largest} of {rows} rows ({largest_share:.0%}), the rarest "
        "in {smallest}. The model learns to prefer the frequent one: add rows of the rare ones, or "
        "leave out some of the others.",
    ),
    "few_answers": Wording(
        "{rows} rows have only {answers} different answers",
        "If this is meant to sort inputs into classes, they are balanced well enough. If not, the "
        "model will learn to say little else.",
    ),
    "facts_to_look_up": Wording(
        "Most answers are facts to look up",
        "Short answers with figures that differ from question to question are knowledge, which "
        "changes and which tuning teaches poorly. Try retrieval (RAG) first; tune for tone, form "
        "and language.",
    ),
    "try_prompting": Wording(
        "One system prompt may be enough",
        "All rows share a system prompt and there are {rows} of them. Try that prompt with three "
        "to five of the rows as examples; tune if the base model still fails.",
    ),
    "one_system_prompt": Wording(
        "The file contains {prompts} system prompts",
        "Use the one that the application sends; the model does not learn what a varying prompt "
        "says.",
    ),
    "stray_languages": Wording(
        "A few rows are not in {main_language_name}",
        "Look at the rows in {language_names}: they are too few to teach a language and may be "
        "mistakes.",
    ),
    "mojibake": Wording(
        "{rows} row(s) were damaged by a wrong encoding",
        "Export the data again as UTF-8, or let a cleaning repair the letters.",
    ),
    "answer_quality": Wording(
        "Correct {rows} row(s) with answers that should not be learned",
        "The model learns to answer like this: {problem_names}. Rewrite or remove these rows.",
    ),
    "tokenizer_fits_best": Wording(
        "{model} encodes {language_name} most compactly",
        "{worst_model} needs {worst_tokens_per_character:.2f} tokens per character of "
        "{language_name}, {model} {tokens_per_character:.2f}: faster answers and a longer context "
        "for the same text.",
    ),
    "tokenizers_fit_badly": Wording(
        "No base model here knows {language_name} well",
        "Even {model} writes {byte_fallback_share:.0%} of it byte by byte. Expect slow answers; a "
        "model trained on the language would do better.",
    ),
    "tools_not_supported": Wording(
        "Train {rows} row(s) with tools on another base model",
        "The chat template of {model_names} does not render tool calls and results: a model "
        "trained on these rows learns to give empty answers, so a job is refused.",
    ),
}
"""Title and text of recommendations, by variant."""

SUITABILITY: Final[Mapping[str, str]] = {
    "no_rows": "Not ready for training: no row can be trained on.",
    "broken_rows": (
        "Not ready for training: {broken:,} of {rows:,} rows ({broken_share:.1%}) {are} broken and "
        "must be fixed or dropped."
    ),
    "errors": "Not ready for training: {most_urgent}.",
    "to_review": "Ready for training after a review: {most_urgent}{others}.",
    "ready": ("Ready for training: all {rows:,} rows can be trained on, and no problem was found."),
}
"""Sentences that say whether a data set is ready for training, by code."""

_PARTS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "error": lambda f: f["most_common_error"].replace("_", " ").replace("json", "JSON"),
    "fix": lambda f: CHECKS[f["most_common_error"]].fix if f["most_common_error"] else "",
    "main_language_name": lambda f: language_name(f["main_language"]),
    "language_name": lambda f: language_name(f["language"]),
    "language_names": lambda f: ", ".join(map(language_name, f["languages"])),
    "problem_names": lambda f: ", ".join(
        f"{_QUALITY[code]} ({rows})" for code, rows in f["problems"].items()
    ),
    "model_names": lambda f: ", ".join(f["models"]),
    "are": lambda f: "is" if f["broken"] == 1 else "are",
    "most_urgent": lambda f: _start(f["title"] or "the findings below contain errors"),
    "others": lambda f: _others(f["more"]),
}
"""Parts of titles and texts that are more than a figure, by placeholder."""


def _start(title: str) -> str:
    return title[:1].lower() + title[1:]


def _others(more: int) -> str:
    return f", and {more} more point{'s' * (more > 1)} below" if more else ""


# "1 row(s) contain", "2 broken row(s)"
_COUNTED: Final = re.compile(
    r"\b(\d+)((?: [a-z]+)?) (row|question|answer)\(s\)(?: (are|contain|have|keep|were)\b)?"
)
_SINGULAR: Final = {"are": "is", "have": "has", "were": "was"}


def _counted(found: re.Match[str]) -> str:
    """Return a number with its noun and its verb, in the singular or the plural."""
    number, adjective, noun, verb = found.groups()
    one = number == "1"
    said = _SINGULAR.get(verb, f"{verb}s") if one else verb
    return f"{number}{adjective} {noun}{'' if one else 's'}" + (f" {said}" if verb else "")


class _Parts(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return _PARTS[name](self)


def _advice(
    code: str,
    figures: Mapping[str, Any],
    evidence: dict[str, float],
    lines: Sequence[int] = (),
    *,
    variant: str | None = None,
) -> Advice:
    """Return a recommendation with the wording of the variant, by default that of the code."""
    wording = WORDINGS[variant or code]
    parts = _Parts(figures)
    title, text = (_COUNTED.sub(_counted, one.format_map(parts)) for one in wording)
    return Advice(
        code,
        title,
        text,
        evidence,
        sorted(set(lines))[:MAX_LINES],
        variant or code,
        dict(figures),
    )


class Figures(NamedTuple):
    """Inputs of the rules: the report so far, and figures that it does not contain.

    `found` has the first lines with each finding, by its code.
    """

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
    found: Mapping[str, list[int]]


def advise(figures: Figures) -> list[Advice]:
    """Return the recommended actions, most urgent first."""
    return [advice for rule in _RULES for advice in rule(figures)]


def assess(report: Report) -> Suitability:
    """Return whether the data set of a report is ready for training."""
    rows = report.validation.rows
    broken = rows - report.validation.valid_rows
    first = report.advice[0] if report.advice else None
    urgent = {
        "advice": first.code if first else None,
        "title": first.title if first else "",
        "more": max(len(report.advice) - 1, 0),
    }
    figures: dict[str, Any] = {}
    if not report.rows:
        code = "no_rows"
    elif broken:
        code = "broken_rows"
        figures = {"broken": broken, "rows": rows, "broken_share": broken / rows}
    elif by_severity(report.finding_counts)[Severity.ERROR]:
        code, figures = "errors", urgent
    elif report.advice:
        code, figures = "to_review", urgent
    else:
        code, figures = "ready", {"rows": rows}
    return Suitability(code, SUITABILITY[code].format_map(_Parts(figures)), figures)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _broken_rows(f: Figures) -> Iterator[Advice]:
    broken = f.report.validation.rows - f.report.validation.valid_rows
    if not broken:
        return
    errors = [issue for issue in f.report.validation.issues if issue.severity == "error"]
    codes = {issue.code for issue in errors}
    top = max(codes, key=lambda code: (f.report.validation.counts[code], code), default="")
    yield _advice(
        "fix_broken_rows",
        {"rows": broken, "most_common_error": top},
        {"broken_rows": broken, "share": _share(broken, f.report.validation.rows)},
        [issue.line for issue in errors if issue.line is not None],
    )


def _too_few(f: Figures) -> Iterator[Advice]:
    rows = f.report.rows
    figures = {"rows": rows, "rows_suggested": _FEW_ROWS}
    if rows < _MIN_ROWS:
        yield _advice(
            "too_few_rows",
            figures | {"rows_needed": _MIN_ROWS},
            {"rows": rows, "needed": _MIN_ROWS},
            variant="too_few_rows_for_a_job",
        )
    elif rows < _FEW_ROWS:
        evidence: dict[str, float] = {"rows": rows, "suggested": _FEW_ROWS}
        yield _advice("too_few_rows", figures, evidence, variant="few_rows")


def _contradictions(f: Figures) -> Iterator[Advice]:
    found = f.report.contradictions
    if not found.groups:
        return
    is_labeled = f.report.validation.format == "labeled"
    yield _advice(
        "contradictions",
        {"groups": found.groups},
        {"questions": found.groups, "rows": found.rows},
        [line for lines in found.examples for line in lines],
        variant="conflicting_labels" if is_labeled else "conflicting_answers",
    )


def _personal(f: Figures) -> Iterator[Advice]:
    if f.personal_rows:
        yield _advice(
            "personal_data",
            {"rows": f.personal_rows},
            {"rows": f.personal_rows, "share": _share(f.personal_rows, f.report.rows)},
            f.found.get("personal_data", ()),
        )


def _overlap(f: Figures) -> Iterator[Advice]:
    found = f.report.overlap
    if found is None or not (count := found.exact + found.near + found.contained):
        return
    yield _advice(
        "overlap",
        {"rows": count},
        {
            "exact": found.exact,
            "near": found.near,
            "contained": found.contained,
            "of": found.rows,
        },
        [lines[0] for lines in found.examples],
    )


def _truncation(f: Figures) -> Iterator[Advice]:
    """Advise only on the longest context, because a shorter one is the trainer's choice."""
    for stats in f.report.tokens[:1]:
        limit = max(stats.truncated_rows, default=0)
        rows = stats.truncated_rows.get(limit, 0)
        if rows * 100 >= stats.rows > 0:
            yield _advice(
                "truncation",
                {"rows": rows, "limit": limit, "unlearnable_rows": stats.unlearnable_rows[limit]},
                {"limit": limit, "rows": rows, "share": _share(rows, stats.rows)},
                f.found.get("truncated", ()),
            )


def _uniform(f: Figures) -> Iterator[Advice]:
    exact, near = f.report.exact_duplicates, f.report.near_duplicates
    extra = exact.extra_rows + near.extra_rows
    if f.report.rows >= _MIN_ROWS and extra * 5 >= f.report.rows:
        yield _advice(
            "too_uniform",
            {"copies": extra, "rows": f.report.rows},
            {
                "exact": exact.extra_rows,
                "near": near.extra_rows,
                "share": _share(extra, f.report.rows),
            },
            [line for lines in exact.examples + near.examples for line in lines[1:]],
        )
    elif f.report.rows >= _FEW_ROWS and f.distinct_answers * 10 <= f.report.rows:
        yield _few_answers(f)


def _few_answers(f: Figures) -> Advice:
    rows, answers = f.report.rows, f.distinct_answers
    largest, smallest = f.class_rows[0], f.class_rows[-1]
    if answers > _MAX_CLASSES or largest < _UNBALANCED * smallest:
        figures = {"answers": answers, "rows": rows}
        return _advice("few_answers", figures, {"answers": answers, "rows": rows})
    sizes = {"classes": answers, "largest": largest, "smallest": smallest}
    return _advice(
        "class_imbalance",
        sizes | {"rows": rows, "largest_share": largest / rows},
        sizes | {"largest_share": _share(largest, rows)},
        f.rarest_class,
    )


def _facts(f: Figures) -> Iterator[Advice]:
    if (
        f.report.rows >= 20
        and len(f.factual_rows) * 2 >= f.report.rows
        and f.distinct_prompts * 10 >= f.report.rows * 9
        and f.distinct_answers * 2 >= f.report.rows
    ):
        share = _share(len(f.factual_rows), f.report.rows)
        yield _advice(
            "facts_to_look_up",
            {"rows": len(f.factual_rows)},
            {"factual_rows": len(f.factual_rows), "share": share},
            f.factual_rows,
        )


def _prompting(f: Figures) -> Iterator[Advice]:
    prompts = f.report.system_prompts
    if prompts.distinct == 1 and prompts.top_share >= 0.95 and f.report.rows < _PROMPTING_ROWS:
        yield _advice(
            "try_prompting",
            {"rows": f.report.rows},
            {"rows": f.report.rows, "share_with_prompt": prompts.top_share},
        )
    elif prompts.distinct > 1 and prompts.distinct * 2 <= f.report.rows:
        yield _advice(
            "one_system_prompt",
            {"prompts": prompts.distinct},
            {"distinct": prompts.distinct, "top_share": prompts.top_share},
            f.found.get("system_prompt_varies", ()),
        )


def _languages(f: Figures) -> Iterator[Advice]:
    odd = (
        f.report.languages[1:] if f.report.languages and f.report.languages[0].share >= 0.9 else []
    )
    odd = [share for share in odd if share.name != UNKNOWN and share.share < 0.02][:5]
    if odd and f.report.rows >= 20:
        yield _advice(
            "stray_languages",
            {
                "main_language": f.report.languages[0].name,
                "languages": [share.name for share in odd],
            },
            {share.name: share.rows for share in odd},
            f.found.get("wrong_language", ()),
        )


def _mojibake(f: Figures) -> Iterator[Advice]:
    if f.mojibake_rows:
        figures = {"rows": f.mojibake_rows}
        yield _advice("mojibake", figures, {**figures}, f.found.get("mojibake", ()))


def _quality(f: Figures) -> Iterator[Advice]:
    if not f.quality_rows:
        return
    lines = sorted({line for found in f.quality_rows.values() for line in found})
    problems = {code: len(rows) for code, rows in f.quality_rows.items()}
    yield _advice("answer_quality", {"rows": len(lines), "problems": problems}, {**problems}, lines)


def _tokenizers(f: Figures) -> Iterator[Advice]:
    for share in f.report.languages:
        fits = [fit for fit in f.report.tokenizer_fit if fit.language == share.name]
        if share.name == UNKNOWN or share.share < 0.05 or not fits:
            continue
        best = min(fits, key=lambda fit: fit.tokens_per_character)
        worst = max(fits, key=lambda fit: fit.tokens_per_character)
        figures = {"language": share.name, "model": best.model}
        if worst.tokens_per_character >= 1.5 * best.tokens_per_character:
            yield _advice(
                "tokenizer_fit",
                figures
                | {
                    "tokens_per_character": best.tokens_per_character,
                    "worst_model": worst.model,
                    "worst_tokens_per_character": worst.tokens_per_character,
                },
                {fit.model: fit.tokens_per_character for fit in fits},
                variant="tokenizer_fits_best",
            )
        elif best.byte_fallback_share >= 0.2:
            yield _advice(
                "tokenizer_fit",
                figures | {"byte_fallback_share": best.byte_fallback_share},
                {fit.model: fit.byte_fallback_share for fit in fits},
                variant="tokenizers_fit_badly",
            )


def _tool_rows(f: Figures) -> Iterator[Advice]:
    if not f.tool_rows.lacking:
        return
    rows = len(f.tool_rows.lines)
    yield _advice(
        "tools_not_supported",
        {"rows": rows, "models": f.tool_rows.lacking},
        {"tool_rows": rows, "share": _share(rows, f.report.rows)},
        f.tool_rows.lines,
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
