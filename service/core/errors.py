"""The tree of errors that the API answers with.

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
    ├── RateLimited          429 rate_limit_error, says when to come again
    ├── HeadersTooLarge      431 invalid_request_error
    ├── InternalError        500 server_error
    ├── BadGateway           502 server_error
    ├── Unavailable          503 server_error, says when to come again
    ├── GatewayTimeout       504 server_error
    └── InsufficientStorage  507 server_error, never retried by the SDKs

Every error knows its status, type and code, and writes the one body that OpenAI's SDKs
parse. A message says what is wrong, where, and how to mend it; it never repeats training
text or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

NO_RETRY = {"x-should-retry": "false"}


class ApiError(Exception):
    """A failure with an HTTP answer of its own."""

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
        """The wire body; all four keys are always there."""
        return error_body(self.message, self.type, self.param, self.code)


def error_body(message: str, type_: str, param: str | None, code: str | None) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`, as OpenAI's SDKs read it."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


class BadRequest(ApiError):
    """The request is malformed or asks for what cannot be."""

    status = 400
    type = "invalid_request_error"


class Unauthenticated(ApiError):
    """No API key, or one that is not known."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"
    default_headers: ClassVar[Mapping[str, str]] = {"www-authenticate": "Bearer"}


class Forbidden(ApiError):
    """The key is known but its role does not allow this."""

    status = 403
    type = "permission_error"
    default_code = "insufficient_permissions"


class NotFound(ApiError):
    """No such object in the caller's project. Another project's object answers the same."""

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class MethodNotAllowed(ApiError):
    """The path is known, but not for this method."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"


class RequestTimeout(ApiError):
    """The request did not come, or its answer was not taken, in time."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class Conflict(ApiError):
    """The object is in a state that does not allow this."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"
    default_headers = NO_RETRY


class TooLarge(ApiError):
    """The body or a part of it is over its limit."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class UnsupportedMedia(ApiError):
    """The body's content type is not one that this route reads."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class RateLimited(ApiError):
    """Over a limit of the key or the project."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "1"}


class HeadersTooLarge(ApiError):
    """The request line and the headers together are over their limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class InternalError(ApiError):
    """A fault of the service. The log has the cause under the request id."""

    default_code = "internal_error"


class BadGateway(ApiError):
    """The inference engine answered something that is no answer."""

    status = 502
    default_code = "bad_gateway"


class Unavailable(ApiError):
    """A part that is needed (Redis, storage, vLLM) is away for now."""

    status = 503
    default_code = "service_unavailable"
    default_headers: ClassVar[Mapping[str, str]] = {"retry-after": "2"}


class GatewayTimeout(ApiError):
    """The inference engine did not answer in time."""

    status = 504
    default_code = "gateway_timeout"


class InsufficientStorage(ApiError):
    """The artifact storage is full; a retry does not help before an operator acts."""

    status = 507
    default_code = "insufficient_storage"
    default_headers = NO_RETRY
