"""The tree of errors.

    FinetunedError
    ├── ConfigurationError     no key or no address; nothing was sent
    ├── ConnectionFailed       no answer came
    │   ├── NeverSent          the connection could not be made
    │   └── TimedOut           no answer came in time
    ├── ApiError               the server answered with an error
    │   ├── BadRequest         400, 405, 408, 413, 415
    │   ├── NotAuthenticated   401
    │   ├── PermissionDenied   403
    │   ├── NotFound           404
    │   ├── Conflict           409
    │   ├── RateLimited        429
    │   └── ServerError        5xx
    ├── UnexpectedAnswer       the answer is not what this client understands
    ├── UploadFailed           the local file changed while it was sent
    ├── FileRefused            the server's check found the file unusable
    └── CleaningFailed         a cleaning ended without files

Every error carries `status`, `code`, `type`, `param` and `request_id` (None where there was no
answer that had them), and `next_step`: what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping


class FinetunedError(Exception):
    """Anything that this package raises on purpose."""

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
        told = self.message
        if self.next_step:
            told = f"{told} {self.next_step}"
        return f"{told} (request {self.request_id})" if self.request_id else told

    def body(self) -> dict[str, object]:
        """The error as plain values, for logs and for `--json`."""
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
    """No key or no address; nothing was sent."""


class ConnectionFailed(FinetunedError):
    """No answer came."""

    next_step = "Is the server running, and is its address right (FINETUNED_BASE_URL)?"


class NeverSent(ConnectionFailed):
    """The connection could not be made, so that the server knows nothing of the request."""


class TimedOut(ConnectionFailed):
    """No answer came in time."""

    next_step = "Try again, or give Client a larger timeout."


class ApiError(FinetunedError):
    """The server answered with an error."""


class BadRequest(ApiError):
    """The request asks for what cannot be; the message says what to change."""


class NotAuthenticated(ApiError):
    """The server does not know the key."""

    next_step = "Run `finetuned login`, or put a valid key into FINETUNED_API_KEY."


class PermissionDenied(ApiError):
    """The key may not do this."""


class NotFound(ApiError):
    """No such object in the project of this key."""

    next_step = "Check the id, and that the key is one of the project that owns it."


class Conflict(ApiError):
    """The object is in a state that does not allow this."""

    next_step = "Read it again and decide anew."


class RateLimited(ApiError):
    """Over a limit of the key or the project; `retry_after_s` says when to come again."""


class ServerError(ApiError):
    """The server failed, or a part of it is away; it was tried again before this was raised."""

    next_step = "Try again in a minute; if it stays, give the operator the request id."


class UnexpectedAnswer(FinetunedError):
    """The answer is not what this client understands."""

    next_step = "Does FINETUNED_BASE_URL name a finetuned server? Or is this client too old?"


class UploadFailed(FinetunedError):
    """The local file changed while it was sent."""

    next_step = "Send it again once nothing writes to it."


class FileRefused(FinetunedError):
    """The server's check found the file unusable for training."""

    next_step = "`finetuned files report FILE_ID` shows every fault with its line and remedy."


class CleaningFailed(FinetunedError):
    """A cleaning ended without files."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: NotAuthenticated,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
}


def class_of(status: int) -> type[ApiError]:
    """The class of an answer's status."""
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, BadRequest)
