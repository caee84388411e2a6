"""One installation in this process: the api, a worker's parts, a real Valkey and a folder.

Nothing runs by itself. A case calls the actor that it is about, and then `settle` runs reconciler,
outbox and queued tasks in rounds until nothing changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from pydantic import SecretStr
from redis.backoff import NoBackoff

from service.app import Api, create_app
from service.config import Settings
from service.core import outbox, queue
from service.core.redis import REDIS_ERRORS, Client, connect, reply, rewriting
from service.core.redis.connection import PatientRetry
from service.core.storage import StorageError
from service.fleet.capacity import measure
from service.projects.records import Role
from service.worker.main import WorkerProcess
from tests.adapters import base_folder
from tests.conftest import BASE_MODEL, signing_key
from tests.faults import children, gate
from tests.faults.snapshot import Snapshot
from tests.files_below import files_below

Step = Callable[["World"], Awaitable[None]]


async def nothing(_: World) -> None:
    """Leave an installation empty."""


_FRESH_S = 300
_MOST_ROUNDS = 12
_REWRITE_WAIT_S = 60.0
_MOST_TRIES = 4  # of tasks that put themselves back into their queue, in a round
# Returns a digest of all keys, except what a round may write without having changed anything.
_PASS_TIME = """
local keys, seen = redis.call('KEYS', '*'), {}
table.sort(keys)
for _, key in ipairs(keys) do
  if key:find('^finetuned:lease:') then redis.call('DEL', key)
  elseif key:find('^finetuned:unheld:') then redis.call('SET', key, 0); table.insert(seen, key)
  elseif key:find('^finetuned:.*:idempotency:') and
    not redis.call('GET', key):find('"answer"') then redis.call('DEL', key)
  elseif key:find('^finetuned:queue:%a+$') or key:find('%-leftover$') then
    for _, entry in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZADD', key, 1, entry)
    end
  end
  if not (key:find('^finetuned:written:') or key:find('^finetuned:lease:')
    or key:find('^finetuned:unheld:') or key:find('^finetuned:worker')
    or key:find('^finetuned:dispatch%-wanted') or key:find('^finetuned:queue:%a+:')) then
    table.insert(seen, key .. (redis.call('DUMP', key) or ''))
  end
