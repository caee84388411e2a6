"""The OpenAI SDK's clients for the server of a client of ours.

They send an `Idempotency-Key` with each request that creates something. The SDK retries after a
timeout or a lost response, and the key makes the server repeat its first response instead of
creating a second object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

from finetuned._request import proxies
from finetuned.errors import ConfigurationError

try:
    import openai
except ModuleNotFoundError as e:
    raise ConfigurationError(
        "`client.openai` needs the OpenAI SDK.",
        next_step="Run `pip install 'finetuned-client[openai]'`.",
    ) from e

if TYPE_CHECKING:
    from finetuned._async.transport import AsyncTransport
    from finetuned._sync.transport import Transport

_HEADER = "Idempotency-Key"
# A long completion can take minutes.
_TIMEOUT_S = 600.0


class _OpenAI(openai.OpenAI):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idempotency_header = _HEADER


class _AsyncOpenAI(openai.AsyncOpenAI):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idempotency_header = _HEADER


def client(
    transport: Transport, http: httpx2.Client | None, timeout_s: float | None
) -> openai.OpenAI:
    """Return a client that uses the caller's `http_client`, if there is one."""
    made = http or openai.DefaultHttpxClient(mounts=proxies(transport.target))
    return _OpenAI(**_options(transport, timeout_s), http_client=made)


def async_client(
    transport: AsyncTransport, http: httpx2.AsyncClient | None, timeout_s: float | None
) -> openai.AsyncOpenAI:
    """Return a client that uses the caller's `http_client`, if there is one."""
    made = http or openai.DefaultAsyncHttpxClient(mounts=proxies(transport.target))
    return _AsyncOpenAI(**_options(transport, timeout_s), http_client=made)


def _options(transport: Transport | AsyncTransport, timeout_s: float | None) -> dict[str, Any]:
    target = transport.target
    return {
        "base_url": target.base_url,
        "api_key": target.api_key,
        # Set explicitly so that OPENAI_ADMIN_KEY and similar variables are not sent here.
        "admin_api_key": target.api_key,
        "organization": "",
        "project": "",
        "max_retries": transport.max_retries,
        "timeout": _TIMEOUT_S if timeout_s is None else timeout_s,
        "default_headers": dict(transport.headers),
    }
