"""Pages of other origins: which may use the api from a browser."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

# What a page may read of an answer, beside the few headers that are always readable.
_READABLE = ("etag", "retry-after", "x-request-id", "x-should-retry", "content-disposition")
_METHODS = ("GET", "POST", "PUT", "DELETE")
_REMEMBERED_S = 600


def for_pages_of(origins: Sequence[str], app: ASGIApp) -> CORSMiddleware:
    """The app for pages of these origins too.

    Callers name themselves by a key, never by a cookie, so credentials stay off.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=("*",),  # OpenAI's SDK sends a dozen of its own
        expose_headers=_READABLE,
        max_age=_REMEMBERED_S,
    )
