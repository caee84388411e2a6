"""Health probes of the API: `/livez` and `/readyz`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from service.web.deps import resource
from service.web.probing import START_HEADER, PartState, Probe, check, confirmation

router = APIRouter(tags=["Health"])
Probes = Annotated[dict[str, Probe], Depends(resource("probes"))]


class Alive(BaseModel):
    """Liveness of the API process."""

    status: Literal["ok"] = Field(default="ok", description="Always `ok`.")


class Ready(BaseModel):
    """Readiness of the API and of each required part."""

    status: Literal["ok", "degraded", "away"] = Field(
        description="Status of the whole: `degraded` if some base models are not served."
    )
    parts: dict[str, PartState] = Field(
        description="State of each required part: redis, storage, worker, inference."
    )
    models: dict[str, PartState] | None = Field(
        default=None,
        description="State of each base model; absent unless inference is a required part.",
    )


@router.get("/livez", operation_id="getLiveness", summary="Check liveness")
async def livez(request: Request, response: Response) -> Alive:
    """Liveness check of this process. Answers `ok` while the event loop runs.

    Checks no other part.
    """
    response.headers.update(confirmation(request.headers.get(START_HEADER)))
    return Alive()


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Check readiness",
    response_model=Ready,
    response_model_exclude_none=True,
    responses={503: {"model": Ready, "description": "A required part does not respond."}},
)
async def readyz(probes: Probes) -> JSONResponse:
    """Readiness check of all parts that this installation requires.

    Answers 200 if every part responds, otherwise 503. The state of a part is `ok`, `degraded` (some
    base models are served, and others are not), `away` (it does not respond) or `refused` (it
    responds, but rejects requests). A degraded installation is ready: requests for the other
    models, and all requests without a model, succeed.
    """
    found = await asyncio.gather(*(check(p) for p in probes.values()))
    states = {one.state for one in found}
    ready = states <= {"ok", "degraded"}
    status = "away" if not ready else "degraded" if "degraded" in states else "ok"
    parts = {name: one.state for name, one in zip(probes, found, strict=True)}
    models = {
        name: "ok" if served else "away" for one in found for name, served in one.models.items()
    }
    content: dict[str, Any] = {"status": status, "parts": parts}
    if models:
        content["models"] = models
    return JSONResponse(content, status_code=200 if ready else 503)
