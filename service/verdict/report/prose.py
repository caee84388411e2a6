"""Paragraphs of the report, which Markdown and HTML share."""

from __future__ import annotations

from service.verdict.comparison import PROMPT, TUNED, Comparison, Forgetting, Memorization, cost
from service.verdict.report.text import line, name
from service.verdict.results import Verdict
from service.verdict.wording import counted, interval, memorized, unit

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
}


def kind_label(verdict: Verdict) -> str:
    """Return the verdict in one to three words."""
    return _KINDS[verdict.kind]


def subject(comparison: Comparison) -> str:
    """Return a line that says what was evaluated."""
    parts = [
        f"Model {name(comparison.model)}",
        f"base model {name(comparison.base_model)}",
        counted(len(comparison.rows), "held-out row"),
    ]
    if comparison.train_rows is not None:
        parts.append(counted(comparison.train_rows, "training row"))
    if comparison.job_id:
        parts.append(f"job {name(comparison.job_id)}")
    return " · ".join(parts)


def prompt_text(comparison: Comparison) -> str:
    """Return what the best prompt consists of. Empty if there is none."""
    column = comparison.column(PROMPT)
    if column is None:
        return ""
    parts = []
    if column.system_prompt:
        parts.append(f"the system message \u201c{line(column.system_prompt)}\u201d")
    if column.nearest_examples:
        rows = counted(column.nearest_examples, "training row")
        parts.append(f"the {rows} most similar to the question as examples")
    elif column.example_lines:
        parts.append(f"{_lines(column.example_lines)} as examples")
    return f"Best prompt: {' and '.join(parts)}." if parts else ""


def cost_text(comparison: Comparison) -> str:
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


def forgetting_text(found: Forgetting) -> str:
    """Return the overall change on the general set."""
    mean, limits = interval(found.change, found.low, found.high)
    return (
        f"Tuned minus base on the general set: {mean} points {limits} on "
        f"{counted(found.rows, 'row')}."
    )


def memorization_text(found: Memorization) -> list[str]:
    """Return paragraphs on what the tuned model returns of its training rows."""
    probed = counted(found.rows_probed, "training row")
    planted = f" and {counted(found.canaries_planted, 'planted canary')}"
    planted = planted if found.canaries_planted else ""
    if not found.returned and not found.personal:
        return [f"None of {probed}{planted} was returned when the model was given the beginning."]
    paragraphs = [
        f"Given the beginnings of {probed}{planted}, the tuned model returned {memorized(found)}."
    ]
    if found.verbatim_lines:
        paragraphs.append(f"Verbatim: {_lines(found.verbatim_lines)}.")
    if found.near_lines:
        paragraphs.append(f"Nearly verbatim: {_lines(found.near_lines)}.")
    if found.personal:
        places = [f"line {row.line} ({name(', '.join(row.kinds))})" for row in found.personal]
        paragraphs.append(f"Personal data was returned from {_listed(places)}.")
    return paragraphs


def retrieval_text(comparison: Comparison) -> str:
    """Return the signs that the task needs facts. May be empty."""
    found = comparison.retrieval
    if found is None:
        return ""
    return (
        f"{found.facts} of {counted(found.rows, 'reference answer')} are facts. A keyword search "
        f"(BM25) over the training rows finds {found.found} of them. The tuned model answers "
        f"{found.unseen_right} of {counted(found.unseen_rows, 'held-out row')} right, and "
        f"{found.seen_right} of {counted(found.seen_rows, 'training row')}."
    )


def primary_text(comparison: Comparison) -> str:
    """Return what the verdict is based on."""
    metric = comparison.primary
    kind = "right or wrong" if metric.kind == "binary" else "a score per answer"
    return f"The verdict is based on {name(unit(metric.name))} ({kind})."


def _lines(lines: list[int]) -> str:
    noun = "line" if len(lines) == 1 else "lines"
    return f"{noun} {_listed([str(line) for line in lines])} of the training file"


def _listed(items: list[str]) -> str:
    more = len(items) - _LISTED_LINES
    text = ", ".join(items[:_LISTED_LINES])
    return f"{text} and {more:,} more" if more > 0 else text
