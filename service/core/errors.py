"""Hierarchy of the errors that the API returns.

    ApiError
    ├── BadRequest           400 invalid_request_error
    ├── Unauthenticated      401 authentication_error
    ├── Forbidden            403 permission_error
    ├── NotFound             404 invalid_request_error
    ├── MethodNotAllowed     405 invalid_request_error
    ├── RequestTimeout       408 invalid_request_error, retried by the SDKs
    ├── Conflict             409 invalid_request_error, never retried by the SDKs
    ├── TooLarge             413 invalid_request_error
    ├── UnsupportedMedia     415 invalid_request_error
    ├── RateLimited          429 rate_limit_error, with a retry time
    ├── HeadersTooLarge      431 invalid_request_error
    ├── InternalError        500 server_error
    ├── BadGateway           502 server_error
    ├── Unavailable          503 server_error, with a retry time
    ├── GatewayTimeout       504 server_error
    └── InsufficientStorage  507 server_error, never retried by the SDKs

Every error has a status, type and code, and produces the error body that OpenAI's SDKs parse. A
message says what is wrong, where, and how to fix it. It never repeats training text or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

NO_RETRY = {"x-should-retry": "false"}


class ApiError(Exception):
    """A failure with its own HTTP response."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None
    default_headers: ClassVar[Mapping[str, str]] = {}

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


def error_body(message: str, type_: str, param: str | None, code: str | None) -> dict[str, Any]:
    """Build `{"error": {message, type, param, code}}`, the format that OpenAI's SDKs expect."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


class BadRequest(ApiError):
    """The request is malformed or cannot be fulfilled."""

    status = 400
    type = "invalid_request_error"


class Unauthenticated(ApiError):
    """The API key is missing or unknown."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"
    default_headers: ClassVar[Mapping[str, str]] = {"www-authenticate": "Bearer"}


class Forbidden(ApiError):
    """The key is known, but its role does not allow the operation."""

    status = 403
    type = "permission_error"
    default_code = "insufficient_permissions"


class NotFound(ApiError):
    """The object does not exist in the caller's project, or belongs to another project."""

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class MethodNotAllowed(ApiError):
    """The path exists, but does not support the method."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"


class RequestTimeout(ApiError):
    """The request did not arrive, or its response was not read, in time."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class Conflict(ApiError):
    """The state of the object does not allow the operation."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"
    default_headers = NO_RETRY


class TooLarge(ApiError):
    """The body or a part of it exceeds its size limit."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class UnsupportedMedia(ApiError):
    """The route does not support the body's content type."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class RateLimited(ApiError):
    """The request exceeds a limit of the key or the project."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "1"}


class HeadersTooLarge(ApiError):
    """The request line and the headers together exceed their size limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class InternalError(ApiError):
    """A failure of the service. The log has the cause under the request ID."""

    default_code = "internal_error"


class BadGateway(ApiError):
    """The inference engine returned an invalid response."""

    status = 502
    default_code = "bad_gateway"


class Unavailable(ApiError):
    """A required dependency (Redis, storage, vLLM) is temporarily unavailable."""

    status = 503
    default_code = "service_unavailable"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "2"}


class GatewayTimeout(ApiError):
    """The inference engine did not respond in time."""

    status = 504
    default_code = "gateway_timeout"


class InsufficientStorage(ApiError):
    """The artifact storage is full. Retries do not help until an operator frees space."""

    status = 507
    default_code = "insufficient_storage"
    default_headers = NO_RETRY
