"""The witness: a program or a server outside of the installation that keeps its checkpoints.

Who can change everything in Redis and storage, and has the signing key, can make another log. A
witness shows that it is another one. Each checkpoint is sent at least once, in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final, Self

import aiohttp

from service.audit.sealing import WITNESSED
from service.config import Settings
from service.core.redis import Client, reply, text

log = logging.getLogger(__name__)
_TIMEOUT_S: Final = 10.0
NO_WITNESS: Final = (
    "no witness keeps the checkpoints of the audit log, so who can delete objects in storage can "
    "remove its newest entries unnoticed: set FINETUNED_AUDIT_WITNESS_URL or "
    "FINETUNED_AUDIT_WITNESS_COMMAND"
)


class Witness:
    """Sends checkpoints to a URL (POST, as text/plain) or to a command (on its standard input)."""

    def __init__(self, redis: Client, url: str | None, command: Sequence[str]) -> None:
        self._redis = redis
        self._url = url
        self._command = command
        self._is_away = False

    @classmethod
    def from_settings(cls, redis: Client, settings: Settings) -> Self | None:
        """Create the witness that the operator has set, or None."""
        if settings.audit_witness_url is None and not settings.audit_witness_command:
            return None
        return cls(redis, settings.audit_witness_url, settings.audit_witness_command)

    async def send(self) -> None:
        """Send what was not sent yet. While the witness is down, it waits. Raises REDIS_ERRORS."""
        while (note := await reply(self._redis.lindex(WITNESSED, 0))) is not None:
            problem = await self._deliver(text(note).encode())
            if problem is not None:
                if not self._is_away:
                    log.warning("the witness of the audit log refuses a checkpoint: %s", problem)
                self._is_away = True
                return
            self._is_away = False
            await reply(self._redis.lrem(WITNESSED, 1, note))

    async def _deliver(self, note: bytes) -> str | None:
        """Deliver a checkpoint. Returns the problem if there is one."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if self._command and (status := await self._run(note)):
                    return f"the command ended with the status {status}"
                if self._url is not None and (status := await self._post(self._url, note)) >= 300:
                    return f"the server answered {status}"
        except (OSError, TimeoutError, aiohttp.ClientError) as e:
            return type(e).__name__
        return None

    async def _run(self, note: bytes) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await process.communicate(note)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return process.returncode or 0

    async def _post(self, url: str, note: bytes) -> int:
        headers = {"content-type": "text/plain; charset=utf-8"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=note, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status
