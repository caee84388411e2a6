"""The table of `bench/gpu/run.py`, and its place in docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- gpu benchmark: begin -->", "<!-- gpu benchmark: end -->"
_MIB, _GIB = 2**20, 2**30


@dataclass
class Result:
    """What a contestant's rounds gave; `failure` is the reason if one of them failed."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def best_s(self) -> float:
        """Seconds of the fastest round."""
        return min(self.seconds)


def table(tokens: float, results: Mapping[str, Result]) -> str:
    """Return the results as a Markdown table, relative to the first contestant that succeeded."""
    lines = [
        "| trainer | tokens/s | relative | peak memory | held-out loss, by seed |",
        "|---|---|---|---|---|",
    ]
    base = next((one for one in results.values() if one.failure is None), None)
    for name, one in results.items():
        if one.failure is not None or base is None:
            lines.append(f"| {name} | – | – | – | {one.failure} |")
            continue
        losses = ", ".join(f"{loss:.3f}" for loss in one.losses) or "–"
        speed, ratio = tokens / one.best_s, base.best_s / one.best_s
        peak = _size(max(one.peak_bytes))
        lines.append(f"| {name} | {speed:,.0f} | {ratio:.2f} | {peak} | {losses} |")
    return "\n".join(lines)


def section(title: str, facts: Sequence[str], body: str) -> str:
    """Return a part of the page: a heading, what was measured, and the table."""
    return f"### {title}\n\n{' '.join(facts)}\n\n{body}\n"


def write_into(page: Path, made: str) -> None:
    """Put a section between the page's markers. It replaces the one with the same heading."""
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} lacks the markers {BEGIN} and {END}")
    kept = [part for part in re.split(r"(?m)^(?=### )", inside.strip()) if part.startswith("### ")]
    heading = made.partition("\n")[0]
    parts = [part.strip() for part in kept if part.partition("\n")[0] != heading] + [made.strip()]
    page.write_text(f"{before}{begin}\n\n" + "\n\n".join(parts) + f"\n\n{end}{after}", "utf-8")


def _size(count: float) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"
