"""Computes statistics of a file's rows, and finds rows that deviate from most others."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from service.datasets.chat_templates import takes_tools
from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.contract.report import (
    Distribution,
    Histogram,
    Share,
    SystemPrompts,
    TokenizerFit,
    TokenStats,
)
from service.datasets.contract.tasks import Measures
from service.datasets.duplicates.groups import Lines
from service.datasets.file_features import Collected, collect
from service.datasets.quality import CODES
from service.datasets.row_features import HASHES_ONLY, SURE_LANGUAGE_CHARS, TOKEN_KINDS
from service.datasets.text.languages import SCRIPTS, UNKNOWN

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
    """Return a histogram with one bin per number if the range is small, or else geometric bins."""
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
    """Return token counts for each model, and log rows that the longest context truncates.

    Truncation is logged for the first model only.
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


_ENOUGH_ROWS = 20  # with fewer rows, nothing counts as typical
_ENOUGH_FOR_PAIRS = 4  # with fewer rows, one answer in another language is not rare
_MAIN_SHARE, _RARE_SHARE = 0.9, 0.02
_PAIR_RARE_SHARE = 0.2
_FENCE = 3.0  # interquartile ranges of the logarithm: one row in a million, if normal
_LONG_FACTOR = 4
# A row of so few characters is not long, however short the others are: about 1,000 tokens.
_MIN_LONG_CHARS = 4_000


def language_shares(collected: Collected) -> list[Share]:
    """Return the languages by number of rows, most frequent first."""
    numbers = collected.features["language"]
    return _shares(numbers, collected.languages)


def script_shares(collected: Collected) -> list[Share]:
    """Return the dominant scripts by number of rows, most frequent first."""
    return _shares(collected.features["script"], list(SCRIPTS))


def _shares(numbers: Any, names: list[str]) -> list[Share]:
    counts = np.bincount(numbers, minlength=len(names))
    total = int(counts.sum())
    shares = [
        Share(name, int(count), round(int(count) / total, 4))
        for name, count in zip(names, counts, strict=False)
        if count
    ]
    return sorted(shares, key=lambda share: (-share.rows, share.name))


def log_languages(collected: Collected, lines: Lines, log: IssueLog) -> None:
    """Log rows in a very rare language, and answers in another language if those are rare."""
    features, total = collected.features, len(collected.features)
    shares = language_shares(collected)
    if not shares:
        return
    if total >= _ENOUGH_ROWS and shares[0].share >= _MAIN_SHARE:
        rare = [s.name for s in shares[1:] if s.share < _RARE_SHARE and s.name != UNKNOWN]
        numbers = [collected.languages.index(name) for name in rare]
        usual = script_shares(collected)[0].name
        usual_scripts = ["Han", "Kana"] if usual in ("Han", "Kana") else [usual]
        is_usual = np.isin(features["script"], [SCRIPTS.index(name) for name in usual_scripts])
        is_sure = ~is_usual | (features["answer_chars"] >= SURE_LANGUAGE_CHARS)
        for row in np.flatnonzero(np.isin(features["language"], numbers) & is_sure):
            language = collected.languages[int(features["language"][row])]
            log.add(make_issue("wrong_language", int(lines[row]), language=language))
    mixed = features["other_language"]
    if total >= _ENOUGH_FOR_PAIRS and mixed.sum() <= max(1, _PAIR_RARE_SHARE * total):
        _log_rows("answer_in_other_language", mixed, lines, log)


def log_lengths(collected: Collected, lines: Lines, log: IssueLog) -> None:
    """Log rows that are very long."""
    if len(collected.features) < _ENOUGH_ROWS:
        return
    chars = collected.features["chars"].astype(np.int64)
    # Tukey's upper fence, computed on the logarithms because lengths vary by magnitude.
    logs = np.log1p(chars)
    quarter, three_quarters = np.percentile(logs, (25, 75))
    high = float(np.expm1(three_quarters + _FENCE * (three_quarters - quarter)))
    least = max(high, _LONG_FACTOR * float(np.median(chars)), _MIN_LONG_CHARS)
    for row in np.flatnonzero(chars > least):
        log.add(make_issue("very_long_row", int(lines[row]), chars=int(chars[row])))


def log_poor_texts(collected: Collected, lines: Lines, log: IssueLog) -> None:
    """Log rows decoded with the wrong encoding, and rows with poor answers."""
    _log_rows("mojibake", collected.features["mojibake"], lines, log)
    for place, code in enumerate(CODES):
        _log_rows(code, collected.features["quality"] & (1 << place), lines, log)


def _log_rows(code: str, flags: Any, lines: Lines, log: IssueLog) -> None:
    for row in np.flatnonzero(flags):
        log.add(make_issue(code, int(lines[row])))


def system_prompts(collected: Collected, lines: Lines, log: IssueLog) -> SystemPrompts:
    """Return statistics of the system prompts, and log an issue if they vary."""
    values, first, counts = np.unique(
        collected.features["system"], return_index=True, return_counts=True
    )
    is_one = values != 0
    distinct, total = int(is_one.sum()), len(collected.features)
    if distinct > 1:
        # The first row whose prompt differs from the first prompt in the file.
        second = int(np.sort(first[is_one])[1])
        log.add(make_issue("system_prompt_varies", int(lines[second]), count=distinct))
    return SystemPrompts(
        distinct=distinct,
        rows_without=int(counts[~is_one].sum()),
        top_share=round(int(counts[is_one].max()) / total, 4) if distinct else 0.0,
    )
