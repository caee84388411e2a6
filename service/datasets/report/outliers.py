"""Detection of rows that differ from the rest of the data set in language, length, or damage."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.duplicates.groups import Lines
from service.datasets.quality.find import CODES
from service.datasets.report.collect import Collected
from service.datasets.report.report import Share, SystemPrompts
from service.datasets.text.languages import SCRIPTS, UNKNOWN

_ENOUGH_ROWS = 20  # with fewer rows, nothing counts as typical
_MAIN_SHARE, _RARE_SHARE = 0.9, 0.02
_PAIR_RARE_SHARE = 0.2
_FENCE = 3.0  # interquartile ranges of the logarithm: one row in a million, if normal
_LONG_FACTOR, _SHORT_FACTOR = 4, 8


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
    """Report rows in a very rare language, and answers in another language if those are rare."""
    features, total = collected.features, len(collected.features)
    shares = language_shares(collected)
    if total < _ENOUGH_ROWS or not shares:
        return
    if shares[0].share >= _MAIN_SHARE:
        rare = [s.name for s in shares[1:] if s.share < _RARE_SHARE and s.name != UNKNOWN]
        numbers = [collected.languages.index(name) for name in rare]
        for row in np.flatnonzero(np.isin(features["language"], numbers)):
            language = collected.languages[int(features["language"][row])]
            log.add(make_issue("wrong_language", int(lines[row]), language=language))
    mixed = np.flatnonzero(features["other_language"])
    if len(mixed) < _PAIR_RARE_SHARE * total:
        for row in mixed:
            log.add(make_issue("answer_in_other_language", int(lines[row])))


def log_lengths(collected: Collected, lines: Lines, log: IssueLog) -> None:
    """Report rows that are very long, and answers that are very short."""
    if len(collected.features) < _ENOUGH_ROWS:
        return
    chars = collected.features["chars"].astype(np.int64)
    high = _fences(chars)[1]
    for row in np.flatnonzero(chars > max(high, _LONG_FACTOR * float(np.median(chars)))):
        log.add(make_issue("very_long_row", int(lines[row]), chars=int(chars[row])))
    answers = collected.features["answer_chars"].astype(np.int64)
    low = min(_fences(answers)[0], float(np.median(answers)) / _SHORT_FACTOR)
    for row in np.flatnonzero(answers < low):
        log.add(make_issue("very_short_answer", int(lines[row]), chars=int(answers[row])))


def _fences(values: Any) -> tuple[float, float]:
    """Return Tukey's fences, computed on the logarithms because lengths vary by magnitude."""
    logs = np.log1p(values)
    quarter, three_quarters = np.percentile(logs, (25, 75))
    reach = _FENCE * (three_quarters - quarter)
    return float(np.expm1(quarter - reach)), float(np.expm1(three_quarters + reach))


def log_mojibake(collected: Collected, lines: Lines, log: IssueLog) -> None:
    """Report each row whose text was decoded with the wrong encoding."""
    for row in np.flatnonzero(collected.features["mojibake"]):
        log.add(make_issue("mojibake", int(lines[row])))


def log_quality(collected: Collected, lines: Lines, log: IssueLog) -> None:
    """Report each row with an answer that no model should learn."""
    bits = collected.features["quality"]
    for place, code in enumerate(CODES):
        for row in np.flatnonzero(bits & (1 << place)):
            log.add(make_issue(code, int(lines[row])))


def system_prompts(collected: Collected, lines: Lines, log: IssueLog) -> SystemPrompts:
    """Return statistics on the system prompts, and report an issue if they vary."""
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
