"""Counts of a key's requests in this process: those in flight, and usage by model.

The counts are plain integers, updated on every response.
"""

from __future__ import annotations

from typing import Final

import msgspec

from service.core import metrics
from service.core.metric_types import Cell
from service.usage.limits import Headers, Subject, split_headers
from service.usage.sums import Counts
from service.web.auth import Principal

CLIENT_GONE: Final = 499
"""Status of a request whose client disconnected, as in nginx. No client receives it."""
_MAX_SERIES = 1024  # models that one key may use within a second before counting gets slower


class Served(msgspec.Struct):
    """Outcome of a request. `base_model` is empty if no model was found for it."""

    model: str
    base_model: str
    kind: str
    status: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    first_byte_s: float | None
    seconds: float
    streamed: bool
    batch: bool = False


class Account:
    """One key's state on this replica, as of its last request."""

    __slots__ = ("caller", "in_flight", "key", "label", "project", "series", "touched_s")

    def __init__(self, caller: Principal, key: Subject, project: Subject, label: str) -> None:
        self.caller = caller
        self.key = key
        self.project = project
        self.label = label  # the project's name in metrics
        self.in_flight = metrics.IN_FLIGHT.cell(label)
        self.touched_s = 0.0
        self.series: dict[tuple[str, bool], Series] = {}  # by model and whether of a batch

    def series_of(self, served: Served) -> Series:
        """The running counts of one model, of batches or not, created if new."""
        place = served.model, served.batch
        series = self.series.get(place)
        if series is None:
            if len(self.series) >= _MAX_SERIES:
                self.series.clear()  # series with counts are still in the meter's list
            series = self.series[place] = Series(self, served)
        return series


class Series:
    """Counts of one key and model, with the metric cells that they also update."""

    __slots__ = (
        "account",
        "batch",
        "counts",
        "first_bytes",
        "is_dirty",
        "labels",
        "model",
        "output_token",
        "statuses",
        "stream_first_bytes",
        "tokens_cached",
        "tokens_in",
        "tokens_out",
    )

    def __init__(self, account: Account, served: Served) -> None:
        self.account = account
        labels = self.labels = (served.base_model, served.kind, account.label)
        self.model = served.model
        self.batch = served.batch
        self.counts = Counts()
        self.is_dirty = False
        self.statuses: dict[int, Cell] = {}
        self.tokens_in = metrics.SERVED_TOKENS.cell(*labels, "in")
        self.tokens_cached = metrics.SERVED_TOKENS.cell(*labels, "cached")
        self.tokens_out = metrics.SERVED_TOKENS.cell(*labels, "out")
        self.first_bytes = metrics.FIRST_BYTE_SECONDS.cell(*labels, "no")
        self.stream_first_bytes = metrics.FIRST_BYTE_SECONDS.cell(*labels, "yes")
        self.output_token = metrics.OUTPUT_TOKEN_SECONDS.cell(*labels)

    def add(self, served: Served) -> None:
        """Count one response."""
        counts, status = self.counts, served.status
        cell = self.statuses.get(status)
        if cell is None:
            cell = metrics.SERVED_REQUESTS.cell(*self.labels, str(status))
            self.statuses[status] = cell
        cell.value += 1
        if status < 400 or status == CLIENT_GONE:
            counts.requests += 1
        else:
            counts.failed += 1
        if served.input_tokens:
            counts.input_tokens += served.input_tokens
            self.tokens_in.value += served.input_tokens
        if served.cached_tokens:
            counts.cached_tokens += served.cached_tokens
            self.tokens_cached.value += served.cached_tokens
        output_tokens = served.output_tokens
        if output_tokens:
            counts.output_tokens += output_tokens
            self.tokens_out.value += output_tokens
        first_byte_s = served.first_byte_s
        if first_byte_s is None:
            return
        if not served.streamed:
            self.first_bytes.observe(first_byte_s)
            return
        self.stream_first_bytes.observe(first_byte_s)
        counts.streams += 1
        counts.first_token_us += int(first_byte_s * 1e6)
        if output_tokens > 1:
            rest_s = served.seconds - first_byte_s
            self.output_token.observe(rest_s / (output_tokens - 1))
            counts.later_tokens += output_tokens - 1
            counts.later_tokens_us += int(rest_s * 1e6)


class Admission:
    """An admitted request."""

    __slots__ = ("account", "answers", "estimate", "header_lines", "prompt", "streamed")

    def __init__(
        self,
        account: Account,
        answers: int,
        prompt: int,
        estimate: int,
        header_lines: bytes,
        streamed: bool,
    ) -> None:
        self.account = account
        self.answers = answers
        self.prompt = prompt  # estimated prompt tokens
        self.estimate = estimate  # estimated tokens of prompt and completion
        self.header_lines = header_lines
        """The `x-ratelimit-*` headers of the response, one on each line."""
        self.streamed = streamed

    @property
    def headers(self) -> Headers:
        """The `x-ratelimit-*` headers of the response."""
        return split_headers(self.header_lines)
