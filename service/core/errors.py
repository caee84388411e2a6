"""Errors that the API returns, and errors of storage, which become one of them.

Each subclass of `ApiError` has a status, a type and a code, and produces the error body that
OpenAI's SDKs parse. openapi.json describes a status with the first line of its class's docstring
and with the headers that the class lists. A message says what is wrong, where, and how to fix it.
It never repeats training text or a key.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

NO_RETRY = {"x-should-retry": "false"}

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "rate_limit_error",
    "server_error",
]


class ErrorDetail(BaseModel):
    """What went wrong. All four keys are always present."""

    message: str = Field(description="Human-readable message: what is wrong, where, how to fix it.")
    type: ErrorType = Field(description="Category of the failure.")
    param: str | None = Field(description="Parameter or field that caused the failure.")
    code: str | None = Field(description="Machine-readable error code.")


class Error(BaseModel):
    """Body of every failed request, in the format that OpenAI's SDKs expect."""

    error: ErrorDetail


class ApiError(Exception):
    """A failure with its own HTTP response."""

    status: ClassVar[int] = 500
    type: ClassVar[ErrorType] = "server_error"
    default_code: ClassVar[str | None] = None
    default_headers: ClassVar[Mapping[str, str]] = {}
    other_headers: ClassVar[tuple[str, ...]] = ()
    """Headers that only some errors of the class have."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code
        self.headers: dict[str, str] = {**self.default_headers, **(headers or {})}

    def body(self) -> dict[str, Any]:
        """Return the response body, which always has all four keys."""
        return error_body(self.message, self.type, self.param, self.code)

    @classmethod
    def description(cls) -> str:
        """Return the first line of the class's docstring."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]


def error_body(
    message: str, type_: ErrorType, param: str | None, code: str | None
) -> dict[str, Any]:
    """Build the body of an error."""
    detail = ErrorDetail(message=message, type=type_, param=param, code=code)
    return Error(error=detail).model_dump()


class BadRequest(ApiError):
    """The request is malformed or cannot be fulfilled."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_value"


def broken_json(body: bytes, at: int | None) -> BadRequest:
    """Return the error of a body that is not JSON.

    `at` is the number of the wrong byte, or None if the body ends too early.
    """
    *lines, last = body[:at].decode(errors="replace").split("\n")
    where = f"line {len(lines) + 1}, column {len(last) + 1}"
    fault = f"it ends too early, at {where}" if at is None else f"look at {where}"
    return BadRequest(f"The body is not valid JSON: {fault}.", code="invalid_json")


class Unauthenticated(ApiError):
    """The API key is missing, unknown, expired or not valid from this address."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"
    default_headers: ClassVar[Mapping[str, str]] = {"www-authenticate": "Bearer"}


class Forbidden(ApiError):
    """The API key does not have permission for this operation."""

    status = 403
    type = "permission_error"
    default_code = "insufficient_permissions"


class NotFound(ApiError):
    """The object does not exist in the project.

    An object of another project does not exist for the caller.
    """

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class MethodNotAllowed(ApiError):
    """The path exists, but does not support the method."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"


class RequestTimeout(ApiError):
    """The request did not arrive in time, or its response was not read in time."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class Conflict(ApiError):
    """The state of the object or the project does not allow this."""

    status = 409
    type = "invalid_request_error"
    default_code = "invalid_state"
    default_headers: ClassVar[Mapping[str, str]] = NO_RETRY


class NotReady(Conflict):
    """A background task that the operation depends on has not finished."""

    default_code = "not_ready"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "1"}


class LimitReached(Conflict):
    """The project has as many objects of a kind as it may have, until some are deleted."""

    default_code = "limit_reached"


class PreconditionFailed(ApiError):
    """Another request changed the object after the version that `If-Match` names."""

    status = 412
    type = "invalid_request_error"
    default_code = "precondition_failed"


class TooLarge(ApiError):
    """The request body or a part of it exceeds its size limit."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class UnsupportedMedia(ApiError):
    """The operation does not support the content type."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class RangeNotSatisfiable(ApiError):
    """The requested range is outside the content."""

    status = 416
    type = "invalid_request_error"
    default_code = "range_not_satisfiable"
    other_headers = ("content-range",)


class RateLimited(ApiError):
    """The request exceeds a limit of the key, the project or the client's address."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "1"}
    other_headers = tuple(NO_RETRY)


class Busy(RateLimited):
    """The key or the project (`scope`) has as many requests in progress as it may have."""

    def __init__(
        self,
        message: str,
        *,
        scope: Literal["key", "project"] = "project",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, headers=headers)
        self.scope = scope


class HeadersTooLarge(ApiError):
    """The request line and the headers together exceed their size limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class InternalError(ApiError):
    """The engine or the service failed on this request.

    The log has the cause under the request ID.
    """

    default_code = "internal_error"
    other_headers = tuple(NO_RETRY)


class BadGateway(ApiError):
    """The engine returned an invalid response."""

    status = 502
    default_code = "bad_gateway"


class Unavailable(ApiError):
    """A required service is temporarily unavailable: Redis, storage or an engine."""

    status = 503
    default_code = "service_unavailable"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "2"}
    other_headers = tuple(NO_RETRY)


class GatewayTimeout(ApiError):
    """The engine did not respond in time."""

    status = 504
    default_code = "gateway_timeout"


class InsufficientStorage(ApiError):
    """The artifact storage is full. Retries do not help until the operator frees space."""

    status = 507
    default_code = "insufficient_storage"
    default_headers = NO_RETRY


BY_STATUS: Mapping[int, type[ApiError]] = {kind.status: kind for kind in ApiError.__subclasses__()}


QUOTA: Final = "quota_exceeded"
"""Code of errors and failures by the quota of a project."""


class StorageError(Exception):
    """A storage operation failed."""


class StorageFull(StorageError):
    """There is no room for a write."""


class QuotaExceeded(StorageFull):
    """The quota of the project leaves no room. The message says how to get some."""


class RedisFull(StorageFull):
    """The memory of Redis has only its reserve left. The message says how to get more."""


class StorageRefused(StorageError):
    """The credentials, bucket or address are wrong. The message says what to fix."""


class StorageMissing(StorageError):
    """The object or folder does not exist or was never completely written."""


class StorageCorrupt(StorageError):
    """The bytes read differ from those written."""


def no_room(error: StorageFull) -> ApiError:
    """Return the API error for a write without room. Its message says who can fix it."""
    if isinstance(error, QuotaExceeded):
        return TooLarge(str(error), code=QUOTA, headers=NO_RETRY)
    if isinstance(error, RedisFull):
        return redis_full(str(error))
    return InsufficientStorage(
        "The service's storage is full, so the data was not saved. The operator must free space or "
        "enlarge the volume."
    )


def redis_full(message: str) -> ApiError:
    """Return the API error for a write that the memory of Redis has no room for."""
    return Unavailable(message, code="redis_full", headers={"retry-after": "60", **NO_RETRY})
