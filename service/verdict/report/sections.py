"""Builds the paragraphs and tables that the HTML page and the Markdown share.

Model output is hostile input: `make_safe` makes texts of prompts and answers safe to show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from service.datasets.text.languages import language_name
from service.reports.render import Heading, Paragraph, Part, Table
from service.verdict.comparison import (
    PROMPT,
    TUNED,
    Column,
    Comparison,
    Cost,
    Forgetting,
    Memorization,
    Metric,
    Retrieval,
    cost,
)
from service.verdict.differences import score
from service.verdict.evidence import is_better, is_worse
from service.verdict.results import Difference, GateResult, HumanReview, Verdict
from service.verdict.statements import memorized_figures, prompt_figures
from service.verdict.wording import (
    interval,
    memorized_text,
    metric_name,
    points,
    prompt_name,
    quantity,
    unit,
)

# C0 and C1 controls except tab and line feed, bidirectional embeddings, overrides and isolates, and
# lone surrogates. A right-to-left override could reorder the text around an answer; lone surrogates
# cannot be encoded.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAME_CHARS: Final = 200
_LINE_CHARS: Final = 2_000
_LISTED_LINES = 20
METHOD = (
    "Scores are points from 0 to 100, and brackets are 95% confidence intervals. Intervals come "
    "from the t distribution over prompts, corrected for skewness and for outcomes that this "
    "number of prompts may miss. p-values come from McNemar's exact test for right or wrong "
    "answers, and from a sign-flip test for other scores; they are corrected by Holm's method. "
    "Detectable is the smallest difference that the verdict's rules find with 80% probability."
)
_KINDS = {
    "serve": "Serve it",
    "prompt": "Use a prompt",
    "retrieval": "Use retrieval",
    "worse": "Worse",
    "memorized": "Memorized",
    "forgot": "Forgot",
    "overfit": "Overfit",
    "solved_already": "Solved already",
    "no_gain": "No gain",
    "cannot_tell": "Cannot tell",
    "disputed": "Disputed",
}


class SafeText(NamedTuple):
    """A text that is safe to show, and the number of characters that were left out."""

    text: str
    left_out: int

    @property
    def note(self) -> str:
        """Note for the reader if the text was cut, else an empty string."""
        if not self.left_out:
            return ""
        return f"{self.left_out:,} more characters are in the JSON of this evaluation."


def make_safe(text: str, limit: int) -> SafeText:
    """Return a text cut to `limit` characters, with visible control characters."""
    text = text.replace("\r\n", "\n")
    return SafeText(_UNSAFE.sub(_code_point, text[:limit]), max(0, len(text) - limit))


def safe_name(text: str) -> str:
    """Return a name given by a user, such as a model's, safe to show on one line."""
    return make_safe(text, _NAME_CHARS).text.replace("\n", " ")


def safe_line(text: str) -> str:
    """Return a sentence safe to show on one line."""
    return make_safe(text, _LINE_CHARS).text.replace("\n", " ")


def content_text(content: Any) -> str:
    """Return the text of a chat message's content, which may be a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(_part_text, content))
    return json.dumps(content, ensure_ascii=False, default=str)


def message_text(message: dict[str, Any]) -> str:
    """Return the text of a chat message, with its tool calls."""
    parts = [content_text(message.get("content"))]
    if message.get("tool_calls"):
        parts.append(json.dumps(message["tool_calls"], ensure_ascii=False, default=str))
    return "\n".join(filter(None, parts))


def _part_text(part: Any) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    return json.dumps(part, ensure_ascii=False, default=str)


def _code_point(found: re.Match[str]) -> str:
    return f"[U+{ord(found[0]):04X}]"


def before_differences(comparison: Comparison, gate: GateResult | None) -> Iterator[Part]:
    """Yield the result of the gate, if there is one, and the scores of all columns."""
    if gate is not None:
        yield Heading("Gate")
        yield Paragraph("The gate passes." if gate.passed else "The gate fails.")
        if gate.conditions:
            yield _gate_table(gate)
    yield Heading("Scores")
    yield _scores_table(comparison)
    if text := _prompt_text(comparison):
        yield Paragraph(text)


def after_differences(comparison: Comparison, review: HumanReview | None) -> Iterator[Part]:
    """Yield people's labels, costs, forgetting, memorization, facts and notes, if there are any."""
    if review is not None and review.sentences:
        yield Heading("Labels of people")
        yield from (Paragraph(safe_line(sentence)) for sentence in review.sentences)
    costs = _costs_table(comparison)
    if costs is not None:
        yield Heading("Cost per answer")
        if text := _cost_text(comparison):
            yield Paragraph(text)
        yield costs
    if comparison.forgetting is not None:
        yield Heading("Forgetting")
        yield Paragraph(_forgetting_text(comparison.forgetting))
        if comparison.forgetting.languages:
            yield _forgetting_table(comparison.forgetting)
    if comparison.memorization is not None:
        yield Heading("Memorization")
        yield from map(Paragraph, _memorization_text(comparison.memorization))
    if comparison.retrieval is not None:
        yield Heading("Facts")
        yield Paragraph(_retrieval_text(comparison.retrieval))
    if comparison.notes:
        yield Heading("Notes")
        yield from (Paragraph(safe_line(note)) for note in comparison.notes)


