"""Probes the services that a process depends on.

The worker uses them too, so this module does not import FastAPI, which takes 0.15 s.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from typing_extensions import TypeAliasType

from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError, StorageRefused

log = logging.getLogger(__name__)
Probe = Callable[[], Awaitable[bool | Mapping[str, bool]]]
"""Returns whether a part responds, or which of the base models that it serves."""

PartState = TypeAliasType(
    "PartState",
    Annotated[
        Literal["ok", "degraded", "away", "refused"],
        Field(description="State of a required part, or of a base model."),
    ],
)
_TIMEOUT_S = 5.0
SOCKETS = "FINETUNED_API_SOCKETS"
"""Variable with the numbers of the sockets on which `up` listens for the API."""
START_ID = "FINETUNED_START_ID"
"""Variable with the random name that `up` gives to the processes of one start."""
START_HEADER = "finetuned-start"


class Found(NamedTuple):
    """Result of a probe."""

    state: PartState
    models: Mapping[str, bool] = MappingProxyType({})


async def check(probe: Probe) -> Found:
    """Check whether a part responds in time and accepts requests."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            answer = await probe()
    except StorageRefused as e:
        log.error("storage cannot be used: %s", e)
        return Found("refused")
    except (*REDIS_ERRORS, StorageError, TimeoutError):
        return Found("away")
    if isinstance(answer, bool):
        return Found("ok" if answer else "away")
    served = set(answer.values()) or {True}  # without models, nothing is missing
    return Found("away" if True not in served else "degraded" if False in served else "ok", answer)


def confirmation(given: str | None) -> dict[str, str]:
    """Return the header by which a process answers a probe that asks for its own start.

    No other server on the same port can send it, and no other probe learns the name.
    """
    own = os.environ.get(START_ID)
    return {START_HEADER: own} if own is not None and given == own else {}


async def passes(probe: Probe) -> bool:
    """Check whether a part responds in time and accepts requests."""
    return (await check(probe)).state == "ok"
