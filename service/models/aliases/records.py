"""Aliases as Redis keeps them.

    finetuned:{project}:aliases:{name}        the alias, its targets of now
    finetuned:{project}:alias-history:{name}  list of its changes, newest first

This module knows names and records alone, so that the registry of models can read an alias
in the same step as a model.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from service.core.records import PREFIX, Collection, Record

MAX_NAME_CHARS = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_SUB_RESOURCES = ("history", "rollback")


class Target(BaseModel):
    """A model and its share of the requests, in percent."""

    model_config = ConfigDict(frozen=True)

    model: str
    weight: int = 100


class AliasRecord(Record):
    """A name of the project's own for one model, or for a split between two. Its id is it."""

    updated_at: int
    generation: int  # 1, and 1 more with each change
    etag: str  # by chance, new with each change: never the same twice, unlike a generation
    targets: tuple[Target, ...]


class Change(BaseModel):
    """One change of an alias. The id is the etag that the alias had after it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    generation: int
    created_at: int
    action: Literal["set", "rollback"]
    key_id: str
    before: tuple[Target, ...]  # empty where the alias was new
    after: tuple[Target, ...]


def is_name(value: str) -> bool:
    """Whether `value` may be an alias: what OpenAI's names are made of.

    No empty, '.' or '..' part between slashes, which proxies would tidy away, and none of
    our sub-resources as the last.
    """
    if not _NAME.fullmatch(value):
        return False
    parts = value.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not (
        len(parts) > 1 and parts[-1] in _SUB_RESOURCES
    )


def collection(redis: Redis) -> Collection[AliasRecord]:
    """All aliases, by project."""
    return Collection(redis, "aliases", AliasRecord)


def history_key(project_id: str, name: str) -> str:
    """The Redis key of an alias's changes."""
    return f"{PREFIX}:{project_id}:alias-history:{name}"
