"""Records and names of aliases in Redis.

    finetuned:{project}:aliases:{name}        the alias with its current targets
    finetuned:{project}:alias-history:{name}  list of its changes, newest first

This module contains only names and records, so that the model registry can read aliases as well
as models.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field
from redis.asyncio import Redis

from service.core.records import PREFIX, Collection, Record, Stored
from service.models.aliases.suites import Schedule, Suite

MAX_NAME_CHARS = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_SUB_RESOURCES = ("history", "rollback")


class Target(Stored):
    """A target model and its share of the requests, in percent."""

    model: str
    weight: int = 100


class FailedCondition(Stored):
    """A condition of a gate that a target model did not meet.

    `measured` is None if the figure was not measured; `reason` then explains it. `gate` is the
    owner of the gate: the alias, the job that trained the model, or a suite of the alias.
    """

    model: str
    key: str
    condition: str
    measured: float | str | None = None
    reason: str | None = None
    gate: Literal["alias", "job", "suite"] = "alias"


class AliasRecord(Record):
    """A project-defined name for a model, or for a split between two. Its ID is the name."""

    updated_at: int
    generation: int  # starts at 1 and increases by 1 with each change
    etag: str  # random and new with each change; unlike a generation, it never repeats
    targets: tuple[Target, ...]
    gate: dict[str, str] = Field(default_factory=dict)  # conditions on trained models, by key
    suites: tuple[Suite, ...] = ()  # evals that new models must pass
    schedule: Schedule | None = None  # when the suites are run again


class Change(Stored):
    """A change to an alias. Its ID is the alias's etag after the change.

    `before` and `after` are equal if only the gate was changed.
    """

    id: str
    generation: int
    created_at: int
    action: Literal["set", "rollback"]
    key_id: str
    before: tuple[Target, ...]  # empty if the alias was new
    after: tuple[Target, ...]
    gate: dict[str, str] = Field(default_factory=dict)  # after the change
    failed: tuple[FailedCondition, ...] = ()  # conditions that `force` overrode
    suites: tuple[Suite, ...] = ()  # after the change
    loosened: bool = False  # whether a suite was removed, or a bound of one lowered
    reason: str | None = None  # why conditions were overridden, or suites loosened


def is_name(value: str) -> bool:
    """Return whether `value` is a valid alias name, using the characters of OpenAI's model names.

    Empty, '.' and '..' path segments are not allowed because proxies normalize them. The last of
    several segments must not be a sub-resource of the API.
    """
    if not _NAME.fullmatch(value):
        return False
    parts = value.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not (
        len(parts) > 1 and parts[-1] in _SUB_RESOURCES
    )


def collection(redis: Redis) -> Collection[AliasRecord]:
    """The collection of all aliases, by project."""
    return Collection(redis, "aliases", AliasRecord)


def history_key(project_id: str, name: str) -> str:
    """The Redis key of an alias's change history."""
    return f"{PREFIX}:{project_id}:alias-history:{name}"
