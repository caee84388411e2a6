"""Statistics of the two files of a comparison, and what shifts between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from service.datasets.checks.issues import IssueLog
from service.datasets.personal_data.kinds import POSSIBLE
from service.datasets.report.collect import Collected, FileRows
from service.datasets.report.features import GOOD, UNLABELED
from service.datasets.report.outliers import language_shares, system_prompts
from service.datasets.report.report import Distribution, Share
from service.datasets.report.token_stats import distribution
from service.datasets.text.languages import language_name
from service.datasets.versions.diff import FileStatistics, Measure, Shift

# Answers are classes if there are few of them, and each is in many rows.
_MAX_CLASSES, _ROWS_A_CLASS = 50, 10
_NAME_CHARS = 80
# A smaller shift is not worth a sentence, and may be chance.
_NOTABLE = 0.02
_MAX_SHIFTS = 100
_LENGTHS: dict[Measure, tuple[str, str]] = {
    "question_characters": ("question_chars", "the median length of the questions"),
    "answer_characters": ("answer_chars", "the median length of the answers"),
    "turns": ("turns", "the median number of turns"),
}


class BothStatistics(NamedTuple):
    """Statistics of both files."""

    before: FileStatistics
    after: FileStatistics


def statistics(before: FileRows, after: FileRows) -> BothStatistics:
    """Return statistics of both files, with the same classes."""
    classes = _classes(before.collected, after.collected)
    return BothStatistics(_statistics(before, classes), _statistics(after, classes))


def _statistics(read: FileRows, classes: dict[int, str]) -> FileStatistics:
    collected, rows = read.collected, read.collected.features
    return FileStatistics(
        rows=len(rows),
        broken_rows=read.result.validation.rows - len(rows),
        languages=language_shares(collected),
        question_characters=distribution(rows["question_chars"]),
        answer_characters=distribution(rows["answer_chars"]),
        turns=distribution(rows["turns"]),
        system_prompts=system_prompts(collected, read.lines, IssueLog(0)),
        tool_rows=int(rows["tools"].sum()),
        classes=_labels(rows) or _class_shares(rows, classes),
        personal_data={
            kind: count
            for kind, count in collected.personal.most_common()
            if not kind.startswith(POSSIBLE)
        },
        personal_rows=int((rows["personal"] > 0).sum()),
    )


def _labels(rows: Any) -> list[Share]:
    labels = rows["label"][rows["label"] != UNLABELED]
    good = int((labels == GOOD).sum())
    counts = {"good": good, "bad": len(labels) - good}
    return [Share(name, n, round(n / len(labels), 4)) for name, n in counts.items() if n]


def _class_shares(rows: Any, classes: dict[int, str]) -> list[Share]:
    shares = []
    for answer, name in classes.items():
        count = int((rows["answer"] == answer).sum())
        shares.append(Share(name, count, round(count / max(len(rows), 1), 4)))
    return sorted((share for share in shares if share.rows), key=lambda share: -share.rows)


def _classes(*files: Collected) -> dict[int, str]:
    """Return the answers of files that sort inputs into classes: the name of each, by its hash."""
    classes: dict[int, str] = {}
    for collected in files:
        answers, firsts = np.unique(collected.features["answer"], return_index=True)
        if len(answers) > _MAX_CLASSES or len(answers) * _ROWS_A_CLASS > len(collected.features):
            continue
        with collected.texts() as texts:
            for answer, row in zip(answers.tolist(), firsts.tolist(), strict=True):
                talk = texts.conversation(row)
                given = [turn.text for turn in talk.turns[talk.last_answer :]]
                classes.setdefault(answer, given[0][:_NAME_CHARS] if given else "")
    return classes


def shifts(of: BothStatistics, before: FileRows, after: FileRows) -> list[Shift]:
    """Return what differs between the files, the largest shift first."""
    if not of.before.rows or not of.after.rows:
        return []
    rows, others = before.collected.features, after.collected.features
    found = [
        *_shares("language", of.before.languages, of.after.languages),
        *_shares("class", of.before.classes, of.after.classes),
        *(
            _length(measure, rows[column], others[column], what)
            for measure, (column, what) in _LENGTHS.items()
        ),
        _share(
            "system_prompts",
            None,
            1 - of.before.system_prompts.rows_without / of.before.rows,
            1 - of.after.system_prompts.rows_without / of.after.rows,
            "the share of rows with a system prompt",
        ),
        _share(
            "tools",
            None,
            of.before.tool_rows / of.before.rows,
            of.after.tool_rows / of.after.rows,
            "the share of rows that call tools",
        ),
        *_personal_data(of),
    ]
    notable = [shift for shift in found if shift.size > 0]
    return sorted(notable, key=lambda shift: -shift.size)[:_MAX_SHIFTS]


def _shares(measure: Measure, before: list[Share], after: list[Share]) -> Iterator[Shift]:
    shares, others = ({s.name: s.share for s in side} for side in (before, after))
    for name in dict.fromkeys((*shares, *others)):
        what = (
            f"the share of rows in {language_name(name)}"
            if measure == "language"
            else f"the share of rows with the answer “{name}”"
        )
        yield _share(measure, name, shares.get(name, 0.0), others.get(name, 0.0), what)


def _share(measure: Measure, name: str | None, before: float, after: float, what: str) -> Shift:
    text = f"{what} {_moved(before, after)} from {before:.0%} to {after:.0%}"
    size = abs(before - after)
    return Shift(measure, name, round(before, 4), round(after, 4), round(size, 4), text)


def _length(measure: Measure, values: Any, others: Any, what: str) -> Shift:
    before, after = (_median(distribution(side)) for side in (values, others))
    text = f"{what} {_moved(before, after)} from {before} to {after}"
    if before == after:
        text = f"{what} stayed at {before}, but longer or shorter ones are more frequent"
    return Shift(measure, None, before, after, round(_distance(values, others), 4), text)


def _median(found: Distribution | None) -> int:
    return found.p50 if found is not None else 0


def _distance(values: Any, others: Any) -> float:
    """Return the largest difference between two cumulative distributions (Kolmogorov-Smirnov)."""
    edges = np.union1d(values, others)
    one, other = (
        np.searchsorted(np.sort(side), edges, side="right") / len(side) for side in (values, others)
    )
    return float(np.abs(one - other).max())


def _personal_data(of: BothStatistics) -> Iterator[Shift]:
    for kind in dict.fromkeys((*of.before.personal_data, *of.after.personal_data)):
        before, after = (side.personal_data.get(kind, 0) / side.rows for side in of)
        what = f"personal data of the kind {kind.replace('_', ' ')}"
        text = f"{what} {_moved(before, after)} from {before:.2g} to {after:.2g} findings per row"
        size = min(abs(before - after), 1.0)
        yield Shift("personal_data", kind, round(before, 4), round(after, 4), round(size, 4), text)


def _moved(before: float, after: float) -> str:
    return "rose" if after > before else "fell"


def summary(unchanged: int, changed: int, removed: int, added: int, drift: list[Shift]) -> str:
    """Say in one sentence how many rows differ, and what shifted most."""
    if not (changed or removed or added):
        return "Both files have the same rows."
    kinds = {"unchanged": unchanged, "changed": changed, "removed": removed, "added": added}
    parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    before, after = unchanged + changed + removed, unchanged + changed + added
    counts = f"{before} rows became {after}: {parts}"
    if drift and drift[0].size >= _NOTABLE:
        return f"{counts}; what shifted most: {drift[0].text}."
    return f"{counts}; languages, lengths and the like are nearly the same."
