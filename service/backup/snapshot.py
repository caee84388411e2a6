"""Reads all records of Redis as of one point in time, while the service runs.

The records are the state of Redis between two commands, so a snapshot has all writes of a
transaction or none. A restored installation is as if all its processes had been killed at that
time, which the service is built to survive.

Reading all keys in one transaction would give the same result, but would block Redis: with 250,000
records, for longer than the 2 s after which the service treats it as hanging. Therefore the keys
are read in batches while Redis reports which keys are changed (`CLIENT TRACKING`). Changed keys are
read again, until nothing is changed while they are read. If that does not happen soon, writes are
paused when few changed keys are left (`CLIENT PAUSE`), usually for a few milliseconds and never
longer than a second, and the last changed keys are read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import IO, Any, Final, NamedTuple

from redis.exceptions import RedisError, ResponseError

from service.backup.contents import BackupError, Saved
from service.core import ids
from service.core.records import PREFIX
from service.core.redis import Client, batched, connect, reply

EPHEMERAL: Final = tuple(
    f"{PREFIX}:{name}".encode()
    for name in (
        "api-processes",
        "dispatch-wanted",
        "gauges",
        "in-flight",
        "journal-rewritten",
        "journaled-at",
        "lease:",
        "queue:",
        "record-counted",
        "record-recount",
        "restoring",
        "rewritten",
        "session:",
        "sessions-of:",
        "turn-taken:",
        "unheld:",
        "usage-settled:",
        "worker-alive:",
        "workers",
        "written:",
    )
)
"""Prefixes of keys that running processes need, such as leases and marks of transactions.

The reconciler enqueues all unfinished work again, so queues are not backed up. Nor are the sessions
of browsers: a restore would begin those again that were ended.
"""

_SEARCHED_TEXT: Final = b":erasure-match:"  # personal data; a restored search has to be repeated
_INVALIDATIONS: Final = "__redis__:invalidate"
_KEYS_AT_ONCE: Final = 200  # Redis is busy for about a millisecond per batch
_SCANNED_AT_ONCE: Final = 1000
_PAUSE_MS: Final = 1000  # half of the service's time limit for an answer
_KEYS_IN_PAUSE: Final = 500
_MAX_ROUNDS, _MAX_PAUSES = 100, 10
_MAX_ROUNDS_WITHOUT_PAUSE: Final = 5
DROPPED: Final = -2  # PEXPIRETIME of a key that does not exist
_TIMEOUT_S: Final = 10.0

# Reads keys, as {key, expiration time in ms or -1, value in the format of RESTORE}. Missing keys
# have the value false. It may run during a pause, because it cannot write.
_READ: Final = """
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = {key, redis.call('PEXPIRETIME', key), redis.call('DUMP', key)}
end
return found
"""


class _Entry(NamedTuple):
    offset: int
    size: int
    expires_at_ms: int


class Snapshot:
    """All records at `taken_at`, in UTC seconds on the clock of Redis. Values are in `spool`."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._entries: dict[bytes, _Entry] = {}
        self.taken_at = 0.0
        self.server = ""
        self.paused_s = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._entries

    def __iter__(self) -> Iterator[Saved]:
        for key, entry in self._entries.items():
            self._spool.seek(entry.offset)
            yield Saved(key, entry.expires_at_ms, self._spool.read(entry.size))

    def put(self, saved: Saved) -> None:
        """Store the newest value of a key."""
        offset = self._spool.seek(0, 2)
        self._spool.write(saved.value)
        self._entries[saved.key] = _Entry(offset, len(saved.value), saved.expires_at_ms)

    def drop(self, key: bytes) -> None:
        """Forget a key that no longer exists."""
        self._entries.pop(key, None)


class Delta(Snapshot):
    """The records that changed before `taken_at`, and the keys that were removed."""

    def drop(self, key: bytes) -> None:
        """Note a key that no longer exists."""
        self._entries[key] = _Entry(0, 0, DROPPED)


