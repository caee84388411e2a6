"""Checks of an installation, each with what was found and how to fix it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from service import __version__
from service.audit.sealing_loop import NO_WITNESS
from service.config import GIB, Settings
from service.core import clock, queue
from service.core.redis import REDIS_ERRORS, Client, why
from service.core.redis.record_quota import LIMITED_AT, Memory, RecordUse
from service.core.startup_checks import durability_problems, missing_feature, storage_fault
from service.core.storage import Storage, StorageError, StorageRefused
from service.fleet import workers
from service.models.catalogue import Catalogue, CatalogueError
from service.projects.records import Projects
from service.web.audit_trail import STREAM

Level = Literal["ok", "note", "missing"]
_MARKS: Final = {"ok": "✓", "note": "•", "missing": "✗"}
OF: Final = " of "
CODES: Final = frozenset(
    {"redis", "redis_memory", "storage", "disk", "cpu_workers", "gpu_workers", "versions"}
    | {"base_models", "engine", "audit_log"}
)
"""Codes of the subjects that the API checks."""
_MAX_PROJECTS: Final = 3
_MIN_DISK_GIB: Final = 10
_LATE_S: Final = 120.0
"""How long an entry of the audit log may wait beyond its interval before it is a failure."""


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    level: Level
    what: str
    found: str
    how: str = ""
    code: str = ""
    """Stable name of this result, for programs and translations; empty for some results."""

    @property
    def subject_code(self) -> str:
        """Code of the subject, without the name of what is checked."""
        return self.what.partition(OF)[0].lower().replace(" ", "_")

    def __str__(self) -> str:
        line = f"{_MARKS[self.level]} {self.what}: {self.found}"
        return f"{line}\n    → {self.how}" if self.how else line


async def examine(
    redis: Client,
    storage: Storage,
    settings: Settings,
    ready_models: Callable[[], Awaitable[Mapping[str, bool]]],
) -> list[Finding]:
    """Run the checks that an API process can run.

    `ready_models` returns whether an engine serves each base model that has one.
    """
    checks = [storage_in_use(storage, settings), engines(settings, ready_models)]
    server = await redis_server(redis)
    if server[0].level != "missing":
        checks += [redis_memory(redis), fleet(redis), audit_log(redis, settings)]
    found = await asyncio.gather(*checks)
    return [*server, *(finding for group in found for finding in group)]


async def redis_server(redis: Client) -> list[Finding]:
    """Check that Redis answers, is recent enough, and loses nothing."""
    try:
        info = await redis.info()
    except REDIS_ERRORS as e:
        how = "start it, or correct FINETUNED_REDIS_URL"
        return [Finding("missing", "Redis", f"unavailable: {why(e)}", how)]
    if (lack := missing_feature(info)) is not None:
        return [Finding("missing", "Redis", *_what_and_how(lack))]
    if problems := list(durability_problems(info)):
        return [Finding("note", "Redis", *_what_and_how(problem)) for problem in problems]
    return [Finding("ok", "Redis", f"version {info['redis_version']}, which keeps what it is sent")]


def _what_and_how(problem: str) -> tuple[str, str]:
    what, _, how = problem.partition(". ")
    return what, how


async def redis_memory(redis: Client) -> list[Finding]:
    """Report how full the memory of Redis is, and which projects use the most, if it runs."""
    use, projects = RecordUse(redis), Projects(redis)
    try:
        memory = Memory.from_info(await redis.info("memory"))
        sizes = await use.largest(await projects.kept_ids(), _MAX_PROJECTS)
        names = [(project, await projects.get(project), size) for project, size in sizes]
    except REDIS_ERRORS:
        return []
    mib = 2**20
    largest = ", ".join(f"{p.name if p else i} {size / mib:.1f} MiB" for i, p, size in names)
    found = f"{memory.used // mib} MiB in use; the largest projects: {largest or 'none'}"
    if not memory.limit:
        how = "set 'maxmemory' in Redis, so that no project can take all memory of the machine"
        return [Finding("note", "Redis memory", f"no limit; {found}", how)]
    found = f"{memory.used / memory.limit:.0%} of {memory.limit // mib} MiB; {found}"
    if memory.used < LIMITED_AT * memory.limit:
        return [Finding("ok", "Redis memory", found)]
    how = (
        f"above {LIMITED_AT:.0%}, new objects are refused: raise 'maxmemory', delete objects, or "
        "lower 'record_bytes' in the limits of a project"
    )
    return [Finding("missing", "Redis memory", found, how)]


async def storage_in_use(storage: Storage, settings: Settings) -> list[Finding]:
    """Check that the storage of this process answers, and that its disk has room."""
    url = settings.storage_url
    try:
        await storage.check()
    except StorageError as e:
        how = "" if isinstance(e, StorageRefused) else "check AWS_ENDPOINT_URL and the network"
        return [Finding("missing", "storage", f"{url}: {e}", how)]
    findings = [Finding("ok", "storage", f"{url} is readable and writable")]
    if url.startswith("file:"):
        folder = Path(unquote(urlsplit(url).path))
        findings.append(await asyncio.to_thread(disk, folder, "move the storage to a larger disk"))
    return findings


def storage_of(settings: Settings) -> list[Finding]:
    """Check the storage of the settings, if they name one."""
    url = settings.storage_url
    if "storage_url" not in settings.model_fields_set:
        return []  # covered by the disk check
    if not url.startswith("s3://"):
        if unusable := folder_fault(Path(unquote(urlsplit(url).path))):
            return [Finding("missing", "storage", unusable, "correct FINETUNED_STORAGE_URL")]
        return [Finding("ok", "storage", f"{url} is writable")]
    fault = storage_fault(url)
    if fault is None:
        return [Finding("ok", "storage", f"{url} is readable and writable")]
    how = "" if isinstance(fault, StorageRefused) else "check AWS_ENDPOINT_URL and the network"
    return [Finding("missing", "storage", f"{url}: {fault}", how)]


def disk(folder: Path, elsewhere: str) -> Finding:
    """Check that a folder can be written, and that its disk has room.

    `elsewhere` says how to use another one.
    """
    if fault := folder_fault(folder):
        return Finding("missing", "disk", fault, elsewhere)
    place = nearest_folder(folder)
    gib = shutil.disk_usage(place).free / GIB
    if gib >= _MIN_DISK_GIB:
        return Finding("ok", "disk", f"{gib:.0f} GiB free at {place}")
    how = f"free {_MIN_DISK_GIB} GiB, or {elsewhere}"
    return Finding("missing", "disk", f"{gib:.1f} GiB free at {place}", how)


def folder_fault(folder: Path) -> str | None:
    """Return why a folder cannot be written, or created; None if it can be."""
    place = nearest_folder(folder)
    if not place.is_dir():
        return f"{place} is a file, not a folder"
    is_virtual = shutil.disk_usage(place).total == 0  # such as /proc
    return f"{place} cannot be written" if is_virtual or not os.access(place, os.W_OK) else None


def nearest_folder(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    return place


async def fleet(redis: Client) -> list[Finding]:
    """Check that workers take the tasks of each kind, and have the version of this process."""
    alive = await workers.alive(redis)
    findings = []
    for kind, work in (("cpu", "checks files and prepares jobs"), ("gpu", "trains")):
        names = [worker.name for worker in alive if kind in worker.queues]
        what = f"{kind} workers"
        faults = [f"{w.name}: {w.fault}" for w in alive if kind in w.queues and w.fault]
        if kind == "gpu" and faults:
            found = f"{len(faults)} of {len(names)} train nothing; {'; '.join(faults)}"
            how = "run 'finetuned-server doctor' there, and restart the worker after the repair"
            findings.append(Finding("missing", what, found, how))
            continue
        if names:
            findings.append(Finding("ok", what, ", ".join(names)))
            continue
        waiting = (await queue.waiting(redis, queue.QUEUES[kind])).tasks
        found = f"none is running, so nothing {work}; tasks that wait: {waiting}"
        how = f"start one with 'finetuned-server worker --queues {kind}'"
        findings.append(Finding("missing", what, found, how))
    others = sorted({str(worker.version) for worker in alive} - {__version__})
    if others:
        found = f"this process has {__version__}, and workers have {', '.join(others)}"
        how = "complete the upgrade: restart the processes that have the older version"
        findings.append(Finding("note", "versions", found, how))
    return findings


async def engines(
    settings: Settings, ready_models: Callable[[], Awaitable[Mapping[str, bool]]]
) -> list[Finding]:
    """Check that an engine serves each base model of the catalog."""
    try:
        entries = Catalogue(settings.models_file).all()
    except CatalogueError as e:
        return [Finding("missing", "base models", str(e), "fix the file")]
    if not entries:
        how = "add one with 'finetuned-server models add'; 'up' adds the demo model"
        return [Finding("note", "base models", "none yet", how)]
    ready = await ready_models()
    findings = []
    for entry in entries:
        name = f"engine of {entry.id}"
        if entry.id not in ready:
            how = "name its engine in FINETUNED_UPSTREAMS, if it is to be served"
            findings.append(Finding("note", name, "not configured; the model can be trained", how))
        elif ready[entry.id]:
            findings.append(Finding("ok", name, "serves"))
        else:
            how = "start it, or see its log for the cause"
            findings.append(Finding("missing", name, "does not answer", how))
    return findings


async def audit_log(redis: Client, settings: Settings) -> list[Finding]:
    """Check that the entries of the audit log are sealed, and that a witness keeps checkpoints."""
    oldest = await redis.xrange(STREAM, count=1)
    if oldest:
        written_s = int(oldest[0][0].partition(b"-")[0]) / 1000
        late_s = clock.now() - written_s - settings.audit_seal_every_s
        if late_s > _LATE_S:
            found = f"its entries should have been sealed {late_s / 60:.0f} minutes ago"
            how = "start a worker with '--queues cpu', or see its log for the cause"
            return [Finding("missing", "audit log", found, how), *witness(settings)]
    return witness(settings) or [Finding("ok", "audit log", "sealed, and witnessed")]


def witness(settings: Settings) -> list[Finding]:
    """Report that nothing outside of the installation keeps the checkpoints of its audit log."""
    if settings.audit_witness_url is not None or settings.audit_witness_command:
        return []
    found, _, how = NO_WITNESS.partition(": ")
    return [Finding("note", "audit log", found, how)]
