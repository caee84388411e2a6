"""Adapters of trainings that still run, which engines load for the worker of the training alone.

    finetuned:draft:{name}    where the adapter is; expires

Requests of users are resolved by the registry of models, which has no drafts.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from service.core.records import PREFIX
from service.core.redis import Client, reply

NAME: Final = re.compile(r"draft:ftjob-[A-Za-z0-9]{1,64}:a\d{1,9}(?:-\w{1,32})?:\d{1,9}")
_KEPT_S: Final = 24 * 3600
"""Longer than an engine is waited for. A worker that dies removes nothing."""


class Draft(msgspec.Struct, frozen=True):
    """The base model of a draft, its folder in storage, and the digest of the folder."""

    base_model: str
    artifact: str
    digest: str
    signature: str | None = None


def draft_name(job_id: str, attempt_name: str, number: int) -> str:
    """Return the name of an attempt's draft, which is never used again."""
    return f"draft:{job_id}:{attempt_name}:{number}"


async def put(redis: Client, name: str, draft: Draft) -> None:
    """Let engines find a draft, whose folder is complete."""
    await reply(redis.set(_key(name), msgspec.json.encode(draft), ex=_KEPT_S))


async def find(redis: Client, name: str) -> Draft | None:
    """Return a draft, or None if there is none of this name."""
    if not NAME.fullmatch(name):
        return None
    raw = await reply(redis.get(_key(name)))
    return None if raw is None else msgspec.json.decode(raw, type=Draft)


async def remove(redis: Client, name: str) -> None:
    """Remove a draft. Engines forget it soon after."""
    await reply(redis.delete(_key(name)))


def _key(name: str) -> str:
    return f"{PREFIX}:{name}"
