"""Sections of the report, which Markdown and HTML share."""

from __future__ import annotations

from collections.abc import Iterator

from service.datasets.report.parts import Heading, Paragraph, Part
from service.verdict.comparison import Comparison
from service.verdict.report import prose, tables
from service.verdict.report.text import line
from service.verdict.results import GateResult


def gate_section(gate: GateResult | None) -> Iterator[Part]:
    """Yield the result of a gate, if there is one."""
    if gate is None:
        return
    yield Heading("Gate")
    yield Paragraph("The gate passes." if gate.passed else "The gate fails.")
    if gate.conditions:
        yield tables.gate_table(gate)


def scores_section(comparison: Comparison) -> Iterator[Part]:
    """Yield the scores of all columns."""
    yield Heading("Scores")
    yield tables.scores_table(comparison)
    if text := prose.prompt_text(comparison):
        yield Paragraph(text)


def cost_section(comparison: Comparison) -> Iterator[Part]:
    """Yield tokens and time per answer."""
    costs = tables.costs_table(comparison)
    if costs is None:
        return
    yield Heading("Cost per answer")
    if text := prose.cost_text(comparison):
        yield Paragraph(text)
    yield costs


def side_effects(comparison: Comparison) -> Iterator[Part]:
    """Yield forgetting, memorization, facts and notes, where there are any."""
    if comparison.forgetting is not None:
        yield Heading("Forgetting")
        yield Paragraph(prose.forgetting_text(comparison.forgetting))
        if comparison.forgetting.languages:
            yield tables.forgetting_table(comparison.forgetting)
    if comparison.memorization is not None:
        yield Heading("Memorization")
        yield from map(Paragraph, prose.memorization_text(comparison.memorization))
    if comparison.retrieval is not None:
        yield Heading("Facts")
        yield Paragraph(prose.retrieval_text(comparison))
    if comparison.notes:
        yield Heading("Notes")
        yield from (Paragraph(line(note)) for note in comparison.notes)
