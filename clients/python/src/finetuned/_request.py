"""Requests, responses and errors, in the form that both clients share."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import BaseModel, ValidationError

from finetuned._options import RequestOptions
from finetuned._version import __version__
from finetuned.config import Target, is_loopback
from finetuned.errors import (
    ApiError,
    BadRequest,
    ConfigurationError,
    ConnectionFailed,
    NeverSent,
    TimedOut,
    UnexpectedAnswer,
    class_of,
)

T = TypeVar("T")

# uvicorn closes idle connections after 5 s. Dropping ours first avoids reusing a dead one.
_IDLE_S = 4.0
_CONNECT_S = 10.0
_OPTIONS = RequestOptions.__optional_keys__ | {"raw"}
_SAFE_METHODS = frozenset({"GET", "PUT", "DELETE"})
# With these, a second attempt fails because the first one has changed the object.
_CONDITIONS = ("if-match", "if-none-match")
# What OpenSSL calls an answer in plain HTTP, by version.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
# The message of these says what to do, and the next step of their class would mislead: there is the
# job without an evaluation, and the key is valid, but not from here or not for an archived project.
_EXPLAINED = {"evaluation_not_found", "ip_not_authorized", "project_archived"}


@dataclass(frozen=True)
class Request:
    """An HTTP request. `path` is relative to the base URL and already quoted."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    repeatable: bool | None = None
    """Whether the request is safe to repeat. If None, its method and its key decide."""
    idempotent: bool = False
    """Whether the server accepts an `Idempotency-Key`."""
    options: RequestOptions = field(default_factory=RequestOptions)

    def __post_init__(self) -> None:
        # Each method takes its options as `**options`, which also catches misspelled parameters.
        if unknown := self.options.keys() - _OPTIONS:
            raise TypeError(f"There is no parameter or option named {', '.join(sorted(unknown))}.")

    @property
    def may_repeat(self) -> bool:
        """Whether the request may be resent even if the first attempt may have arrived."""
        if self.repeatable is not None:
            return self.repeatable
        if self.method != "GET" and any(self.headers.get(name) for name in _CONDITIONS):
            return False
        return self.method in _SAFE_METHODS or self.idempotent

    @property
    def wants_raw_response(self) -> bool:
        """Whether the caller asked for the response instead of what it contains."""
        return bool(self.options.get("raw"))

    def own_headers(self) -> dict[str, str]:
        """Return the headers of this request. A new key is made if it is idempotent."""
        headers = {name: value for name, value in self.headers.items() if value is not None}
        if key := self.options.get("idempotency_key"):
            headers["idempotency-key"] = key
        elif self.idempotent:
            headers["idempotency-key"] = os.urandom(16).hex()
        extra = self.options.get("extra_headers") or {}
        return headers | {name.lower(): value for name, value in extra.items()}


class RawResponse(Generic[T]):
    """A response with its status and headers. `parse` returns what the method would."""

    def __init__(self, response: httpx2.Response, parsed: T) -> None:
        self.http_response = response
        self._parsed = parsed

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self.http_response.status_code

    @property
    def headers(self) -> httpx2.Headers:
        """Headers of the response."""
        return self.http_response.headers

    @property
    def request_id(self) -> str | None:
        """ID of the request, which the server's logs contain."""
        return self.headers.get("x-request-id")

    @property
    def content(self) -> bytes:
        """Body of the response."""
        return self.http_response.content

    def parse(self) -> T:
        """Return what the method returns without `with_raw_response`."""
        return self._parsed


def at(*parts: str | int) -> str:
    """Build a path from quoted parts, since names can contain slashes."""
    if "" in parts:
        raise BadRequest("The id is empty.", next_step="Pass the id of an object.")
    return "/".join(quote(str(part), safe=":") for part in parts)


def etag(value: str | None) -> str | None:
    """Return an `etag` as the headers If-Match and If-None-Match contain it."""
    if value is None or value == "*":
        return value
    return f'"{value.strip(chr(34))}"'


def http_options(target: Target, timeout_s: float) -> dict[str, Any]:
    """Return arguments for either httpx2 client class."""
    return {
        "timeout": timeouts(timeout_s),
        "limits": httpx2.Limits(max_connections=100, keepalive_expiry=_IDLE_S),
        "mounts": proxies(target),
    }


def proxies(target: Target) -> dict[str, None] | None:
    """Return the `mounts` of an httpx2 client: loopback requests never go through a proxy.

    Other environment variables count for loopback, too: the certificates of `SSL_CERT_FILE`.
    """
    return {"http://": None, "https://": None} if is_loopback(target.base_url) else None


