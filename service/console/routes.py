"""`/console`: the web console, and `/`, which leads browsers there."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from service import __version__
from service.console.files import Console
from service.core.errors import NotFound
from service.web.deps import resource

router = APIRouter(include_in_schema=False)
Files = Annotated[Console, Depends(resource("console"))]

PATH: Final = "/console"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; font-src 'none'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types svelte-trusted-html"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
}
_NOT_BUILT: Final = (
    '<!doctype html><html lang="en"><title>The console is not built</title>'
    "<h1>The console is not built</h1>"
    "<p>The files of the console are missing in this installation. In a clone of the repository, "
    "run <code>npm ci &amp;&amp; npm run build</code> in <code>clients/console</code>, and restart "
    'the API.<p>The API works without it: see the <a href="/docs">API reference</a>.</html>'
)


@router.get("/")
async def home(request: Request, files: Files) -> Response:
    """Lead browsers to the console, and describe the service to programs."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(PATH if files.is_on else "/docs", 307)
    return JSONResponse(
        {
            "name": "finetuned",
            "version": __version__,
            "base_url": f"{str(request.base_url).rstrip('/')}/v1",
            "reference": "/docs",
            "openapi": "/openapi.json",
        }
    )


@router.api_route(PATH, methods=["GET", "HEAD"])
async def page(request: Request, files: Files) -> Response:
    """Return the page of the console."""
    return _answer(request, files, "")


@router.api_route(f"{PATH}/{{path:path}}", methods=["GET", "HEAD"])
async def file(path: str, request: Request, files: Files) -> Response:
    """Return a file of the console, or its page, which shows what the address names."""
    return _answer(request, files, path)


def _answer(request: Request, files: Console, path: str) -> Response:
    found = files.find(path)
    if found is None:
        if files.is_on and not files.is_built:
            return HTMLResponse(_NOT_BUILT, 503)
        raise NotFound("Unknown request URL.", code="unknown_url")
    headers = {
        **HEADERS,
        "cache-control": found.cache_control,
        "etag": found.etag,
        "vary": "accept-encoding",
    }
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {found.etag, found.etag.removeprefix("W/"), "*"}:
        return Response(status_code=304, headers=headers)
    encoding = found.encoding_for(request.headers.get("accept-encoding", ""))
    if encoding != "identity":
        headers["content-encoding"] = encoding
    return Response(found.bodies[encoding], headers=headers, media_type=found.content_type)
