"""Usage rows waiting to be sent to Redis, in bounded memory."""

from __future__ import annotations

from itertools import islice
from typing import Literal, NamedTuple

from service.core import metrics
from service.usage.counts import Counts

Width = Literal["1m", "1h"]
WIDTH_S: dict[Width, int] = {"1m": 60, "1h": 3600}

# About 30 MB, enough for a one-hour outage with 800 active pairs of key and model. Beyond that,
# minute rows are dropped first, because billing uses the hour rows.
_MAX_ROWS = 50_000


class Group(NamedTuple):
    """A counted group: one key's requests to one model within one time interval.

    The requests of batches are a group of their own.
    """

    start_s: int
    project_id: str
    key_id: str
    model: str
    batch: bool = False


class PendingRow(NamedTuple):
    """The pending sums of a group, and the width of its interval."""

    width: Width
    group: Group
    counts: Counts


class PendingRows:
    """Pending sums by group, per minute and per hour."""

    def __init__(self, max_rows: int = _MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._rows: dict[Width, dict[Group, Counts]] = {"1m": {}, "1h": {}}

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def add(
        self,
        now_s: int,
        project_id: str,
        key_id: str,
        model: str,
        counts: Counts,
        *,
        batch: bool = False,
    ) -> None:
        """Add sums to the minute and the hour of `now_s`."""
        for width, seconds in WIDTH_S.items():
            group = Group(now_s - now_s % seconds, project_id, key_id, model, batch)
            rows = self._rows[width]
            found = rows.get(group)
            if found is None:
                found = rows[group] = Counts()
            found.add(counts)
        while len(self) > self._max_rows:
            self._drop_oldest()

    def take(self, most: int) -> list[PendingRow]:
        """Remove and return up to `most` rows, hour rows first because they matter longer."""
        taken: list[PendingRow] = []
        for width in ("1h", "1m"):
            rows = self._rows[width]
            oldest = list(islice(rows, most - len(taken)))
            taken += [PendingRow(width, group, rows.pop(group)) for group in oldest]
        return taken

    def _drop_oldest(self) -> None:
        width: Width = "1m" if self._rows["1m"] else "1h"
        rows = self._rows[width]
        del rows[next(iter(rows))]
        metrics.USAGE_ROWS_DROPPED.cell(width).inc()