def timeouts(seconds: float) -> httpx2.Timeout:
    """Return the time limits of a request that must be answered within `seconds`."""
    return httpx2.Timeout(seconds, connect=min(_CONNECT_S, seconds))


def build_arguments(
    target: Target, request: Request, headers: Mapping[str, str], timeout_s: float | None
) -> dict[str, Any]:
    """Return arguments for `build_request`.

    The address and the key are in each request and not in the HTTP client, which may be the
    caller's and shared by clients of several servers.
    """
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": f"{target.base_url.rstrip('/')}/{request.path.lstrip('/')}",
        "headers": {
            "authorization": f"Bearer {target.api_key}",
            "user-agent": f"finetuned-client/{__version__} Python/{platform.python_version()}",
            **headers,
        },
        "params": _flat(request.params),
    }
    if request.json is not None:
        arguments["json"] = request.json
    if request.content is not None:
        arguments["content"] = request.content
    timeout_s = request.options.get("timeout", timeout_s)
    if timeout_s is not None:
        arguments["timeout"] = timeouts(timeout_s)
    return arguments


def _flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write mappings as OpenAI does: `{"metadata": {"a": 1}}` becomes `metadata[a]=1`."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}[{key}]": inner for key, inner in value.items() if inner is not None}
        elif value is not None:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def parse(kind: type[T], response: httpx2.Response) -> T:
    """Parse a body as `kind`: a model, `str` or `bytes`. Raises UnexpectedAnswer."""
    if kind is bytes:
        return response.content  # type: ignore[return-value]
    if kind is str:
        return response.text  # type: ignore[return-value]
    return validate(kind, load(response), response)


def load(response: httpx2.Response) -> Any:
    """Load a JSON body. Raises UnexpectedAnswer if it is none."""
    try:
        return json.loads(response.content)
    except ValueError as e:
        raise _unexpected("JSON", response) from e


def load_page(response: httpx2.Response) -> dict[str, Any]:
    """Load the body of a list. Raises UnexpectedAnswer if it is none."""
    body = load(response)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise _unexpected("list", response)
    return body


def validate(kind: type[T], value: Any, response: httpx2.Response) -> T:
    """Return a part of a body as `kind`, with the ID of the request. Raises UnexpectedAnswer."""
    if not issubclass(kind, BaseModel):
        return value  # type: ignore[no-any-return]
    try:
        found = kind.model_validate(value)
    except ValidationError as e:
        raise _unexpected(kind.__name__, response) from e
    object.__setattr__(found, "_request_id", response.headers.get("x-request-id"))
    return found


def _unexpected(kind: str, response: httpx2.Response) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"The server's response is not a valid {kind}.",
        status=response.status_code,
        request_id=response.headers.get("x-request-id"),
    )


def error_of(response: httpx2.Response) -> ApiError:
    """Return the error for a response with status 300 or above."""
    error: dict[str, Any] = {}
    try:
        body = json.loads(response.content)
        error = body["error"] if isinstance(body["error"], dict) else {}
    except (ValueError, KeyError, TypeError):
        pass  # a proxy's page or no body: only the status is known
    status = response.status_code
    return class_of(status)(
        str(error.get("message") or f"The server returned status {status}."),
        status=status,
        code=error.get("code"),
        type=error.get("type"),
        param=error.get("param"),
        request_id=response.headers.get("x-request-id"),
        retry_after_s=retry_after_s(response.headers),
        next_step="" if error.get("code") in _EXPLAINED else None,
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the retry delay that the server requested, if any."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) * unit)
    return None


@contextmanager
def translated_errors(base_url: str) -> Iterator[None]:
    """Translate httpx2's exceptions into our own."""
    host = urlsplit(base_url).netloc
    try:
        yield
    except httpx2.ConnectError as e:
        if any(code in str(e) for code in _NOT_TLS):
            raise NeverSent(
                f"{host} answers without TLS.", next_step=f"Use http://{host} if that is intended."
            ) from e
        raise NeverSent(f"Cannot connect to {host}: {_reason(e)}.") from e
    except (httpx2.ConnectTimeout, httpx2.PoolTimeout) as e:
        raise NeverSent(f"Cannot connect to {host}: {_reason(e)}.") from e
    except httpx2.TimeoutException as e:
        raise TimedOut(f"{host} did not respond in time.") from e
    except httpx2.DecodingError as e:
        raise UnexpectedAnswer(f"The response of {host} cannot be decoded: {_reason(e)}.") from e
    except httpx2.TransportError as e:
        raise ConnectionFailed(f"The connection to {host} was lost: {_reason(e)}.") from e
    except (httpx2.InvalidURL, UnicodeError) as e:
        raise ConfigurationError(f"'{base_url}' is not a valid server address.") from e


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