end
return redis.sha1hex(table.concat(seen, ' '))
"""


class Unsettled(AssertionError):
    """Rounds without faults still change something."""


@dataclass(frozen=True)
class _Arranged:
    """What an installation is like after `by`, which it ran at `at_s`."""

    by: Step
    at_s: float
    snapshot: Snapshot
    notes: Mapping[str, Any]
    deleted: frozenset[str]
    errors: Sequence[str]
    queues: Sequence[str]
    trained: children.Trained

    def is_by(self, arrange: Step) -> bool:
        """Return whether `arrange` made it, and not so long ago that something has expired."""
        return self.by is arrange and time.monotonic() - self.at_s < _FRESH_S


@dataclass
class World:
    """An installation."""

    app: Api
    settings: Settings
    redis: Client
    storage: Path
    worker: WorkerProcess
    http: httpx.AsyncClient
    errors: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)
    graves: list[gate.Gate] = field(default_factory=list)
    """The gates of processes that were killed while the case was arranged."""
    queues: Sequence[str] = ("cpu",)
    sent: int = 0
    """Requests so far."""
    _arranged: _Arranged | None = None

    @property
    def scratch(self) -> Path:
        """The folder of running tasks."""
        return self.settings.scratch

    async def begin(self, arrange: Step = nothing) -> None:
        """Make the installation what it is after `arrange`, which runs once for many cases."""
        if self._arranged is None or not self._arranged.is_by(arrange):
            await self._empty()
            await arrange(self)
            self._arranged = await self._saved(arrange)
            for killed in self.graves:
                await killed.bury()
        await self._restore(self._arranged)

    async def _saved(self, arrange: Step) -> _Arranged:
        folders, place = (self.storage, self.scratch), self.settings.data_dir / "arranged"
        snapshot = await Snapshot.take(self.redis, folders, place)
        self.notes.pop("answer", None)
        return _Arranged(
            arrange,
            time.monotonic(),
            snapshot,
            dict(self.notes),
            frozenset(self.deleted),
            tuple(self.errors),
            self.queues,
            children.ScriptedTrainer.known(_jobs(snapshot)),
        )

    async def _restore(self, arranged: _Arranged) -> None:
        await arranged.snapshot.restore(self.redis)
        self.notes, self.deleted = dict(arranged.notes), set(arranged.deleted)
        self.errors[:], self.queues, self.graves = arranged.errors, arranged.queues, []
        children.ScriptedTrainer.know_only(_jobs(arranged.snapshot), arranged.trained)
        await self.restart_worker()

    async def _empty(self) -> None:
        """Make the installation empty, with a project and a worker that does not train."""
        await self.redis.flushdb()
        for folder in (self.storage, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.errors.clear()
        self.deleted, self.notes, self.graves, self.queues = set(), {}, [], ("cpu",)
        await self.restart_worker()
        projects = self.app.state.projects
        project = await projects.create("acme")
        self.notes["project"] = project.id
        _, secret = await projects.create_key(project, "test", Role.ADMIN)
        self.http.headers["authorization"] = f"Bearer {secret}"

    async def restart_worker(self) -> None:
        """Replace a worker that was killed with a new one."""
        for claim in self.scratch.glob("*/.claimed"):
            claim.unlink()  # the lock of a dead process is released
            claim.touch()
            os.utime(claim, (0, 0))
        self.worker = _worker(self.settings, self.redis, self.queues)
        await self.worker._presence.announce()

    async def work(self, lane: str) -> int:
        """Run what is due in a queue, as arq does, and return how many tasks that were."""
        arq = self.worker._arq_worker(lane)
        try:
            await arq._poll_iteration()
        finally:
            tasks = list(arq.tasks.values())
            await asyncio.gather(*tasks)
        return len(tasks)

    async def settle(self) -> None:
        """Run rounds without faults until one changes nothing. Raises Unsettled."""
        before, changes = await self.pass_time(), 0
        until = time.monotonic() + _REWRITE_WAIT_S
        while changes < _MOST_ROUNDS:
            await self.round()
            after = await self.pass_time()
            if before != after:
                changes += 1
            elif not await self._waits_for_rewrite():
                return
            elif time.monotonic() > until:
                raise Unsettled("the files of Redis are not rewritten")
            before = after
        raise Unsettled(f"{_MOST_ROUNDS} rounds without a fault still changed something")

    async def _waits_for_rewrite(self) -> bool:
        """Return whether Redis' files are to be rewritten, once no other world has that done.

        All worlds share one server, which makes one rewrite at a time.
        """
        requested = await rewriting.requests(self.redis)
        last = await self.worker._reconciler._eraser.deletions.rewriter._last()
        if requested <= (0 if last is None else last.requests):
            return False
        while (await self.redis.info("persistence"))["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.02)
        return True

    async def round(self) -> None:
        """Run what the loops of a worker do, once each, as they do: only an outage ends a step."""
        await self.worker._presence.announce()
        with contextlib.suppress(*REDIS_ERRORS, StorageError):
            await self.worker._reconciler.once()
        with contextlib.suppress(*REDIS_ERRORS):
            await outbox.process(self.redis, self.worker._event_readers)
        for lane in queue.QUEUES:
            with contextlib.suppress(*REDIS_ERRORS):
                await self._work_off(lane)

    async def _work_off(self, lane: str) -> None:
        for _ in range(_MOST_TRIES):
            if not await self.redis.zcard(queue.QUEUES[lane]) or not await self.work(lane):
                return
            await self.pass_time()

    async def pass_time(self) -> object:
        """Let leases and marks of unfinished requests expire, and what is due later become due.

        Returns what is stored.
        """
        return await reply(self.redis.eval(_PASS_TIME, 0)), self.objects()

    async def keys(self, pattern: str = "*") -> list[str]:
        """Return the names of the keys in Redis that match a pattern."""
        return sorted(key.decode() for key in await self.redis.keys(pattern))

    def objects(self) -> list[str]:
        """Return the files in the storage's folder, including those not visible in listings."""
        return _files(self.storage)

    def scraps(self) -> list[str]:
        """Return the files in the scratch folder."""
        return _files(self.scratch)


