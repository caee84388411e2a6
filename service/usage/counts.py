"""What is counted of a group of requests, and its one line in Redis."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Self


@dataclass(slots=True)
class Counts:
    """Sums. The last four are of streams: times in microseconds, so that all are integers.

    The order of the fields is the order of the numbers in Redis: add new ones at the end.
    """

    requests: int = 0  # that an engine answered, those whose client left among them
    failed: int = 0
    input_tokens: int = 0  # the cached ones among them
    cached_tokens: int = 0
    output_tokens: int = 0
    streams: int = 0
    first_token_us: int = 0
    later_tokens: int = 0
    later_tokens_us: int = 0

    def add(self, other: Counts) -> None:
        """Add another group's sums."""
        for name in NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def numbers(self) -> tuple[int, ...]:
        """The sums in the order of Redis."""
        return astuple(self)

    @classmethod
    def parse(cls, line: str) -> Self:
        """The sums of a line in Redis; what a newer version added behind them is left."""
        return cls(*(int(n) for n in line.split(" ")[: len(NAMES)]))


NAMES = tuple(f.name for f in fields(Counts))
