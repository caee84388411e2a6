"""Mapping between our requests and errors and those of httpx2, for threads and asyncio."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from finetuned._http import Answer, Request
from finetuned._version import __version__
from finetuned.config import Target, is_loopback
from finetuned.errors import ConfigurationError, ConnectionFailed, NeverSent, TimedOut

# uvicorn closes idle connections after 5 s. Dropping ours first avoids reusing a dead one.
_IDLE_S = 4.0
_CONNECT_S = 10.0
# What OpenSSL calls an answer in plain HTTP, by version.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


def options(target: Target, timeout_s: float) -> dict[str, Any]:
    """Return arguments for either httpx2 client class."""
    return {
        "timeout": httpx2.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
        "limits": httpx2.Limits(max_connections=100, keepalive_expiry=_IDLE_S),
        # Loopback requests never go through a proxy.
        "trust_env": not is_loopback(target.base_url),
    }


def arguments(target: Target, request: Request, timeout: httpx2.Timeout) -> dict[str, Any]:
    """Return arguments for `build_request`.

    The address and the key are in each request and not in the HTTP client, which may be the
    caller's and shared by clients of several servers.
    """
    headers = {
        "authorization": f"Bearer {target.api_key}",
        "user-agent": f"finetuned-client/{__version__} Python/{platform.python_version()}",
        **request.headers,
    }
    url = f"{target.base_url.rstrip('/')}/{request.path.lstrip('/')}"
    arguments: dict[str, Any] = {"method": request.method, "url": url, "headers": headers}
    if request.params is not None:
        arguments["params"] = {k: v for k, v in request.params.items() if v is not None}
    if request.json is not None:
        arguments["json"] = request.json
    if request.content is not None:
        arguments["content"] = request.content
    if request.read_timeout_s is not None:
        read = {"read": request.read_timeout_s}
        arguments["timeout"] = httpx2.Timeout(**(timeout.as_dict() | read))
    return arguments


def answer_of(response: httpx2.Response) -> Answer:
    """Convert a response whose body has been read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


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
    except httpx2.TransportError as e:
        raise ConnectionFailed(f"The connection to {host} was lost: {_reason(e)}.") from e
    except (httpx2.InvalidURL, UnicodeError) as e:
        raise ConfigurationError(f"'{base_url}' is not a valid server address.") from e


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
