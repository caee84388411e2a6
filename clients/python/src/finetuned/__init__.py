"""Python client for finetuned: `Client`, `AsyncClient`, errors and API types."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from finetuned._log import set_up_logging
from finetuned._version import __version__
from finetuned.errors import (
    ApiError,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    FileRefused,
    FinetunedError,
    NeverSent,
    NotAuthenticated,
    NotFound,
    OperationFailed,
    PermissionDenied,
    RateLimited,
    ServerError,
    TimedOut,
    UnexpectedAnswer,
    UploadFailed,
)

if TYPE_CHECKING:
    from finetuned import params, types
    from finetuned._async.client import AsyncClient
    from finetuned._async.pages import AsyncPage
    from finetuned._options import RequestOptions, omit
    from finetuned._request import RawResponse
    from finetuned._sources import Progress
    from finetuned._sync.client import Client
    from finetuned._sync.pages import Page

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncPage",
    "BadRequest",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "FileRefused",
    "FinetunedError",
    "NeverSent",
    "NotAuthenticated",
    "NotFound",
    "OperationFailed",
    "Page",
    "PermissionDenied",
    "Progress",
    "RateLimited",
    "RawResponse",
    "RequestOptions",
    "ServerError",
    "TimedOut",
    "UnexpectedAnswer",
    "UploadFailed",
    "__version__",
    "omit",
    "params",
    "types",
]

# The client and its types are imported when they are used, since many programs import this package
# and use it in few of their runs.
_LATER = {
    "AsyncClient": "finetuned._async.client",
    "AsyncPage": "finetuned._async.pages",
    "Client": "finetuned._sync.client",
    "Page": "finetuned._sync.pages",
    "Progress": "finetuned._sources",
    "RawResponse": "finetuned._request",
    "RequestOptions": "finetuned._options",
    "omit": "finetuned._options",
    "params": "",
    "types": "",
}


def __getattr__(name: str) -> Any:
    place = _LATER.get(name)
    if place is None:
        raise AttributeError(f"module 'finetuned' has no attribute '{name}'")
    found = import_module(f"finetuned.{name}") if not place else getattr(import_module(place), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


set_up_logging()
