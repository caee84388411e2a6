"""Finds rows of a validation file that also appear in the training file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.datasets.contract.tasks import SharedRows
from service.datasets.duplicates.groups import CANDIDATES, near_groups
from service.datasets.duplicates.minhash import MIX, PERMUTATIONS, SignatureStack
from service.datasets.file_features import Collected, collect
from service.datasets.limits import NEAR_THRESHOLD
from service.datasets.row_features import HASHES_ONLY

# Each validation row is compared with its most similar training rows.
_MAX_COMPARED = 5
# More similar training rows than this are a template, so the rest of a group is ignored.
_MAX_GROUP_ROWS = 5_000

RowMap = dict[int, int]
"""Validation row -> training row."""


class Overlap(NamedTuple):
    """Rows that appear in both files.

    A row is in the first of `exact`, `near` and `contained` that applies. A row in `near` means the
    same as a training row. A row in `contained` has a question and answer that a training
    conversation contains. A row in `same_question` asks a question of the training file, whatever
    its answer.
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
        found = find_overlap(of_train, of_held, near_threshold=NEAR_THRESHOLD)
    return SharedRows(
        rows=len(of_held.features),
        exact=_lines(found.exact),
        near=_lines(found.near),
        contained=_lines(found.contained),
    )


def _lines(rows: Iterable[int]) -> list[int]:
    return sorted(row + 1 for row in rows)


def find_overlap(train: Collected, held: Collected, *, near_threshold: float) -> Overlap:
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
    """Map each held-out row with an exchange that a training row contains to that row."""
    found = _rows_with_known_hash(train.exchanges[:, 1], held.exchanges[:, 1])
    rows: RowMap = {}
    for exchange, other in found.items():
        rows.setdefault(int(held.exchanges[exchange, 0]), int(train.exchanges[other, 0]))
    return rows


def _rows_with_same_meaning(
    train: Collected, held: Collected, threshold: float, *, known: set[int]
) -> RowMap:
    """Map each held-out row that means the same as a training row to it, except `known` rows."""
    stack = SignatureStack(train.signatures, held.signatures)
    split = len(train.signatures)
    found: RowMap = {}
    with train.texts() as of_train, held.texts() as of_held:
        for group in near_groups(stack, np.arange(len(stack)), CANDIDATES):
            sources, others = group[group < split][:_MAX_GROUP_ROWS], group[group >= split] - split
            if not len(sources):
                continue
            signatures = stack.take(sources)
            for row in (int(other) for other in others if int(other) not in known):
                shared = (signatures == held.signatures[row]).sum(axis=1)
                closest = np.argsort(-shared, kind="stable")[:_MAX_COMPARED]
                likely = closest[shared[closest] >= CANDIDATES * PERMUTATIONS]
                for source in sources[likely].tolist():
                    comparison = of_train[source].compare(of_held[row], threshold=threshold)
                    if comparison is not None and comparison.same:
                        found[row] = source
                        break
    return found