def column_label(column: Column) -> str:
    """Return the column's name in a table, such as "base + prompt with 4 examples"."""
    if column.name == PROMPT:
        return f"base + {prompt_name(prompt_figures(column)).removeprefix('a ')}"
    return safe_name(column.name)


def difference_label(found: Difference) -> str:
    """Return a difference's name, such as "tuned vs. base, Thai"."""
    label = f"{safe_name(found.a)} vs. {safe_name(found.b)}"
    return f"{label}, {language_label(found.language)}" if found.language else label


def language_label(language: str) -> str:
    """Return the language's English name, or its tag if no name is known."""
    return safe_name(language_name(language))


def outcome(found: Difference) -> str:
    """Return what a difference shows: "better", "worse" or "undecided"."""
    if is_better(found):
        return "better"
    return "worse" if is_worse(found) else "undecided"


def _scores_table(comparison: Comparison) -> Table:
    """Return the scores of all columns, the primary metric first."""
    metrics = sorted(comparison.metrics, key=lambda metric: not metric.primary)
    with_loss = any(column.loss is not None for column in comparison.columns)
    with_accuracy = any(column.token_accuracy is not None for column in comparison.columns)
    header = ["Column", *(safe_name(metric_name(metric.name)) for metric in metrics)]
    header += ["loss"] * with_loss + ["token accuracy"] * with_accuracy
    rows = []
    for column in comparison.columns:
        row = [column_label(column)]
        row += [_scored(comparison, metric, column.name) for metric in metrics]
        row += [_number(column.loss, 3)] * with_loss
        row += [_percent(column.token_accuracy)] * with_accuracy
        rows.append(row)
    return Table(header, rows, row_headers=True, label="Scores by column")


def differences_table(differences: list[Difference]) -> Table:
    """Return all differences with their tests."""
    header = ["Difference", "metric", "points", "p", "p, corrected", "rows"]
    header += ["better / equal / worse", "detectable"]
    rows = [
        [
            difference_label(found),
            safe_name(metric_name(found.metric)),
            " ".join(interval(found.mean, found.low, found.high)),
            _p(found.p_value),
            _p(found.adjusted_p),
            f"{found.n:,}",
            f"{found.better} / {found.equal} / {found.worse}",
            "-" if found.detectable is None else points(found.detectable),
        ]
        for found in differences
    ]
    return Table(header, rows, row_headers=True, label="Differences between columns")


def _costs_table(comparison: Comparison) -> Table | None:
    """Return tokens and time per answer, compared with the tuned model's. None without answers."""
    costs = {column.name: cost(comparison, column.name) for column in comparison.columns}
    tuned = costs.get(TUNED)
    rows = [
        [
            column_label(column),
            f"{found.prompt_tokens:,.0f}",
            f"{found.completion_tokens:,.0f}",
            _number(found.latency_s, 2),
            _times(found, tuned),
        ]
        for column in comparison.columns
        if (found := costs[column.name]) is not None
    ]
    header = ["Column", "prompt tokens", "answer tokens", "seconds", "tokens, times tuned"]
    return Table(header, rows, row_headers=True, label="Cost per answer") if rows else None


def _forgetting_table(found: Forgetting) -> Table:
    """Return the scores on the general set by language, the largest loss first."""
    rows = [
        [
            language_label(one.language),
            f"{one.rows:,}",
            points(one.base, 1),
            points(one.tuned, 1),
            signed(one.tuned - one.base),
        ]
        for one in sorted(found.languages, key=lambda one: one.tuned - one.base)
    ]
    header = ["Language", "rows", "base", "tuned", "change"]
    return Table(header, rows, row_headers=True, label="General set by language")


def _gate_table(gate: GateResult) -> Table:
    """Return the conditions of a gate with their figures."""
    rows = [
        [
            safe_name(found.key),
            safe_name(found.condition),
            _measured(found.measured),
            "passed" if found.passed else "failed",
            safe_name(found.reason or ""),
        ]
        for found in gate.conditions
    ]
    header = ["Condition", "required", "measured", "result", ""]
    return Table(header, rows, row_headers=True, label="Gate")


def signed(change: float) -> str:
    """Return a change in points with its sign, such as "+3.1" or "-12.0"."""
    text = points(change, 1)
    return f"+{text}" if change > 0 and float(text) != 0 else text


def _scored(comparison: Comparison, metric: Metric, column: str) -> str:
    found = score(comparison, metric, column)
    return "-" if found is None else " ".join(interval(found.mean, found.low, found.high))


