"""The `finetuned usage` command."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal

import typer

from finetuned.cli.failures import WrongUsage
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client
from finetuned.cli.tables import Column
from finetuned.types import UsageBucket

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_GROUPS: dict[str, Literal["model", "project_id", "api_key_id"]] = {
    "model": "model",
    "project": "project_id",
    "key": "api_key_id",
}


def usage(
    since: Annotated[str, typer.Option(help="Start of the period: 90m, 12h or 7d ago.")] = "7d",
    by: Annotated[Literal["model", "project", "key"], typer.Option(help="Grouping.")] = "model",
    width: Annotated[Literal["1m", "1h", "1d"], typer.Option(help="Time span of a row.")] = "1d",
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Show inference requests and tokens. An admin key sees all projects."""
    out = Out(as_json)
    start = int(time.time()) - _seconds(since)
    group = _GROUPS[by]
    with client() as server:
        buckets = list(server.usage.completions(start, bucket_width=width, group_by=[group]))
    if out.json:
        out.value(buckets)
        return
    rows = _rows(buckets, group)
    if rows and out.live:
        rows.append(("total", "", *(sum(row[n] for row in rows) for n in range(2, 6))))
    out.table(
        [
            "from",
            Column(by, 1, cut="middle"),
            *(Column(name, 2) for name in ("requests", "failed", "tokens in", "tokens out")),
        ],
        rows,
        empty=f"no requests within {since}",
        wide=wide,
    )


def _rows(buckets: list[UsageBucket], group: str) -> list[tuple[Any, ...]]:
    return [
        (
            when(bucket.start_time),
            getattr(found, group) or "",
            found.num_model_requests,
            found.num_failed_requests,
            found.input_tokens,
            found.output_tokens,
        )
        for bucket in buckets
        for found in bucket.results
    ]


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if match is None:
        raise WrongUsage(
            f"'{text}' is not a valid duration.", next_step="Use a value such as 90m, 12h or 7d."
        )
    return int(match[1]) * _UNITS[match[2]]
