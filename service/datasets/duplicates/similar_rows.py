"""Finds duplicates, near-duplicates, and contradictions in a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from service.datasets.duplicates.compare import RowTexts, Wording
from service.datasets.duplicates.groups import (
    Hashes,
    Rows,
    contradict,
    disagree,
    equal_groups,
    find_classes,
    find_contradictions,
)
from service.datasets.duplicates.minhash import MIX, SignatureStack
from service.datasets.file_features import Collected
from service.datasets.row_features import UNLABELED, FeatureArray

# At most this many groups of different answers are compared in full.
_COMPARED_GROUPS = 20_000
# A question with more answers than this is meant to have many.
_MAX_ANSWERS = 8
# Answers are labels if each occurs in this many rows on average.
_ROWS_PER_LABEL = 10


class Conflict(NamedTuple):
    """Rows with the same question, and the verdict of each. Equal verdicts mean the same."""

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

    Each row of a `near` group means the same as the group's first row. Rows of a `same_form` group
    have the same form but different facts. Rows of a conflict have the same question, ignoring
    politeness, and rows of a `reworded` pair nearly the same. `similarities` has those of compared
    pairs, from 0 to 1.
    """

    exact: list[Rows]
    near: list[Rows]
    same_form: list[Rows]
    conflicts: list[Conflict]
    reworded: list[Rows]
    similarities: dict[tuple[int, int], float]

    @property
    def contradicting(self) -> list[Rows]:
        """Groups of rows that ask the same question as the first row and contradict it."""
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
    """Return one row of each group of copies in a class.

    Rows with the same question are omitted, because they may contradict each other instead.
    """
    found: list[Rows] = []
    questions = features["question"]
    for one in classes:
        rows: list[int] = []
        asked: set[int] = set()
        firsts = [int(group[0]) for group in one]
        for row, question in zip(firsts, questions[firsts].tolist(), strict=True):
            if not question or question not in asked:
                rows.append(row)
                asked.add(question)
        if len(rows) > 1:
            found.append(np.array(rows, dtype=np.int64))
    return sorted(found, key=lambda group: int(group[0]))


def find_conflicts(
    rows: Rows, features: FeatureArray, texts: RowTexts, threshold: float
) -> list[Conflict]:
    """Return groups of rows with the same question and different verdicts."""
    is_asked = (features["label"][rows] != UNLABELED) | (features["question"][rows] != 0)
    asked = rows[is_asked]
    groups = find_contradictions(hash_questions(features)[asked], hash_verdicts(features)[asked])
    verdicts = hash_verdicts(features)
    are_labels = len(np.unique(verdicts[rows])) * _ROWS_PER_LABEL <= len(rows)
    differ = partial(disagree if are_labels else contradict, threshold=threshold)
    found: list[Conflict] = []
    for number, group in enumerate(asked[places] for places in groups):
        said = verdicts[group]
        if features["label"][group[0]] == UNLABELED and number < _COMPARED_GROUPS:
            said = _merge_replies(group, said, texts, differ)
        if len(np.unique(said)) > 1:
            found.append(Conflict(group, said))
    return found


def _merge_replies(
    group: Rows,
    replies: Hashes,
    texts: RowTexts,
    differ: Callable[[Wording, Wording, Wording], bool],
) -> Hashes:
    """Return the replies of a group, with equal values for replies that do not `differ`.

    If a question has many right answers, all replies get the same value.
    """
    question = texts[int(group[0])]
    if not question.asks_one_thing:
        return np.zeros_like(replies)
    _, firsts = np.unique(replies, return_index=True)
    if len(firsts) > _MAX_ANSWERS:
        return np.zeros_like(replies)
    meanings = replies.copy()
    different: list[int] = []
    for place in np.sort(firsts).tolist():
        answer = texts[int(group[place])].answer
        same = next(
            (
                other
                for other in different
                if not differ(texts[int(group[other])].answer, answer, question.question)
            ),
            None,
        )
        if same is None:
            different.append(place)
        else:
            meanings[replies == replies[place]] = replies[same]
    return meanings


def hash_questions(features: FeatureArray) -> Hashes:
    """Return a hash of the question of each row: the prompt, without politeness.

    A labeled row judges a prompt with its answer, so that several answers to a prompt, some of them
    bad, do not contradict each other.
    """
    asked = np.where(features["question"] == 0, features["prompt"], features["question"])
    return np.where(features["label"] == UNLABELED, asked, asked * MIX ^ features["answer"])


def hash_verdicts(features: FeatureArray) -> Hashes:
    """Return a hash of each row's verdict: the answer, or the label of a labeled row."""
    labels = features["label"]
    return np.where(labels == UNLABELED, features["reply"], labels.astype(np.uint64))
