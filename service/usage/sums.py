"""Sums of usage by key, model and interval, and those waiting to be sent to Redis."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import islice
from typing import Literal, NamedTuple, Self

from service.core import metrics

Width = Literal["1m", "1h"]
WIDTH_S: dict[Width, int] = {"1m": 60, "1h": 3600}
# About 30 MB, enough for a one-hour outage with 800 active pairs of key and model. Beyond that,
# minute rows are dropped first, because billing uses the hour rows.
_MAX_ROWS = 50_000


@dataclass(slots=True)
class Counts:
    """Usage sums. The last four cover streams; times are in microseconds so all are integers.

    The field order is the order of the numbers in Redis, so add new fields at the end.
    """

    requests: int = 0  # requests that an engine answered, including disconnected clients
    failed: int = 0
    input_tokens: int = 0  # including cached tokens
    cached_tokens: int = 0
    output_tokens: int = 0
    streams: int = 0
    first_token_us: int = 0
    later_tokens: int = 0
    later_tokens_us: int = 0

    def add(self, other: Counts) -> None:
        """Add another group's sums."""
        self.requests += other.requests
        self.failed += other.failed
        self.input_tokens += other.input_tokens
        self.cached_tokens += other.cached_tokens
        self.output_tokens += other.output_tokens
        self.streams += other.streams
        self.first_token_us += other.first_token_us
        self.later_tokens += other.later_tokens
        self.later_tokens_us += other.later_tokens_us

    def numbers(self) -> tuple[int, ...]:
        """The sums in the order used in Redis."""
        # Written out, like add(), because dataclasses.astuple takes 25 times as long.
        return (
            self.requests,
            self.failed,
            self.input_tokens,
            self.cached_tokens,
            self.output_tokens,
            self.streams,
            self.first_token_us,
            self.later_tokens,
            self.later_tokens_us,
        )

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parse a line from Redis. Extra fields written by a newer version are ignored."""
        return cls(*(int(n) for n in line.split(" ")[:_FIELDS]))


_FIELDS = len(fields(Counts))


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
