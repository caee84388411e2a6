"""What is counted of a group of requests, and its one line in Redis."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
        """The sums in the order of Redis."""
        # Written out, as is add(): dataclasses.astuple takes 25 times as long.
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
        """The sums of a line in Redis; what a newer version added behind them is left."""
        return cls(*(int(n) for n in line.split(" ")[:_FIELDS]))


_FIELDS = len(fields(Counts))
