"""Health probes of the API: `/livez` and `/readyz`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError, StorageRefused
from service.web.deps import resource

log = logging.getLogger(__name__)
router = APIRouter(tags=["Health"])
Probe = Callable[[], Awaitable[bool]]
Probes = Annotated[dict[str, Probe], Depends(resource("probes"))]
PartState = Literal["ok", "away", "refused"]
_TIMEOUT_S = 5.0


async def state(probe: Probe) -> PartState:
    """Check whether a part responds in time and accepts requests."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return "ok" if await probe() else "away"
    except StorageRefused as e:
        log.error("storage cannot be used: %s", e)
        return "refused"
    except (*REDIS_ERRORS, StorageError, TimeoutError):
        return "away"


async def passes(probe: Probe) -> bool:
    """Check whether a part responds in time and accepts requests."""
    return await state(probe) == "ok"


class Alive(BaseModel):
    """Liveness of the API process."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Readiness of the API and of each required part."""

    status: Literal["ok", "away"]
    parts: dict[str, PartState] = Field(
        description="State of each required part: redis, storage, worker, inference."
    )


@router.get("/livez", operation_id="livez", summary="Check liveness")
async def livez() -> Alive:
    """Liveness check of this process. Answers `ok` while the event loop runs.

    Checks no other part.
    """
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Check readiness",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "A required part does not respond."}},
)
async def readyz(probes: Probes) -> JSONResponse:
    """Readiness check of all parts that this installation requires.

    Answers 200 if every part responds, otherwise 503. The state of a part is `ok`, `away` (it does
    not respond) or `refused` (it responds, but rejects requests).
    """
    found = await asyncio.gather(*(state(p) for p in probes.values()))
    parts = dict(zip(probes, found, strict=True))
    ready = all(part == "ok" for part in found)
    content: dict[str, Any] = {"status": "ok" if ready else "away", "parts": parts}
    return JSONResponse(content, status_code=200 if ready else 503)
