"""Python client for finetuned: `Client`, `AsyncClient`, errors and API types."""

from finetuned import types
from finetuned._flows.uploads import Progress
from finetuned._version import __version__
from finetuned.client import AsyncClient, Client
from finetuned.errors import (
    ApiError,
    BadRequest,
    CleaningFailed,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    FileRefused,
    FinetunedError,
    ImportFailed,
    MergeFailed,
    NeverSent,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    TimedOut,
    UnexpectedAnswer,
    UploadFailed,
)

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequest",
    "CleaningFailed",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "FileRefused",
    "FinetunedError",
    "ImportFailed",
    "MergeFailed",
    "NeverSent",
    "NotAuthenticated",
    "NotFound",
    "PermissionDenied",
    "Progress",
    "RateLimited",
    "ServerError",
    "TimedOut",
    "UnexpectedAnswer",
    "UploadFailed",
    "__version__",
    "types",
]
