"""CORS: the web origins that may use the API from a browser."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

# Response headers that a page may read, in addition to those that are always readable.
_READABLE = ("etag", "retry-after", "x-request-id", "x-should-retry", "content-disposition")
_METHODS = ("GET", "POST", "PUT", "DELETE")
_REMEMBERED_S = 600


def for_pages_of(origins: Sequence[str], app: ASGIApp) -> CORSMiddleware:
    """Wrap the app so that pages of these origins can call it.

    Callers authenticate with a key, never with a cookie, so credentials stay disabled.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=("*",),  # OpenAI's SDK sends a dozen custom headers
        expose_headers=_READABLE,
        max_age=_REMEMBERED_S,
    )