def _jobs(snapshot: Snapshot) -> frozenset[str]:
    names = [name.decode() for name, _, _ in snapshot.keys]
    return frozenset(name.rpartition(":")[2] for name in names if ":jobs:" in name)


def _files(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_below(folder)]


def _worker(settings: Settings, redis: Client, queues: Sequence[str]) -> WorkerProcess:
    with (
        mock.patch("service.worker.main.connect", return_value=redis),
        mock.patch("service.worker.main.measure", return_value=_measured()),
    ):
        return WorkerProcess(settings, queues)


@cache
def _measured() -> Any:
    return measure()


class _Errors(logging.Handler):
    """Collects the errors that are logged, for the world of the task that logs them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        world = CURRENT.get()
        error = record.exc_info[1] if record.exc_info else None
        if world is None or isinstance(error, gate.Buried) or record.name == "asyncio":
            return  # asyncio logs what the garbage collector finds of an earlier case
        # Behind the gate, arq logs every task that ends with an error, as it should.
        if record.name.startswith("service") or not gate.is_behind():
            reason = f": {type(error).__name__}: {error}" if error else ""
            world.errors.append(gate.without_ids(record.getMessage() + reason))


CURRENT: ContextVar[World | None] = ContextVar("world", default=None)


@asynccontextmanager
async def worlds(redis_url: str, folder: Path, number: int) -> AsyncIterator[list[World]]:
    """Open installations behind the gate, each with its own database of one Valkey."""
    handler = _Errors()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(logging.getLogger().removeHandler, handler)
        logging.getLogger().addHandler(handler)
        for patch in _patches():
            stack.enter_context(patch)
        address = redis_url.rpartition("/")[0] if redis_url.count("/") > 2 else redis_url
        yield [
            await stack.enter_async_context(_world(f"{address}/{database}", folder / str(database)))
            for database in range(number)
        ]


@asynccontextmanager
async def _world(redis_url: str, folder: Path) -> AsyncIterator[World]:
    base = base_folder(folder / "base")
    models_file = folder / "models.yaml"
    models_file.write_text(
        f"models:\n- {{id: {BASE_MODEL}, path: {base}, license: mit, "
        "context_length: 2048, parameters: 135000000}\n",
        "utf-8",
    )
    settings = Settings(
        redis_url=SecretStr(redis_url),
        storage_url=(folder / "storage").as_uri(),
        storage_patience_s=0,
        eval_engine_patience_s=0,
        data_dir=folder,
        signing_key_file=signing_key(folder),
        models_file=models_file,
        lookup_cache_s=0,
        worker_name="test-worker",
        webhook_allowed_hosts=("127.0.0.1:9",),
    )
    redis = connect(redis_url, retries=1, patience_s=0)
    # A command is tried twice without a pause.
    redis.connection_pool.connection_kwargs["retry"] = PatientRetry(NoBackoff(), 1, 60)
    app = create_app(settings)
    with mock.patch("service.lifespan.connect", return_value=redis):
        lifespan = app.router.lifespan_context(app)
        await lifespan.__aenter__()
    try:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            worker = _worker(settings, redis, ("cpu",))
            yield World(app, settings, redis, folder / "storage", worker, http)
    finally:
        await lifespan.__aexit__(None, None, None)


def _patches() -> list[Any]:
    """Everything that makes retries short, and child processes parts of this one."""
    return [
        gate.installed(),
        mock.patch("service.core.redis.transactions._REFUSED_S", 0.0),
        mock.patch("service.core.redis.rewriting._REST", 0),
        mock.patch("service.worker.arq_queue._PAUSE_S", 0.001),
        mock.patch("service.web.idempotency._POLL_S", 0.01),
        mock.patch("service.web.idempotency._WAIT_S", 0.2),
        mock.patch("service.jobs.attempt.train_task._LOOK_S", 0.05),
        mock.patch("service.files.curation.dataset_process.Child", children.InlineDatasetProcess),
        mock.patch("service.jobs.attempt.trainer_process.Child", children.ScriptedTrainer),
        mock.patch("service.inference.background.calls.EngineCalls._post", children.answered),
    ]
