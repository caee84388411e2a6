"""Search for duplicates, near-duplicates, contradictions, and rows that two files share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.contract import SharedRows
from service.datasets.duplicates.groups import (
    CANDIDATES,
    Hashes,
    Lines,
    Rows,
    agree,
    contradictions,
    equal_groups,
    find_classes,
    near_groups,
)
from service.datasets.duplicates.minhash import MIX, PERMUTATIONS, SignatureStack
from service.datasets.duplicates.row_texts import RowTexts
from service.datasets.limits import NEAR_THRESHOLD
from service.datasets.report.collect import Collected, collect
from service.datasets.report.features import HASHES_ONLY, UNLABELED, FeatureArray
from service.datasets.report.report import GroupStats

Similarity = Callable[[int, int], float | None]
"""Returns the similarity of two rows, from 0 to 1, or None if it was not measured."""

_EXAMPLES = 20
_LINES_AN_EXAMPLE = 5
# Groups of conflicting answers, and different answers in a group, that are compared in full.
_COMPARED_GROUPS, _COMPARED_ANSWERS = 20_000, 20


class Conflict(NamedTuple):
    """Rows with the same question, and the verdict of each: equal for those that say the same."""

    rows: Rows
    verdicts: Hashes

    @property
    def opposed(self) -> Rows:
        """The first row, and those that contradict it."""
        differ = self.verdicts != self.verdicts[0]
        differ[0] = True
        return np.asarray(self.rows[differ])


class SimilarRows(NamedTuple):
    """Groups of row numbers. Near groups contain at most one row of each exact group.

    Each row of a `near` group means the same as the group's first row. Rows of a `same_form`
    group have the same form but different facts. Rows of a conflict have the same question, apart
    from politeness, and rows of a `reworded` pair nearly the same. `similarities`
    are those of pairs of rows that were compared, from 0 to 1.
    """

    exact: list[Rows]
    near: list[Rows]
    same_form: list[Rows]
    conflicts: list[Conflict]
    reworded: list[Rows]
    similarities: dict[tuple[int, int], float]

    @property
    def contradicting(self) -> list[Rows]:
        """Groups of rows that ask the same as the first row of the group and contradict it."""
        groups = [*(conflict.opposed for conflict in self.conflicts), *self.reworded]
        return sorted(groups, key=lambda group: int(group[0]))


def find_similar_rows(
    collected: Collected, *, near_threshold: float, processes: int = 1
) -> SimilarRows:
    """Find identical, similar, and contradicting rows."""
    features = collected.features
    exact = equal_groups(features["exact"])
    unique = np.ones(len(features), dtype=bool)
    for group in exact:
        unique[group[1:]] = False
    kept = np.flatnonzero(unique)
    stack = SignatureStack(collected.signatures)
    with collected.texts() as texts:
        classes = find_classes(features, kept, stack, texts, near_threshold, processes=processes)
        every = np.arange(len(features))
        conflicts = find_conflicts(every, features, texts, near_threshold)
    near = [group for one in classes.copies for group in one if len(group) > 1]
    return SimilarRows(
        exact,
        sorted(near, key=lambda group: int(group[0])),
        _same_form(classes.copies, features),
        conflicts,
        [pair for pair in classes.opposed if (features["label"][pair] == UNLABELED).all()],
        classes.similarities,
    )


def _same_form(classes: list[list[Rows]], features: FeatureArray) -> list[Rows]:
    """Return a row of each group of copies in a class.

    Rows with the same question are left out, because they may contradict each other instead.
    """
    found: list[Rows] = []
    for one in classes:
        rows: list[int] = []
        asked: set[int] = set()
        for group in one:
            question = int(features["question"][group[0]])
            if not question or question not in asked:
                rows.append(int(group[0]))
                asked.add(question)
        if len(rows) > 1:
            found.append(np.array(rows, dtype=np.int64))
    return sorted(found, key=lambda group: int(group[0]))


def find_conflicts(
    rows: Rows, features: FeatureArray, texts: RowTexts, threshold: float
) -> list[Conflict]:
    """Return the rows with the same question and verdicts that do not mean the same."""
    is_asked = (features["label"][rows] != UNLABELED) | (features["question"][rows] != 0)
    asked = rows[is_asked]
    groups = contradictions(questions(features)[asked], verdicts(features)[asked])
    found: list[Conflict] = []
    for number, group in enumerate(asked[places] for places in groups):
        said = verdicts(features)[group]
        if features["label"][group[0]] == UNLABELED and number < _COMPARED_GROUPS:
            said = _merge_replies(group, said, texts, threshold)
        if len(np.unique(said)) > 1:
            found.append(Conflict(group, said))
    return found


def _merge_replies(group: Rows, replies: Hashes, texts: RowTexts, threshold: float) -> Hashes:
    """Return the replies of a group, those that say the same as an earlier one replaced by it.

    If a question has many right answers, all are the same.
    """
    question = texts[int(group[0])]
    if not question.asks_one_thing:
        return np.zeros_like(replies)
    _, firsts = np.unique(replies, return_index=True)
    if len(firsts) > _COMPARED_ANSWERS:
        return replies
    meanings = replies.copy()
    different: list[int] = []
    for place in np.sort(firsts).tolist():
        answer = texts[int(group[place])].answer
        same = next(
            (
                other
                for other in different
                if agree(
                    texts[int(group[other])].answer, answer, question.question, threshold=threshold
                )
            ),
            None,
        )
        if same is None:
            different.append(place)
        else:
            meanings[replies == replies[place]] = replies[same]
    return meanings


def questions(features: FeatureArray) -> Hashes:
    """Return a hash of what each row has a verdict on: the prompt, without politeness.

    A labeled row has a verdict on the prompt and the answer. Several answers to a prompt, some
    of them bad, are no contradiction there.
    """
    asked = np.where(features["question"] == 0, features["prompt"], features["question"])
    return np.where(features["label"] == UNLABELED, asked, asked * MIX ^ features["answer"])


def verdicts(features: FeatureArray) -> Hashes:
    """Return a hash of each row's verdict: the answer, or the label of a labeled row."""
    labels = features["label"]
    return np.where(labels == UNLABELED, features["reply"], labels.astype(np.uint64))


