"""Runs the loop that seals the audit log, in one worker at a time.

Each round writes the entries about requests to models, seals new entries, and sends checkpoints to
the witness: a program or a server outside the installation that keeps them. API processes count
requests by key and minute when they synchronize usage (usage/replica_sync.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final, Self

import aiohttp
from redis.asyncio.client import Pipeline

from service.audit.checkpoints import BadCheckpoint
from service.audit.sealer import WITNESSED, Overtaken, Sealer
from service.config import Settings
from service.core import clock, metrics
from service.core.encryption.signing import InstallationKey, SigningKeyError
from service.core.leases import run_as_leader
from service.core.redis import REDIS_ERRORS, Client, reply, text
from service.core.redis.transactions import Write, commit
from service.core.storage import Storage, StorageError
from service.usage.keys import AUDITED
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import STREAM, Actor, Entry

_MINUTE_S: Final = 60
_DELAY_S: Final = 10  # by then, most counts of a minute have arrived
_AT_ONCE: Final = 1000
_TIMEOUT_S: Final = 10.0
NO_WITNESS: Final = (
    "no witness keeps the checkpoints of the audit log, so who can delete objects in storage can "
    "remove its newest entries unnoticed: set FINETUNED_AUDIT_WITNESS_URL or "
    "FINETUNED_AUDIT_WITNESS_COMMAND"
)
log = logging.getLogger(__name__)
_PAUSE_S: Final = 5.0


async def record_model_requests(redis: Client) -> int:
    """Write the entries of minutes that have ended. Returns their number.

    Counts that arrive later, after an outage, become another entry of the same minute. Raises
    REDIS_ERRORS.
    """

    async def decide(pipe: Pipeline) -> tuple[int, Write | None]:
        found = await reply(pipe.hgetall(AUDITED))
        ended = [
            (text(field), int(number))
            for field, number in found.items()
            if int(field.split(b" ")[0]) + _MINUTE_S + _DELAY_S <= clock.now()
        ][:_AT_ONCE]

        def write(pipe: Pipeline) -> None:
            for field, number in ended:
                audit_trail.append(pipe, _entry(field, number))
            pipe.hdel(AUDITED, *(field for field, _ in ended))

        return len(ended), write if ended else None

    return await commit(redis, [AUDITED], decide)


def _entry(field: str, requests: int) -> Entry:
    minute_s, project_id, key_id, *batch = field.split(" ")
    return Entry(
        id=audit_trail.new_id(clock.now()),
        at=float(minute_s),
        type=AuditEvent.MODEL_REQUESTED,
        actor=Actor("api_key", key_id, project_id),
        outcome="succeeded",
        project_id=project_id,
        counts={"requests": requests, **({"batch": 1} if batch else {})},
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
        """Create the configured witness, or return None."""
        if settings.audit_witness_url is None and not settings.audit_witness_command:
            return None
        return cls(redis, settings.audit_witness_url, settings.audit_witness_command)

    async def send(self) -> None:
        """Send the queued checkpoints, which stay queued if it fails. Raises REDIS_ERRORS."""
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
        """Deliver a checkpoint. Returns the problem, or None."""
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


class SealingLoop:
    """Records model requests, seals the audit log, and sends its checkpoints to the witness."""

    def __init__(
        self,
        redis: Client,
        storage: Storage,
        settings: Settings,
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._storage = storage
        self._settings = settings
        self._witness = Witness.from_settings(redis, settings)
        self._on_round = on_round
        self._has_warned = False

    async def run(self) -> None:
        """Seal until cancelled, in one process at a time. Each process exports the metrics."""
        await run_as_leader(
            self._redis, "audit-log", self._seal, pause_s=_PAUSE_S, before_try=self._begin_round
        )

    async def _begin_round(self) -> None:
        self._on_round()
        with contextlib.suppress(*REDIS_ERRORS):
            await self._observe()  # no matter which process seals, and even if none can

    async def _seal(self, lost: asyncio.Event) -> None:
        try:
            await self._seal_until(lost)
        except Overtaken:
            pass
        except (BadCheckpoint, SigningKeyError) as e:
            log.error("the audit log is not sealed: %s", e)
        except StorageError as e:
            log.warning("the audit log is not sealed: %s", e)

    def sealer(self) -> Sealer:
        """Return a new sealer. Call its `resume` first."""
        return Sealer(
            self._redis,
            self._storage,
            InstallationKey(self._settings.signing_key),
            every_s=self._settings.audit_seal_every_s,
            kept_days=self._settings.audit_kept_days,
            has_witness=self._witness is not None,
        )

    async def _seal_until(self, lost: asyncio.Event) -> None:
        sealer = self.sealer()
        await sealer.resume()
        self._warn_without_witness()
        while not lost.is_set():
            self._on_round()
            while await record_model_requests(self._redis):
                pass
            while await sealer.seal():
                pass
            if self._witness is not None:
                await self._witness.send()
            await self._observe()
            await asyncio.sleep(_PAUSE_S)

    def _warn_without_witness(self) -> None:
        if self._witness is None and not self._has_warned:
            self._has_warned = True
            log.warning("%s", NO_WITNESS)

    async def _observe(self) -> None:
        """Update the metrics. Raises REDIS_ERRORS."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(STREAM)
            pipe.xrange(STREAM, count=1)
            pipe.llen(WITNESSED)
            unsealed, oldest, waiting = await pipe.execute()
        overdue_s = 0.0
        for entry_id, _ in oldest:
            written_s = int(entry_id.partition(b"-")[0]) / 1000  # by the clock of Redis
            overdue_s = max(0.0, clock.now() - written_s - self._settings.audit_seal_every_s)
        metrics.AUDIT_UNSEALED.cell().set(unsealed)
        metrics.AUDIT_OVERDUE.cell().set(overdue_s)
        metrics.AUDIT_TO_WITNESS.cell().set(waiting)
