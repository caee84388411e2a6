"""Tokenizer statistics: lengths in tokens, truncation, and efficiency for each language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.duplicates.groups import Lines
from service.datasets.report.collect import Collected
from service.datasets.report.distributions import distribution
from service.datasets.report.features import TOKEN_KINDS
from service.datasets.report.report import TokenizerFit, TokenStats

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
