"""Counts of a group of requests, and their one-line format in Redis."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


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