def group_stats(groups: list[Rows], lines: Lines) -> GroupStats:
    """Return the counts of the groups, and the line numbers of the largest."""
    rows = sum(len(group) for group in groups)
    largest = largest_groups(groups)
    examples = [[int(lines[row]) for row in group[:_LINES_AN_EXAMPLE]] for group in largest]
    return GroupStats(len(groups), rows, rows - len(groups), examples)


def largest_groups(groups: list[Rows]) -> list[Rows]:
    """Return the largest groups, which serve as examples."""
    return sorted(groups, key=lambda group: (-len(group), int(group[0])))[:_EXAMPLES]


def log_groups(
    log: IssueLog, code: str, groups: Iterable[Rows], lines: Lines, similarity: Similarity
) -> None:
    """Log an issue for each row of a group except the first, with which it is compared."""
    for group in groups:
        first, other = int(group[0]), int(lines[group[0]])
        for row in group[1:].tolist():
            found = similarity(first, row)
            log.add(make_issue(code, int(lines[row]), other=other, similarity=found))


# Training rows that are compared with each validation row, the most similar first.
_COMPARED = 5
# Training rows of a group that are considered. More than this many similar rows are a template.
_CONSIDERED = 5_000

RowMap = dict[int, int]
"""Validation row -> training row."""


class Overlap(NamedTuple):
    """Rows that appear in both files.

    A row is in the first of `exact`, `near` and `contained` that applies. `near` rows mean the
    same as a training row. `contained` rows have a question and answer that some training
    conversation contains. `same_question` rows ask a question of the training file, whatever the
    answer.
    """

    exact: RowMap
    near: RowMap
    contained: RowMap
    same_question: RowMap

    @property
    def all(self) -> RowMap:
        """Each row that is exactly, nearly, or partly in the training file."""
        return {**self.contained, **self.near, **self.exact}


