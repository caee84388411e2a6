"""Search for duplicates, near duplicates, contradictions, and overlap in collected rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.duplicates.groups import (
    Hashes,
    Rows,
    contradictions,
    equal_groups,
    near_groups,
    star_groups,
)
from service.datasets.duplicates.signatures import SignatureStack
from service.datasets.report.collect import Collected
from service.datasets.report.features import UNLABELED, FeatureArray
from service.datasets.report.report import GroupStats, OverlapStats

Lines = np.ndarray[Any, np.dtype[np.uint32]]

_EXAMPLES = 20
_LINES_AN_EXAMPLE = 5
_MIX = np.uint64(0x9E3779B185EBCA87)


class Likeness(NamedTuple):
    """Groups of row numbers. Near groups contain at most one row of each exact group.

    In a `near` group, each row is similar to the group's first row. In a `linked` group, each
    row is similar to some other row of the group, so a split must keep the group together.
    """

    exact: list[Rows]
    near: list[Rows]
    linked: list[Rows]
    contradicting: list[Rows]


def find_likeness(collected: Collected, *, near_threshold: float) -> Likeness:
    """Find identical, similar, and contradicting rows."""
    features = collected.features
    exact = equal_groups(features["exact"])
    unique = np.ones(len(features), dtype=bool)
    for group in exact:
        unique[group[1:]] = False
    kept = np.flatnonzero(unique)
    stack = SignatureStack(collected.signatures)
    linked = near_groups(stack, kept, near_threshold)
    near = star_groups(stack, linked, near_threshold)
    return Likeness(exact, near, linked, contradictions(questions(features), verdicts(features)))


def questions(features: FeatureArray) -> Hashes:
    """Return a hash of what each row has a verdict on: the prompt.

    A labeled row has a verdict on the prompt and the answer. Several answers to a prompt, some
    of them bad, are no contradiction there.
    """
    prompts, answers = features["prompt"], features["answer"]
    return np.where(features["label"] == UNLABELED, prompts, prompts * _MIX ^ answers)


def verdicts(features: FeatureArray) -> Hashes:
    """Return a hash of each row's verdict: the answer, or the label of a labeled row."""
    labels = features["label"]
    return np.where(labels == UNLABELED, features["answer"], labels.astype(np.uint64))


def group_stats(groups: list[Rows], lines: Lines) -> GroupStats:
    """Return the counts of the groups, and the line numbers of the largest."""
    rows = sum(len(group) for group in groups)
    largest = sorted(groups, key=lambda group: (-len(group), int(group[0])))[:_EXAMPLES]
    examples = [[int(lines[row]) for row in group[:_LINES_AN_EXAMPLE]] for group in largest]
    return GroupStats(len(groups), rows, rows - len(groups), examples)


def log_groups(log: IssueLog, code: str, groups: Iterable[Rows], lines: Lines) -> None:
    """Log an issue for each row of a group except the first."""
    for group in groups:
        other = int(lines[group[0]])
        for row in group[1:]:
            log.add(make_issue(code, int(lines[row]), other=other))


def find_overlap(
    train: Collected,
    train_lines: Lines,
    held: Collected,
    held_lines: Lines,
    *,
    near_threshold: float,
    log: IssueLog,
) -> OverlapStats:
    """Find rows of the validation file that also appear in the training file."""
    found: dict[int, int] = {}  # validation row -> training row
    exact = _known(train.features["exact"], held.features["exact"])
    found.update(exact)
    same_prompt = _known(train.features["prompt"], held.features["prompt"])
    near = _near_across(train, held, near_threshold)
    near_only = {row: other for row, other in near.items() if row not in exact}
    found.update(near_only)
    for row, other in sorted(found.items()):
        log.add(make_issue("overlap", int(held_lines[row]), other=int(train_lines[other])))
    return OverlapStats(
        rows=len(held.features),
        exact=len(exact),
        near=len(near_only),
        same_prompt=len(same_prompt),
        examples=[
            [int(held_lines[row]), int(train_lines[other])]
            for row, other in sorted(found.items())[:_EXAMPLES]
        ],
    )


def _known(train: Any, held: Any) -> dict[int, int]:
    """Map each row of `held` whose hash occurs in `train` to the first such training row."""
    if not len(train):
        return {}
    values, first = np.unique(train, return_index=True)
    at = np.minimum(np.searchsorted(values, held), len(values) - 1)
    rows = np.flatnonzero(values[at] == held)
    return {int(row): int(first[at[row]]) for row in rows}


def _near_across(train: Collected, held: Collected, threshold: float) -> dict[int, int]:
    """Map each held-out row that is in a near group with a training row to that row."""
    stack = SignatureStack(train.signatures, held.signatures)
    split = len(train.signatures)
    found: dict[int, int] = {}
    for group in near_groups(stack, np.arange(len(stack)), threshold):
        if group[0] < split:
            for row in group[group >= split]:
                found[int(row) - split] = int(group[0])
    return found
