"""The OpenAI SDK's clients for the server of a client of ours.

They send an `Idempotency-Key` with each request that creates something. The SDK retries after a
timeout or a lost response, and the key makes the server repeat its first response instead of
creating a second object.
"""

from __future__ import annotations

from typing import Any

import openai

from finetuned._async import AsyncRunner
from finetuned._sync import Runner
from finetuned.config import is_loopback

_HEADER = "Idempotency-Key"


class _OpenAI(openai.OpenAI):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idempotency_header = _HEADER


class _AsyncOpenAI(openai.AsyncOpenAI):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idempotency_header = _HEADER


def sync_client(runner: Runner, timeout_s: float) -> openai.OpenAI:
    """Return a client that uses the runner's `http_client`, if the caller gave one."""
    http = openai.DefaultHttpxClient(trust_env=_trusts_env(runner)) if runner.owns_http else None
    return _OpenAI(**_options(runner, timeout_s), http_client=http or runner.http)


def async_client(runner: AsyncRunner, timeout_s: float) -> openai.AsyncOpenAI:
    """Return a client that uses the runner's `http_client`, if the caller gave one."""
    http = (
        openai.DefaultAsyncHttpxClient(trust_env=_trusts_env(runner)) if runner.owns_http else None
    )
    return _AsyncOpenAI(**_options(runner, timeout_s), http_client=http or runner.http)


def _trusts_env(runner: Runner | AsyncRunner) -> bool:
    return not is_loopback(runner.target.base_url)


def _options(runner: Runner | AsyncRunner, timeout_s: float) -> dict[str, Any]:
    return {
        "base_url": runner.target.base_url,
        "api_key": runner.target.api_key,
        # Set explicitly so that OPENAI_ADMIN_KEY and similar variables are not sent here.
        "admin_api_key": runner.target.api_key,
        "organization": "",
        "project": "",
        "max_retries": runner.max_retries,
        "timeout": timeout_s,
    }