def is_ephemeral(key: bytes) -> bool:
    """Return whether a key is not backed up: it belongs to a process, or has a searched text."""
    return key.startswith(EPHEMERAL) or _SEARCHED_TEXT in key


async def take(url: str, spool: IO[bytes]) -> Snapshot:
    """Read all records of the Redis at `url` into a snapshot, whose values are in `spool`.

    Raises BackupError, and REDIS_ERRORS if Redis is unavailable.
    """
    snapshot = Snapshot(spool)
    async with tracking(url) as tracked:
        await tracked.read_all(snapshot)
    return snapshot


@contextlib.asynccontextmanager
async def tracking(url: str) -> AsyncIterator[Tracked]:
    """Follow the changes of the Redis at `url` inside the block.

    Raises BackupError, and REDIS_ERRORS if Redis is unavailable.
    """
    redis = connect(url, retries=0, timeout_s=_TIMEOUT_S)
    try:
        async with _Changes.track(redis) as changes:
            info = await redis.info("server")
            version = info.get("valkey_version")
            server = f"Valkey {version}" if version else f"Redis {info['redis_version']}"
            yield Tracked(redis, changes, server)
    except ResponseError as e:
        raise BackupError(
            f"Redis refuses a command: {e}. Backups need version 7 or later, and the commands "
            "CLIENT TRACKING, CLIENT PAUSE, CLIENT UNPAUSE, EVAL_RO and DUMP."
        ) from e
    finally:
        await redis.aclose(close_connection_pool=True)


class Tracked:
    """The records of a Redis whose changes are followed. `server` is its name and version."""

    def __init__(self, redis: Client, changes: _Changes, server: str) -> None:
        self._redis = redis
        self._changes = changes
        self.server = server

    async def read_all(self, snapshot: Snapshot) -> None:
        """Read all records as of one point in time."""
        snapshot.server = self.server
        await _Reading(self._redis, self._changes, snapshot).run()

    async def read_changed(self, snapshot: Snapshot) -> None:
        """Read the records that changed since the last call, as of one point in time."""
        snapshot.server = self.server
        await _Reading(self._redis, self._changes, snapshot).catch_up()

    async def changed(self) -> AbstractSet[bytes]:
        """Return the keys that changed since the last call."""
        return await self._changes.seen()


class _Changes:
    """Collects the keys that Redis reports as changed."""

    def __init__(self, redis: Client, pubsub: Any, tracker: Any, subscriber: int) -> None:
        self._redis = redis
        self._pubsub = pubsub
        self._tracker = tracker
        self._subscriber = subscriber
        self._keys: set[bytes] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def track(cls, redis: Client) -> AsyncIterator[_Changes]:
        """Track all keys of the service while the context is open."""
        async with redis.pubsub() as pubsub, redis.client() as tracker:
            # Redis sends the names of changed keys to another connection, which subscribes to them.
            await pubsub.connect()
            await pubsub.connection.send_command("CLIENT", "ID")
            subscriber = int(await pubsub.connection.read_response())
            await pubsub.subscribe(_INVALIDATIONS)
            await tracker.client_tracking_on(subscriber, [PREFIX], bcast=True)
            changes = cls(redis, pubsub, tracker, subscriber)
            await changes.require_reports()
            yield changes

    async def require_reports(self) -> None:
        """Make a change, and raise BackupError if Redis does not report it."""
        mark = f"{PREFIX}:written:{ids.random_part()}"
        await self._redis.set(mark, 1, px=1)
        if mark.encode() not in await self._reported():
            raise BackupError(
                "Redis does not report changes (CLIENT TRACKING). Use Redis or Valkey 7 or later, "
                "without a proxy in between."
            )

    async def seen(self) -> AbstractSet[bytes]:
        """Return the keys that changed since the last `take`."""
        self._keys |= {key for key in await self._reported() if not is_ephemeral(key)}
        return self._keys

    async def take(self) -> list[bytes]:
        """Return the keys that were changed until now, and forget them."""
        taken = [*await self.seen()]
        self._keys = set()
        return taken

    async def check(self) -> None:
        """Raise BackupError unless all changes were reported."""
        pairs = await self._tracker.execute_command("CLIENT", "TRACKINGINFO")
        info = dict(zip(pairs[::2], pairs[1::2], strict=True))
        flags = set(info.get(b"flags", ()))
        is_on = {b"on", b"bcast"} <= flags and b"broken_redirect" not in flags
        if not is_on or info.get(b"redirect") != self._subscriber:
            raise BackupError("a connection to Redis was lost: run the backup again")

    async def _reported(self) -> set[bytes]:
        """Return the keys of all reports of commands that were executed before."""
        found: set[bytes] = set()
        # Redis sends reports before it executes another command, so they come before this answer.
        await self._pubsub.ping()
        while True:
            message = await self._pubsub.get_message(timeout=_TIMEOUT_S)
            if message is None:
                raise BackupError("Redis does not answer: run the backup again")
            if message["type"] == "pong":
                return found
            if message["type"] == "message":
                if message["data"] is None:
                    raise BackupError("Redis was emptied (FLUSHDB) while the backup ran")
                found.update(message["data"])


