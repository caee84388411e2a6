"""Suites of aliases: evals that a new model must pass, and when they are run again.

    finetuned:{project}:alias-suites:{name}  hash: model → lower limits by suite, of its last check
    finetuned:alias-schedules                sorted set of "project/alias", by the next check's time

Runs are compared in evals/alias_checks. This module has what a change of an alias needs.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from pydantic import Field
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.records import PREFIX, Stored
from service.core.redis import reply

SCHEDULES: Final = f"{PREFIX}:alias-schedules"
_MAX_YEARS: Final = 9  # 29 February is 8 years away around 2100
_FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
Lows = dict[str, float]
"""Lower limits of intervals, by `Suite.figures`."""


class Suite(Stored):
    """An eval that an alias's new model must pass. Its run is that of `run_id` with the model.

    A bound applies to the lower limit of the 95% interval: of the mean score, or of its difference
    to the run `run_id`. `metric` is "passed" or the name of a grader.
    """

    eval_id: str
    run_id: str
    metric: str = "passed"
    min_difference: float | None = None
    min_score: float | None = None

    def figures(self) -> Iterator[tuple[str, float]]:
        """Yield the name of each limit that has a bound, and the bound."""
        name = f"{self.eval_id}.{self.run_id}.{self.metric}"
        if self.min_difference is not None:
            yield f"{name}.difference_low", self.min_difference
        if self.min_score is not None:
            yield f"{name}.score_low", self.min_score


class Schedule(Stored):
    """When an alias's models are checked, and the key that pays."""

    cron: str
    key_id: str = Field(default="")


class ScheduleInvalid(ValueError):
    """A cron expression that cannot be read."""


def lows_key(project_id: str, name: str) -> str:
    """Return the Redis key of the lower limits of an alias's checks."""
    return f"{PREFIX}:{project_id}:alias-suites:{name}"


async def read_lows(redis: Redis, project_id: str, name: str, model: str) -> Lows:
    """Return the lower limits that the last check of a model measured."""
    raw = await reply(redis.hget(lows_key(project_id, name), model))
    return {} if raw is None else msgspec.json.decode(raw, type=Lows)


def write_lows(pipe: Pipeline, project_id: str, name: str, model: str, lows: Lows) -> None:
    """Add the lower limits of a check to a transaction."""
    pipe.hset(lows_key(project_id, name), model, msgspec.json.encode(lows).decode())


def schedule_next(pipe: Pipeline, project_id: str, name: str, schedule: Schedule | None) -> None:
    """Add the time of an alias's next check to the transaction that changes the alias."""
    member = f"{project_id}/{name}"
    if schedule is None:
        pipe.zrem(SCHEDULES, member)
    else:
        pipe.zadd(SCHEDULES, {member: next_time(schedule.cron, clock.now_s())})


def next_time(cron: str, after_s: int) -> int:
    """Return the first Unix time after `after_s` that a cron expression in UTC matches.

    The expression has five fields: minute, hour, day of the month, month and day of the week (0 or
    7 is Sunday). A field is `*`, a number, a range, either with a step (`*/15`), or a list of them.
    As in cron, a day matches either field of days if both are restricted.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ScheduleInvalid(f"a cron expression has 5 fields, but {cron!r} has {len(fields)}")
    given = zip(fields, _FIELDS, strict=True)
    minutes, hours, days, months, weekdays = (_values(text, *field) for text, field in given)
    weekdays = [day % 7 for day in weekdays]
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    after = datetime.fromtimestamp(after_s, UTC)
    for year in range(after.year, after.year + _MAX_YEARS):
        for month in months:
            if (year, month) < (after.year, after.month):
                continue
            for day in range(1, monthrange(year, month)[1] + 1):
                date = datetime(year, month, day, tzinfo=UTC)
                if date + timedelta(days=1) <= after:
                    continue
                matches = day in days, date.isoweekday() % 7 in weekdays
                if not (any(matches) if either else all(matches)):
                    continue
                times = (date.replace(hour=h, minute=m) for h in hours for m in minutes)
                if found := next((time for time in times if time > after), None):
                    return int(found.timestamp())
    raise ScheduleInvalid(f"{cron!r} matches no time")


def _values(text: str, name: str, least: int, most: int) -> Sequence[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        bounds = (str(least), str(most)) if span == "*" else (first, last if dash else first)
        if step and not dash and span != "*":
            bounds = (first, str(most))
        numbers = (*bounds, step or "1")
        if not all(one.isascii() and one.isdigit() and len(one) <= 2 for one in numbers):
            raise ScheduleInvalid(f"the {name} {text!r} is not a field of a cron expression")
        low, high, every = map(int, numbers)
        if not (least <= low <= high <= most and every):
            raise ScheduleInvalid(f"the {name} {text!r} is not from {least} to {most}")
        found.update(range(low, high + 1, every))
    return sorted(found)
