"""The OpenAI SDK's clients, with an `Idempotency-Key` on each request that creates something.

The SDK retries after a timeout or a lost response. The key makes the server repeat its first
response instead of creating a second object.
"""

from __future__ import annotations

from typing import Any

import openai
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

__all__ = ["AsyncOpenAI", "DefaultAsyncHttpxClient", "DefaultHttpxClient", "OpenAI"]
_HEADER = "Idempotency-Key"


class OpenAI(openai.OpenAI):
    """Synchronous client of the OpenAI SDK."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idempotency_header = _HEADER


class AsyncOpenAI(openai.AsyncOpenAI):
    """Asynchronous client of the OpenAI SDK."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idempotency_header = _HEADER
