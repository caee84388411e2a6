"""The report on a move as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from finetuned_cli.output import printable

if TYPE_CHECKING:
    from finetuned_migrate.openai import Compared
    from finetuned_migrate.openai.changes import Change
    from finetuned_migrate.openai.report import Row

_MOST_CHARS = 400


def text(found: Sequence[Compared]) -> str:
    """Return the report as text for a terminal."""
    lines: list[str] = []
    for one in found:
        lines += [f"{one.model} -> {one.new_model or 'no new model'}"]
        lines += [f"  {one.verdict}: {one.sentence}", f"  {_figures(one)}"]
        lines += [f"  {_change(change)}" for change in one.changes]
        lines += [f"  gate: {_gate(one)}"]
        if one.alias is not None:
            lines += [f"  alias: {one.alias}"]
        for row in one.worst:
            lines += ["", f"  prompt {row.number}{_scores(row)}"]
            lines += [f"    {name}: {_short(value)}" for name, value in _answers(row)]
        lines += [""]
    return printable("\n".join(lines))


def markdown(found: Sequence[Compared]) -> str:
    """Return the report as Markdown."""
    lines = ["# Old and new models", "", "| old model | new model | verdict | gate |"]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| `{one.model}` | `{one.new_model or '-'}` | {one.verdict} "
        f"| {'passed' if one.passed else 'failed'} |"
        for one in found
    ]
    for one in found:
        lines += ["", f"## `{one.model}`", "", one.sentence, "", f"{_figures(one)}."]
        lines += ["", f"Gate: {_gate(one)}"]
        if one.alias is not None:
            lines += ["", f"Alias: {one.alias}."]
        if one.changes:
            lines += ["", *(f"- {_change(change)}" for change in one.changes)]
        for row in one.worst:
            lines += ["", f"### Prompt {row.number}{_scores(row)}"]
            for name, value in _answers(row):
                lines += ["", f"{name}:", "", *_code(value)]
    return printable("\n".join(lines)) + "\n"


def _figures(one: Compared) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in one.figures.items())


def _change(change: Change) -> str:
    return (
        f"{change.grader}: {change.old:.1f} before, {change.new:.1f} now, {change.mean:+.1f} "
        f"({change.low:+.1f} to {change.high:+.1f}, {change.rows} rows)"
    )


def _gate(one: Compared) -> str:
    state = "passed." if one.passed else f"failed: {' '.join(one.failures)}"
    return f"{state} The alias was moved anyway." if one.forced else state


def _scores(row: Row) -> str:
    shown = [
        f"{name} {row.old_scores[name]:.0f} -> {score:.0f}"
        if name in row.old_scores
        else f"{name} {score:.0f}"
        for name, score in row.new_scores.items()
    ]
    return f": {', '.join(shown)}" if shown else ""


def _answers(row: Row) -> list[tuple[str, str]]:
    pairs = [("prompt", row.prompt), ("expected", row.expected or ""), ("old", row.old)]
    pairs.append(("new", row.new if row.error is None else f"({row.error})"))
    return [(name, value) for name, value in pairs if value]


def _short(value: str) -> str:
    flat = " ".join(value.split())
    return flat if len(flat) <= _MOST_CHARS else f"{flat[: _MOST_CHARS - 1]}…"


def _code(value: str) -> list[str]:
    """Return lines as an indented block, in which Markdown has no meaning."""
    return [f"    {line}" for line in value.splitlines()] or ["    "]
