# Generated from finetuned._async by `make clients`. Do not edit.
"""The synchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2
from typing_extensions import Self

from finetuned import config
from finetuned._request import http_options
from finetuned._sync.resources.root import Resources
from finetuned._sync.transport import Transport

if TYPE_CHECKING:
    import openai

    from finetuned._sync.datasets import Datasets

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_RETRIES = 4


class Client(Resources):
    """Synchronous client for the finetuned API.

    The API key and the address come from the arguments, then from FINETUNED_API_KEY and
    FINETUNED_BASE_URL, then from a profile that `finetuned login` saved: `profile`, or else
    FINETUNED_PROFILE, or else the default one.

    `timeout` limits each request in seconds: 60 by default, and 600 for `openai`. `http_client` is
    used as it is, with its own timeouts (unless `timeout` is given), proxies and certificates;
    several clients can share it, and `close` leaves it open.

        with finetuned.Client() as client:
            file = client.files.create("chats.jsonl")
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        timeout: float | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        http_client: httpx2.Client | None = None,
    ) -> None:
        target = config.resolve(api_key, base_url, profile)
        self._given_http = http_client
        self._closes_http = http_client is None
        options = http_options(target, DEFAULT_TIMEOUT_S if timeout is None else timeout)
        self._transport = Transport(
            target,
            timeout_s=timeout,
            max_retries=max_retries,
            headers=default_headers or {},
            http=http_client or httpx2.Client(**options),
        )
        self._timeout_s = timeout

    @property
    def base_url(self) -> str:
        """The server's base URL, including `/v1`."""
        return self._transport.target.base_url

    @cached_property
    def datasets(self) -> Datasets:
        """Reports, previews, comparisons, cleanings and merges, once they are completed."""
        from finetuned._sync.datasets import Datasets

        return Datasets(self._transport)

    @cached_property
    def openai(self) -> openai.OpenAI:
        """OpenAI SDK client for this server: chat, responses, embeddings, …

        Requires `pip install 'finetuned-client[openai]'`.
        """
        from finetuned._openai import client

        return client(self._transport, self._given_http, self._timeout_s)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client with other options. It shares the connections of this one."""
        own, made = self._transport, type(self).__new__(type(self))
        # Without the groups of methods, which use the transport of this client.
        vars(made).update(
            _given_http=self._given_http,
            _closes_http=False,
            _timeout_s=self._timeout_s if timeout is None else timeout,
            _transport=Transport(
                own.target,
                timeout_s=own.timeout_s if timeout is None else timeout,
                max_retries=own.max_retries if max_retries is None else max_retries,
                headers={**own.headers, **(extra_headers or {})},
                http=own.http,
            ),
        )
        return made

    def close(self) -> None:
        """Close all connections, except those of an `http_client` of yours."""
        if self._closes_http:
            self._transport.http.close()
        if self._given_http is None and "openai" in self.__dict__:
            self.openai.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments of the client, with its API key."""
        if self._given_http is not None:
            raise TypeError("A client with an http_client of yours cannot be pickled.")
        transport = self._transport
        return {
            "api_key": transport.target.api_key,
            "base_url": transport.target.base_url,
            "timeout": self._timeout_s,
            "max_retries": transport.max_retries,
            "default_headers": transport.headers,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"