def _times(found: Cost, tuned: Cost | None) -> str:
    return f"{found.tokens / tuned.tokens:.1f}" if tuned and tuned.tokens else "-"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _measured(value: float | str | None) -> str:
    if value is None:
        return "-"
    return safe_name(value) if isinstance(value, str) else f"{value:.4g}"


def kind_label(verdict: Verdict) -> str:
    """Return the verdict in one to three words."""
    return _KINDS[verdict.kind]


def subject(comparison: Comparison) -> str:
    """Return a line that says what was evaluated."""
    parts = [
        f"Model {safe_name(comparison.model)}",
        f"base model {safe_name(comparison.base_model)}",
        quantity(len(comparison.rows), "held-out row"),
    ]
    if comparison.train_rows is not None:
        parts.append(quantity(comparison.train_rows, "training row"))
    if comparison.job_id:
        parts.append(f"job {safe_name(comparison.job_id)}")
    return " · ".join(parts)


def _prompt_text(comparison: Comparison) -> str:
    """Return what the best prompt consists of. Empty if there is none."""
    column = comparison.column(PROMPT)
    if column is None:
        return ""
    parts = []
    if column.system_prompt:
        parts.append(f"the system message \u201c{safe_line(column.system_prompt)}\u201d")
    if column.nearest_examples:
        rows = quantity(column.nearest_examples, "training row")
        parts.append(f"the {rows} most similar to the question as examples")
    elif column.example_lines:
        parts.append(f"{_lines(column.example_lines)} as examples")
    return f"Best prompt: {' and '.join(parts)}." if parts else ""


def _cost_text(comparison: Comparison) -> str:
    """Compare the cost of an answer of the tuned model with the best prompt's. May be empty."""
    tuned, prompt = cost(comparison, TUNED), cost(comparison, PROMPT)
    if tuned is None or prompt is None or not tuned.tokens or not prompt.tokens:
        return ""
    if tuned.tokens > prompt.tokens:
        more = tuned.tokens / prompt.tokens - 1
        return f"The tuned model uses {more:.0%} more tokens per answer than the best prompt."
    text = (
        f"The tuned model uses {tuned.tokens:,.0f} tokens per answer and the best prompt "
        f"{prompt.tokens:,.0f}: {1 - tuned.tokens / prompt.tokens:.0%} fewer"
    )
    if tuned.latency_s and prompt.latency_s:
        text += f", in {tuned.latency_s:.2f} instead of {prompt.latency_s:.2f} seconds"
    return f"{text}."


def _forgetting_text(found: Forgetting) -> str:
    """Return the overall change on the general set."""
    mean, limits = interval(found.change, found.low, found.high)
    return (
        f"Tuned minus base on the general set: {mean} points {limits} on "
        f"{quantity(found.rows, 'row')}."
    )


def _memorization_text(found: Memorization) -> list[str]:
    """Return paragraphs on what the tuned model returns of its training rows."""
    probed = quantity(found.rows_probed, "training row")
    planted = f" and {quantity(found.canaries_planted, 'planted canary')}"
    planted = planted if found.canaries_planted else ""
    if not found.returned and not found.personal:
        return [f"None of {probed}{planted} was returned when the model was given the beginning."]
    returned = memorized_text(memorized_figures(found))
    paragraphs = [
        f"Given the beginnings of {probed}{planted}, the tuned model returned {returned}."
    ]
    if found.verbatim_lines:
        paragraphs.append(f"Verbatim: {_lines(found.verbatim_lines)}.")
    if found.near_lines:
        paragraphs.append(f"Nearly verbatim: {_lines(found.near_lines)}.")
    if found.personal:
        places = [f"line {row.line} ({safe_name(', '.join(row.kinds))})" for row in found.personal]
        paragraphs.append(f"Personal data was returned from {_listed(places)}.")
    return paragraphs


def _retrieval_text(found: Retrieval) -> str:
    """Return the signs that the task needs facts."""
    return (
        f"{found.facts} of {quantity(found.rows, 'reference answer')} are facts. A keyword search "
        f"(BM25) over the training rows finds {found.found} of them. The tuned model answers "
        f"{found.unseen_right} of {quantity(found.unseen_rows, 'held-out row')} right, and "
        f"{found.seen_right} of {quantity(found.seen_rows, 'training row')}."
    )


def primary_text(comparison: Comparison) -> str:
    """Return what the verdict is based on."""
    metric = comparison.primary
    kind = "right or wrong" if metric.kind == "binary" else "a score per answer"
    return f"The verdict is based on {safe_name(unit(metric.name))} ({kind})."


def _lines(lines: list[int]) -> str:
    noun = "line" if len(lines) == 1 else "lines"
    return f"{noun} {_listed([str(line) for line in lines])} of the training file"


def _listed(items: list[str]) -> str:
    more = len(items) - _LISTED_LINES
    text = ", ".join(items[:_LISTED_LINES])
    return f"{text} and {more:,} more" if more > 0 else text