def shared_rows(train: Path, held: Path, work: Path, *, processes: int = 1) -> SharedRows:
    """Find the rows of one canonical file that appear in another, the training rows.

    Temporary files of 512 bytes per row go to `work`.
    """

    def read(path: Path, folder: Path) -> Collected:
        folder.mkdir()
        with path.open("rb") as lines:
            rows = sum(1 for line in lines if line.strip())
        return collect(path, rows, folder, HASHES_ONLY, processes=processes)

    with tempfile.TemporaryDirectory(dir=work, prefix="overlap-") as made:
        of_train, of_held = read(train, Path(made) / "train"), read(held, Path(made) / "held")
        found = overlap(of_train, of_held, near_threshold=NEAR_THRESHOLD)
    return SharedRows(
        rows=len(of_held.features),
        exact=_lines(found.exact),
        near=_lines(found.near),
        contained=_lines(found.contained),
    )


def _lines(rows: Iterable[int]) -> list[int]:
    return sorted(row + 1 for row in rows)


def overlap(train: Collected, held: Collected, *, near_threshold: float) -> Overlap:
    """Find rows of the validation file that also appear in the training file."""
    exact = _rows_with_known_hash(train.features["exact"], held.features["exact"])
    same = _rows_with_known_hash(_meaning_hashes(train), _meaning_hashes(held))
    near = {**_rows_with_same_meaning(train, held, near_threshold, known={*exact, *same}), **same}
    contained = _rows_with_known_exchange(train, held)
    questions = held.features["question"]
    asked = _rows_with_known_hash(train.features["question"], questions)
    return Overlap(
        exact,
        {row: other for row, other in near.items() if row not in exact},
        {r: other for r, other in contained.items() if r not in exact and r not in near},
        {row: other for row, other in asked.items() if questions[row]},
    )


def _meaning_hashes(collected: Collected) -> Any:
    features = collected.features
    return features["form"] * MIX ^ features["figures"]


def _rows_with_known_hash(train: Any, held: Any) -> RowMap:
    """Map each row of `held` whose hash occurs in `train` to the first such training row."""
    if not len(train):
        return {}
    values, first = np.unique(train, return_index=True)
    at = np.minimum(np.searchsorted(values, held), len(values) - 1)
    rows = np.flatnonzero(values[at] == held)
    return {int(row): int(first[at[row]]) for row in rows}


def _rows_with_known_exchange(train: Collected, held: Collected) -> RowMap:
    """Map each held-out row one of whose exchanges is part of a training row to that row."""
    found = _rows_with_known_hash(train.exchanges[:, 1], held.exchanges[:, 1])
    rows: RowMap = {}
    for exchange, other in found.items():
        rows.setdefault(int(held.exchanges[exchange, 0]), int(train.exchanges[other, 0]))
    return rows


def _rows_with_same_meaning(
    train: Collected, held: Collected, threshold: float, *, known: set[int]
) -> RowMap:
    """Map each held-out row that means the same as a training row, unless known, to that row."""
    stack = SignatureStack(train.signatures, held.signatures)
    split = len(train.signatures)
    found: RowMap = {}
    with train.texts() as of_train, held.texts() as of_held:
        for group in near_groups(stack, np.arange(len(stack)), CANDIDATES):
            sources, others = group[group < split][:_CONSIDERED], group[group >= split] - split
            if not len(sources):
                continue
            signatures = stack.take(sources)
            for row in (int(other) for other in others if int(other) not in known):
                shared = (signatures == held.signatures[row]).sum(axis=1)
                closest = np.argsort(-shared, kind="stable")[:_COMPARED]
                likely = closest[shared[closest] >= CANDIDATES * PERMUTATIONS]
                for source in sources[likely].tolist():
                    likeness = of_train[source].compare(of_held[row], threshold=threshold)
                    if likeness is not None and likeness.same:
                        found[row] = source
                        break
    return found
