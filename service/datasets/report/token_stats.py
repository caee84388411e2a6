"""Statistics of numbers per row, and of tokens: lengths, truncation, and efficiency by language."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.contract import Measures
from service.datasets.duplicates.groups import Lines
from service.datasets.report.collect import Collected, collect
from service.datasets.report.features import HASHES_ONLY, TOKEN_KINDS
from service.datasets.report.report import Distribution, Histogram, TokenizerFit, TokenStats
from service.datasets.rows.templates import takes_tools

_BINS = 20


def distribution(values: Any) -> Distribution | None:
    """Return the distribution of an array of nonnegative integers, or None if it is empty."""
    numbers = np.asarray(values, dtype=np.int64)
    if not len(numbers):
        return None
    low, median, high, top = np.percentile(numbers, (0, 50, 95, 100), method="lower")
    return Distribution(
        min=int(low),
        p50=int(median),
        p95=int(high),
        max=int(top),
        mean=round(float(numbers.mean()), 2),
        total=int(numbers.sum()),
        histogram=_histogram(numbers),
    )


def _histogram(numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Histogram:
    """Make a histogram with one bin per number if the range is small, or else geometric bins."""
    low, top = int(numbers.min()), int(numbers.max())
    if top - low < _BINS:
        edges: Sequence[float] = [float(edge) for edge in range(low, top + 2)]
    else:
        steps = np.unique(np.geomspace(max(low, 1), top + 1, _BINS + 1).round())
        edges = [float(step) for step in steps]
        edges[0] = min(edges[0], low)
    counts, _ = np.histogram(numbers, bins=np.array(edges))
    return Histogram(list(edges), [int(count) for count in counts])


_ALL, _SUPERVISED, _BEFORE = (TOKEN_KINDS.index(kind) for kind in TOKEN_KINDS)


def token_stats(
    collected: Collected,
    models: Sequence[str],
    context_lengths: Sequence[int],
    lines: Lines,
    log: IssueLog,
) -> list[TokenStats]:
    """Return the counts of each model, and report rows that the longest context truncates.

    Truncation is reported for the first model only.
    """
    result: list[TokenStats] = []
    for place, model in enumerate(models):
        counts = collected.tokens[:, place, :].astype(np.int64)
        tokens = distribution(counts[:, _ALL])
        supervised = distribution(counts[:, _SUPERVISED])
        if tokens is None or supervised is None:
            continue
        cut = {limit: np.flatnonzero(counts[:, _ALL] > limit) for limit in context_lengths}
        lost = {limit: np.flatnonzero(counts[:, _BEFORE] >= limit) for limit in context_lengths}
        if place == 0 and context_lengths:
            _log_issues(max(context_lengths), counts, collected, lines, log)
        result.append(
            TokenStats(
                model=model,
                rows=len(counts),
                sampled=len(counts) < len(collected.features),
                tokens=tokens,
                supervised_tokens=supervised,
                truncated_rows={limit: len(rows) for limit, rows in cut.items()},
                unlearnable_rows={limit: len(rows) for limit, rows in lost.items()},
            )
        )
    return result


def _log_issues(
    limit: int,
    counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    collected: Collected,
    lines: Lines,
    log: IssueLog,
) -> None:
    for row in np.flatnonzero(counts[:, _ALL] > limit):
        line = int(lines[collected.token_rows[row]])
        if counts[row, _BEFORE] >= limit:
            log.add(make_issue("nothing_left_to_learn", line, limit=limit))
        else:
            tokens = int(counts[row, _ALL])
            log.add(make_issue("truncated", line, tokens=tokens, limit=limit))


def tokenizer_fit(collected: Collected, models: Sequence[str]) -> list[TokenizerFit]:
    """Return tokens per character and byte fallback by model and language, most rows first."""
    result = [
        TokenizerFit(
            model=model,
            language=language,
            rows=int(rows),
            tokens_per_character=round(float(tokens / max(chars, 1)), 4),
            byte_fallback_share=round(float(fallbacks / max(tokens, 1)), 4),
        )
        for (model, language), (rows, chars, tokens, fallbacks) in collected.fit.items()
    ]
    order = {model: place for place, model in enumerate(models)}
    return sorted(result, key=lambda fit: (-fit.rows, fit.language, order[fit.model]))


def measure(path: Path, tokenizer: Path, *, rows: int, processes: int = 1) -> Measures:
    """Measure a canonical file with `rows` rows. Raises DatasetError for a broken tokenizer."""
    options = msgspec.structs.replace(
        HASHES_ONLY, tokenizers={"model": tokenizer}, signatures=False
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".measure-") as work:
        collected = collect(path, rows, Path(work), options, processes=processes)
    counts = collected.tokens[:, 0, :].astype(np.int64)
    scale = rows / max(len(counts), 1)
    lengths = counts[:, _ALL] if len(counts) else np.zeros(1, dtype=np.int64)
    spread = np.percentile(lengths, list(range(101)), method="higher")
    return Measures(
        rows=rows,
        percentiles=[int(length) for length in spread],
        tokens=round(int(lengths.sum()) * scale),
        supervised_tokens=round(int(counts[:, _SUPERVISED].sum()) * scale),
        tool_rows=int(collected.features["tools"].sum()),
        takes_tools=takes_tools(tokenizer.parent),
    )
