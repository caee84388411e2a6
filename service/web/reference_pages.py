"""Serves `/docs`, the API reference.

Swagger UI comes from an installed package: browsers load nothing from other servers, and the
content security policy forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from service.core.errors import NotFound

router = APIRouter(include_in_schema=False)

_HERE: Final = Path(__file__).parent / "reference"
_REFERENCE: Final = (_HERE / "reference.html").read_text("utf-8")
_START: Final = (_HERE / "start.js").read_text("utf-8")
_ASSETS: Final = files("fastapi_offline") / "static"
_TYPES: Final[Mapping[str, str]] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_CACHED: Final = {"cache-control": "public, max-age=86400"}
_SAFE: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


@router.get("/docs")
async def reference() -> HTMLResponse:
    """Return the API reference."""
    return HTMLResponse(_REFERENCE, headers=_SAFE)


@router.get("/docs/start.js")
async def start() -> Response:
    """Return the script that shows the OpenAPI document in the reference."""
    return Response(_START, media_type="text/javascript", headers=_CACHED)


@router.get("/docs/{asset}")
async def asset(asset: str) -> FileResponse:
    """Return a file of Swagger UI."""
    if asset not in _TYPES:
        raise NotFound("Unknown request URL.", code="unknown_url")
    return FileResponse(str(_ASSETS / asset), media_type=_TYPES[asset], headers=_CACHED)