class _Reading:
    def __init__(self, redis: Client, changes: _Changes, snapshot: Snapshot) -> None:
        self._redis = redis
        self._changes = changes
        self._snapshot = snapshot

    async def run(self) -> None:
        """Read all keys, then those that changed in the meantime, until none is left."""
        await self._read_all()
        await self.catch_up()

    async def catch_up(self) -> None:
        """Read the changed keys until none is left. Writes are paused only if that never ends."""
        for _ in range(_MAX_ROUNDS_WITHOUT_PAUSE):
            if not (changed := await self._changes.take()):
                # Nothing was changed from the last reading until now.
                await self._end()
                return
            await self._read(changed)
        await self._finish_reading()

    async def _finish_reading(self) -> None:
        for _ in range(_MAX_PAUSES):
            await self._read_changed()
            if await self._finish():
                return
        raise BackupError("Redis changes too fast for a backup: run it at a quieter time")

    async def _read_all(self) -> None:
        cursor = 0
        while True:
            cursor, keys = await self._redis.scan(
                cursor, match=f"{PREFIX}:*", count=_SCANNED_AT_ONCE
            )
            await self._read([key for key in keys if not is_ephemeral(key)])
            if cursor == 0:
                return

    async def _read_changed(self) -> None:
        for _ in range(_MAX_ROUNDS):
            changed = await self._changes.take()
            await self._read(changed)
            if len(changed) <= _KEYS_IN_PAUSE:
                return
        raise BackupError("Redis changes too fast for a backup: run it at a quieter time")

    async def _finish(self) -> bool:
        """Read the last changes while writes are paused. Returns False if that took too long."""
        began = time.monotonic()
        await reply(self._redis.client_pause(_PAUSE_MS, all=False))
        try:
            changed = await self._changes.take()
            await self._read(changed)
            await self._end()
            self._snapshot.paused_s = time.monotonic() - began
        finally:
            with contextlib.suppress(RedisError, OSError):  # the pause ends by itself
                await reply(self._redis.client_unpause())
        # The pause began after `began`, so it lasted until here.
        return self._snapshot.paused_s < _PAUSE_MS / 1000

    async def _end(self) -> None:
        seconds, micros = await self._redis.time()
        await self._changes.check()
        self._snapshot.taken_at = seconds + micros / 1e6

    async def _read(self, keys: Sequence[bytes]) -> None:
        for batch in batched(keys, _KEYS_AT_ONCE):
            run: Any = self._redis.eval_ro  # redis-py types keys and answers as str
            for key, expires_at_ms, value in await run(_READ, len(batch), *batch):
                if value is None:
                    self._snapshot.drop(key)
                else:
                    self._snapshot.put(Saved(key, expires_at_ms, value))
