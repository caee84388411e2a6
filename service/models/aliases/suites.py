"""Suites of aliases: evals that a new model must pass, and when they are run again.

    finetuned:{project}:alias-suites:{name}  hash: model → lower limits by suite, of its last check
    finetuned:alias-schedules                sorted set of "project/alias", by the next check's time

Runs are compared in evals/alias_checks. This module has what a change of an alias needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
from cronsim import CronSim, CronSimError
from pydantic import Field
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.records import PREFIX, Stored
from service.core.redis import reply

SCHEDULES: Final = f"{PREFIX}:alias-schedules"
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
        if self.min_difference is not None:
            yield f"{self.name}.difference_low", self.min_difference
        if self.min_score is not None:
            yield f"{self.name}.score_low", self.min_score

    @property
    def name(self) -> str:
        """What is compared with what: the same for suites that differ in their bounds only."""
        return f"{self.eval_id}.{self.run_id}.{self.metric}"

    def is_looser_than(self, other: Suite) -> bool:
        """Return whether it lacks a bound of `other`, of the same name, or has a lower one."""
        bounds = dict(self.figures())
        return any(key not in bounds or bounds[key] < bound for key, bound in other.figures())

    def unmet(self, lows: Lows) -> Iterator[tuple[str, float]]:
        """Yield those of `figures` whose limit is below the bound, or unknown."""
        for key, bound in self.figures():
            if key not in lows or lows[key] < bound:
                yield key, bound


def are_looser(after: Iterable[Suite], before: Iterable[Suite]) -> bool:
    """Return whether a suite of `before` was removed, or has a lower bound in `after`."""
    kept: dict[str, list[Suite]] = {}
    for suite in after:
        kept.setdefault(suite.name, []).append(suite)
    return any(all(new.is_looser_than(old) for new in kept.get(old.name, ())) for old in before)


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
    """Return the first Unix time after `after_s` that a cron expression in UTC matches."""
    if len(fields := cron.split()) != 5:
        raise ScheduleInvalid(f"a cron expression has 5 fields, but {cron!r} has {len(fields)}")
    try:
        return int(next(CronSim(cron.upper(), datetime.fromtimestamp(after_s, UTC))).timestamp())
    except CronSimError as e:
        raise ScheduleInvalid(f"{cron!r} is not a cron expression: {e}") from e
    except StopIteration:
        raise ScheduleInvalid(f"{cron!r} matches no time") from None
