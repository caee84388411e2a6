"""Probes of the api: `/livez`, `/readyz`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError, StorageRefused

log = logging.getLogger(__name__)
router = APIRouter(tags=["Health"])
Probe = Callable[[], Awaitable[bool]]
PartState = Literal["ok", "away", "refused"]
_TIMEOUT_S = 5.0


async def state(probe: Probe) -> PartState:
    """Whether a part answers in time, and does what is asked of it."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return "ok" if await probe() else "away"
    except StorageRefused as e:
        log.error("storage cannot be used: %s", e)
        return "refused"
    except (*REDIS_ERRORS, StorageError, TimeoutError):
        return "away"


async def passes(probe: Probe) -> bool:
    """Whether a part answers in time."""
    return await state(probe) == "ok"


class Alive(BaseModel):
    """This process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether all needed parts answer, and which do not."""

    status: Literal["ok", "away"]
    parts: dict[str, PartState] = Field(description="By name: redis, storage, worker, inference.")


@router.get("/livez", operation_id="livez", summary="Whether this process answers")
async def livez() -> Alive:
    """Says ok as long as the event loop turns; asks no other part."""
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Whether all needed parts answer",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "A needed part does not answer."}},
)
async def readyz(request: Request) -> JSONResponse:
    """200 when every part that this installation needs answers; else 503, naming it.

    A part is `ok`, `away`, or `refused`: it answers, and does not do what is asked of it.
    """
    probes: dict[str, Probe] = request.app.state.probes
    found = await asyncio.gather(*(state(p) for p in probes.values()))
    parts = dict(zip(probes, found, strict=True))
    ready = all(part == "ok" for part in found)
    content: dict[str, Any] = {"status": "ok" if ready else "away", "parts": parts}
    return JSONResponse(content, status_code=200 if ready else 503)
