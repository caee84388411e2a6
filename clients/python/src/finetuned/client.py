"""The `Client` and `AsyncClient` classes."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

import httpx2
from typing_extensions import Self

from finetuned import config, resources
from finetuned._async import AsyncRunner
from finetuned._sync import Runner

if TYPE_CHECKING:
    import openai

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_RETRIES = 4
# A long completion can take minutes.
_OPENAI_TIMEOUT_S = 600.0


class Client:
    """Synchronous client for the finetuned API.

    The API key and the address come from the arguments, then from FINETUNED_API_KEY and
    FINETUNED_BASE_URL, then from a profile that `finetuned login` saved: `profile`, or else
    FINETUNED_PROFILE, or else the default one. Threads can share one client.

    `timeout_s` limits each request: 60 s by default, and 600 s for `openai`. `http_client` is used
    as it is, with its own timeouts, proxies and certificates; several clients can share it, and
    `close` leaves it open.

        with finetuned.Client() as client:
            file = client.files.upload("chats.jsonl")
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        timeout_s: float | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx2.Client | None = None,
    ) -> None:
        target = config.resolve(api_key, base_url, profile)
        self._runner = runner = Runner(
            target,
            timeout_s=DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s,
            max_retries=max_retries,
            http=http_client,
        )
        self._openai_timeout_s = _OPENAI_TIMEOUT_S if timeout_s is None else timeout_s
        self.files = resources.Files(runner)
        self.uploads = resources.Uploads(runner)
        self.jobs = resources.Jobs(runner)
        self.sweeps = resources.Sweeps(runner)
        self.models = resources.Models(runner)
        self.aliases = resources.Aliases(runner)
        self.recognizers = resources.Recognizers(runner)
        self.stored_chats = resources.StoredChats(runner)
        self.erasures = resources.Erasures(runner)
        self.erasure_receipts = resources.ErasureReceipts(runner)
        self.exports = resources.Exports(runner)
        self.generations = resources.Generations(runner)
        self.usage = resources.Usage(runner)
        self.admin = resources.Admin(runner)

    @property
    def base_url(self) -> str:
        """The server's base URL, including `/v1`."""
        return self._runner.target.base_url

    @cached_property
    def openai(self) -> openai.OpenAI:
        """OpenAI SDK client for this server: chat, responses, embeddings, the admin API, …"""
        from finetuned import _openai as sdk

        return sdk.sync_client(self._runner, self._openai_timeout_s)

    def close(self) -> None:
        """Close all connections, except those of an `http_client` of yours."""
        if self._runner.owns_http:
            self._runner.http.close()
            if "openai" in self.__dict__:
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"


class AsyncClient:
    """Asynchronous client for the finetuned API, with the same methods as `Client`.

    Methods that list or watch return an async iterator: `async for job in client.jobs.list()`.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        timeout_s: float | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        target = config.resolve(api_key, base_url, profile)
        self._runner = runner = AsyncRunner(
            target,
            timeout_s=DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s,
            max_retries=max_retries,
            http=http_client,
        )
        self._openai_timeout_s = _OPENAI_TIMEOUT_S if timeout_s is None else timeout_s
        self.files = resources.AsyncFiles(runner)
        self.uploads = resources.AsyncUploads(runner)
        self.jobs = resources.AsyncJobs(runner)
        self.sweeps = resources.AsyncSweeps(runner)
        self.models = resources.AsyncModels(runner)
        self.aliases = resources.AsyncAliases(runner)
        self.recognizers = resources.AsyncRecognizers(runner)
        self.stored_chats = resources.AsyncStoredChats(runner)
        self.erasures = resources.AsyncErasures(runner)
        self.erasure_receipts = resources.AsyncErasureReceipts(runner)
        self.exports = resources.AsyncExports(runner)
        self.generations = resources.AsyncGenerations(runner)
        self.usage = resources.AsyncUsage(runner)
        self.admin = resources.AsyncAdmin(runner)

    @property
    def base_url(self) -> str:
        """The server's base URL, including `/v1`."""
        return self._runner.target.base_url

    @cached_property
    def openai(self) -> openai.AsyncOpenAI:
        """OpenAI SDK client for this server: chat, responses, embeddings, the admin API, …"""
        from finetuned import _openai as sdk

        return sdk.async_client(self._runner, self._openai_timeout_s)

    async def close(self) -> None:
        """Close all connections, except those of an `http_client` of yours."""
        if self._runner.owns_http:
            await self._runner.http.aclose()
            if "openai" in self.__dict__:
                await self.openai.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"
