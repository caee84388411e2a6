"""Splits rows into training and validation sets, stratified and without shared content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xxhash

from service.datasets.duplicates.groups import Mask, Rows, join, root
from service.datasets.row_features import FeatureArray

_LENGTH_CLASSES = 3


def split_rows(
    features: FeatureArray, linked: Iterable[Sequence[int] | Rows], *, share: float, seed: int
) -> Mask:
    """Return a mask of the rows to hold out: about `share` (0 to 1) of all rows.

    Rows of the same group in `linked`, and rows with the same prompt or question, go to the same
    side. The share is the same within each language and each third of row lengths, as far as the
    groups allow. The same rows, share, and seed give the same split.
    """
    held = np.zeros(len(features), dtype=bool)
    if share <= 0 or len(features) < 2:
        return held
    clusters = _clusters(features, linked)
    lengths = _length_classes(features["chars"])
    strata: dict[tuple[int, int], list[Rows]] = {}
    for cluster in clusters:
        first = int(cluster[0])
        strata.setdefault((int(features["language"][first]), int(lengths[first])), []).append(
            cluster
        )
    owed = 0.0
    for key in sorted(strata):
        members = sorted(strata[key], key=lambda cluster: _draw(features, cluster, seed))
        owed += share * sum(len(cluster) for cluster in members)
        for cluster in members:
            # Hold out a whole cluster if that brings the share closer to its target.
            if len(cluster) <= 2 * owed:
                held[cluster] = True
                owed -= len(cluster)
    return held


def _clusters(features: FeatureArray, linked: Iterable[Sequence[int] | Rows]) -> list[Rows]:
    parents = np.arange(len(features))
    for group in linked:
        for row in group[1:]:
            join(parents, int(group[0]), int(row))
    for column in ("prompt", "question"):
        seen: dict[int, int] = {}
        for row, prompt in enumerate(features[column].tolist()):
            if prompt:  # 0: the row asks no question
                join(parents, seen.setdefault(prompt, row), row)
    members: dict[int, list[int]] = {}
    for row in range(len(features)):
        members.setdefault(root(parents, row), []).append(row)
    return [np.array(rows, dtype=np.int64) for rows in members.values()]


def _length_classes(chars: Any) -> Any:
    edges = np.quantile(chars, np.linspace(0, 1, _LENGTH_CLASSES + 1)[1:-1])
    return np.searchsorted(edges, chars, side="right")


def _draw(features: FeatureArray, cluster: Rows, seed: int) -> tuple[int, int]:
    """Return a pseudorandom sort key based on the content and seed, not on line numbers."""
    first = int(cluster[0])
    text = f"{seed}:{int(features['said'][first])}"
    return xxhash.xxh3_64_intdigest(text.encode()), first
