"""Serves `/`, which describes the service, and `/docs`, the API reference.

Swagger UI comes from an installed package: browsers load nothing from other servers, and the
content security policy forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from service import __version__
from service.core.errors import NotFound

router = APIRouter(include_in_schema=False)

_HERE: Final = Path(__file__).parent / "reference"
_HOME: Final = (_HERE / "home.html").read_text("utf-8")
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


@router.get("/")
async def home(request: Request) -> Response:
    """Describe the service, with links: to browsers as a page, to programs as JSON."""
    base_url = f"{str(request.base_url).rstrip('/')}/v1"
    if "text/html" in request.headers.get("accept", ""):
        page = _HOME.replace("VERSION", __version__).replace("BASE_URL", escape(base_url))
        return HTMLResponse(page, headers=_SAFE)
    return JSONResponse(
        {
            "name": "finetuned",
            "version": __version__,
            "base_url": base_url,
            "reference": "/docs",
            "openapi": "/openapi.json",
        }
    )


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
