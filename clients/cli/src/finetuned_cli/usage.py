"""The `finetuned usage` command."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timezone, tzinfo
from typing import Annotated, Any, Literal

import typer
from finetuned.types import CompletionsUsageBucket

from finetuned_cli import complete
from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import Json, Out, Wide
from finetuned_cli.session import client
from finetuned_cli.tables import Column

_HOUR_S = 3600
_UNITS = {"m": 60, "h": _HOUR_S, "d": 86_400}
_GROUPS: dict[str, Literal["model", "project_id", "api_key_id"]] = {
    "model": "model",
    "project": "project_id",
    "key": "api_key_id",
}
# As many as OpenAI allows, too: the default pages are a seventh of that for hours.
_BUCKETS_PER_PAGE = {"1m": 1440, "1h": 168, "1d": 31}
Width = Literal["1m", "1h", "1d"]
Row = tuple[Any, ...]


def usage(
    since: Annotated[
        str, typer.Option(help="Start of the period: 90m, 12h or 7d ago, or a date.")
    ] = "7d",
    by: Annotated[Literal["model", "project", "key"], typer.Option(help="Grouping.")] = "model",
    width: Annotated[
        Width, typer.Option(help="Time span of a row. Days are those of your time zone.")
    ] = "1d",
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only this model; repeatable.", autocompletion=complete.models),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Only this API key; repeatable.", metavar="KEY_ID")
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="Only this project; repeatable.", metavar="PROJECT_ID")
    ] = None,
    batch: Annotated[
        bool | None, typer.Option("--batch/--no-batch", help="Only batches, or all but them.")
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Show inference requests and tokens. Admins and auditors see all projects.

    JSON has the server's own intervals, whose days are those of UTC.
    """
    out = Out(as_json)
    group = _GROUPS[by]
    start_s = start_of(since)
    by_local_day = width == "1d" and not out.json
    with client() as server:
        buckets = list(
            server.organization.usage.completions(
                start_time=start_of_day(start_s) if by_local_day else start_s,
                bucket_width="1h" if by_local_day else width,
                limit=_BUCKETS_PER_PAGE["1h" if by_local_day else width],
                group_by=[group],
                models=model,
                api_key_ids=key,
                project_ids=project,
                batch=batch,
            )
        )
    if out.json:
        out.value(buckets)
        return
    rows = rows_of(buckets, group, by_day=by_local_day)
    if rows and out.live:
        rows.append(("total", "", *(sum(counts) for counts in list(zip(*rows, strict=True))[2:])))
    out.table(
        [
            f"from ({datetime.now().astimezone():%Z})",
            Column(by, 1, cut="middle"),
            *(Column(name, 2) for name in ("requests", "failed", "tokens in", "tokens out")),
        ],
        rows,
        empty=f"no requests within {since}",
        wide=wide,
    )
    if by_local_day and rows and (minutes := minutes_of_the_day_before(start_s)):
        out.say(f"The first {minutes} minutes of a day count toward the day before.", "dim")


def rows_of(
    buckets: Iterable[CompletionsUsageBucket],
    group: str,
    *,
    by_day: bool,
    zone: tzinfo | None = None,
) -> list[Row]:
    """Return a row per interval and group, oldest first, in a time zone (default: the local one).

    With `by_day`, the buckets are hours, and each counts toward the day in which it begins.
    """
    form = "%Y-%m-%d" if by_day else "%Y-%m-%d %H:%M"
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for bucket in buckets:
        interval = _local(bucket.start_time, zone).strftime(form)
        for found in bucket.results:
            counts = (
                *(found.num_model_requests, found.num_failed_requests),
                *(found.input_tokens, found.output_tokens),
            )
            total = sums[interval, getattr(found, group) or ""]
            total[:] = [one + more for one, more in zip(total, counts, strict=True)]
    return [
        (interval, name, *counts)
        for (interval, name), counts in sorted(sums.items(), key=lambda one: one[0][0])
    ]


def start_of_day(seconds: int, zone: tzinfo | None = None) -> int:
    """Return the first full hour of UTC in the day of a time.

    The day is that of a time zone (default: the local one).
    """
    day = _local(seconds, zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return -(-int(midnight.timestamp()) // _HOUR_S) * _HOUR_S


def minutes_of_the_day_before(seconds: int, zone: tzinfo | None = None) -> int:
    """Return how many minutes of a day lie in an hour of UTC that began on the day before."""
    offset = _local(seconds, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) % _HOUR_S // 60


def _local(seconds: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone(zone)


def start_of(period: str) -> int:
    """Return when a period began, in Unix seconds.

    The period is one that ends now, such as 90m, 12h or 7d, or a date, such as 2026-11-01, which
    begins at midnight in the local time zone.
    """
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", period):
        try:
            return int(datetime.strptime(period, "%Y-%m-%d").astimezone().timestamp())
        except ValueError as e:
            raise WrongUsage(f"There is no day '{period}'.") from e
    return int(time.time()) - _seconds(period)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if match is None:
        raise WrongUsage(
            f"'{text}' is neither a duration nor a date.",
            next_step="Use a value such as 90m, 12h, 7d or 2026-11-01.",
        )
    return int(match[1]) * _UNITS[match[2]]
