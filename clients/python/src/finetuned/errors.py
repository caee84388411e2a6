"""Exception hierarchy of the client.

    FinetunedError
    ├── ConfigurationError     no API key or no address; nothing was sent
    ├── ConnectionFailed       no response was received
    │   ├── NeverSent          the connection could not be established
    │   └── TimedOut           no response was received in time
    ├── ApiError               the server returned an error
    │   ├── BadRequest         400, 405, 408, 413, 415
    │   ├── NotAuthenticated   401
    │   ├── PermissionDenied   403
    │   ├── NotFound           404
    │   ├── Conflict           409, 412
    │   ├── RateLimited        429
    │   └── ServerError        5xx
    ├── UnexpectedAnswer       the client cannot parse the response
    ├── UploadFailed           the local file changed during the upload
    ├── FileRefused            server-side validation rejected the file
    └── OperationFailed        a cleaning, a merge or an import ended without a result

Every error has `status`, `code`, `type`, `param` and `request_id` (None if no response provided
them), and `next_step`, which says how to resolve it.
"""

from __future__ import annotations

from collections.abc import Mapping


class FinetunedError(Exception):
    """Base class of all errors raised by this package."""

    next_step = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        next_step: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        if next_step is not None:
            self.next_step = next_step

    def __str__(self) -> str:
        text = self.message
        if self.next_step:
            text = f"{text} {self.next_step}"
        return f"{text} (request {self.request_id})" if self.request_id else text

    def body(self) -> dict[str, object]:
        """Return the error as plain values, for logs and for `--json`."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            "status": self.status,
            "request_id": self.request_id,
            "next_step": self.next_step or None,
        }


class ConfigurationError(FinetunedError):
    """Raised without an API key or an address; nothing was sent."""


class ConnectionFailed(FinetunedError):
    """Raised when no response is received."""

    next_step = "Check that the server is running and its address is correct (FINETUNED_BASE_URL)."


class NeverSent(ConnectionFailed):
    """Raised when no connection is established, so the server never saw the request."""


class TimedOut(ConnectionFailed):
    """Raised when no response is received in time."""

    next_step = "Try again, or pass a larger timeout."


class ApiError(FinetunedError):
    """Raised when the server returns an error."""


class BadRequest(ApiError):
    """Raised when the request is invalid; the message says what to change."""


class NotAuthenticated(ApiError):
    """Raised when the server does not recognize the API key."""

    next_step = "Run `finetuned login`, or put a valid key into FINETUNED_API_KEY."


class PermissionDenied(ApiError):
    """Raised when the API key lacks permission."""


class NotFound(ApiError):
    """Raised when the key's project has no such object."""

    next_step = "Check the id, and that the API key belongs to the object's project."


class Conflict(ApiError):
    """Raised when the object's state does not allow the operation, or the object has changed."""

    next_step = "Retrieve the object to see its current state."


class RateLimited(ApiError):
    """Raised when a key or project limit is exceeded; `retry_after_s` says when to retry."""


class ServerError(ApiError):
    """Raised after retries when the server fails or one of its components is down."""

    next_step = "Try again in a minute. If the error persists, send the operator the request id."


class UnexpectedAnswer(FinetunedError):
    """Raised when the client cannot parse the response."""

    next_step = "Check that FINETUNED_BASE_URL is a finetuned server and this client is up to date."


class UploadFailed(FinetunedError):
    """Raised when the local file changes during the upload."""

    next_step = "Upload the file again when no program is writing to it."


class FileRefused(FinetunedError):
    """Raised when server-side validation finds the file unusable for training."""

    next_step = "Run `finetuned files report FILE_ID` to see each error and how to fix it."


class OperationFailed(FinetunedError):
    """Raised when an operation ends without a result. The message says why and how to fix it."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: NotAuthenticated,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: RateLimited,
}


def class_of(status: int) -> type[ApiError]:
    """Return the error class for a response status."""
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, BadRequest)
