"""Supervises child processes: starts, monitors and restarts them, and stops them together.

Each child leads a process group. Whatever a dead child leaves in its group is killed before the
child is restarted, and all groups are killed at the end, so nothing is left running. The kernel
also kills a child when the supervisor itself dies. Group ids are written to files, so that after a
`kill -9` the next start can clean up the processes that the kernel did not kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import IO

import psutil

from service.core.child import die_with_parent

log = logging.getLogger(__name__)

_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 15.0
_STEADY_S = 60.0  # after this uptime, the backoff starts over
_FAILED_BACKOFF_S = 300.0  # for a failed service: each start may take all cores for a minute
_MAX_LOG_BYTES = 50 * 1024 * 1024
_MAX_RESTARTS = 3  # restarts before a service counts as failed
_LOOK_S, _SLOW_LOOK_S = 0.2, 2.0
_SECRET = re.compile(r"(?:KEY|PASSWORD|SECRET|TOKEN)$")  # not those of files
_SECRET_CHARS = 8
_LOG_SPACE_BYTES = 4096
_MAX_READ_BYTES = 1024 * 1024
_MAX_REASON_CHARS = 300
# Matches what our own commands print before they exit, and Python's exception lines, after the
# prefix that vLLM puts before each line of its processes. vLLM wraps the cause in further
# exceptions, so the first match counts.
_ERROR = re.compile(
    r"^(?:\([^()]*\) )?(?:ERROR [^\]\n]*\] )?"
    r"(?:finetuned-server: |(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): )(?P<what>.+)",
    re.MULTILINE,
)
_LOGGED_BY_VLLM = '"logger": "vllm'
_ERROR_LEVELS = ("ERROR", "CRITICAL")
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*: (?P<what>.+)")
_PYDANTIC = re.compile(r"[0-9]+ validation errors? for ")
_USER = re.compile(r"(?<=://)[^/@\s]*@")
Probe = Callable[[], Awaitable[bool]]


class Stop(IntEnum):
    """When a service stops: services with the same value stop together, lower values first."""

    FIRST = 0
    AFTER_CALLERS = 1
    """After the services that call it."""
    LAST = 2
    """After all others, which write to it until they end. SIGTERM does not reach it."""


@dataclass
class Service:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Probe
    where: str  # shown in the startup messages
    stop: Stop = Stop.FIRST
    stop_s: float = 15.0
    """Time to end after SIGTERM; longer than the process's own limit."""
    files: Sequence[int] = ()
    """Open files that the process inherits, by number."""
    options: Callable[[], Sequence[str]] = tuple
    """Further arguments, which depend on the machine at the time of each start."""
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    restarts: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    """Whether the process asked not to be restarted."""
    failed: bool = field(default=False, init=False)
    """Whether the service failed to start. It is still restarted, at growing intervals."""
    log_start: int = field(default=0, init=False)
    """Offset in the log at which the current process begins."""
    crash_reason: str = field(default="", init=False)
    """Why the last process ended."""


class StartFailed(Exception):
    """A service did not start. The message says why, and where its log is."""


class Supervisor:
    """Starts services in order and keeps them running."""

    def __init__(self, run_dir: Path, log_dir: Path, look_at_logs_every_s: float = 60.0) -> None:
        self._run_dir = run_dir
        self._look_at_logs_every_s = look_at_logs_every_s
        self._log_dir = log_dir
        self._services: list[Service] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping: dict[str, asyncio.Task[None]] = {}
        for folder in (run_dir, log_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def clear_leftovers(self) -> None:
        """Kill processes left behind by an earlier run, identified by pid and start time."""
        for file in self._run_dir.glob("*.fault"):
            file.unlink(missing_ok=True)
        for file in self._run_dir.glob("*.group"):
            with contextlib.suppress(ValueError):
                group, started = file.read_text("ascii").split()
                _kill_group_of(int(group), float(started))
            file.unlink(missing_ok=True)

    async def start(self, service: Service) -> None:
        """Start a service and keep it running."""
        await self._spawn(service)
        if not self._services:
            self.run_alongside(self._rotate_logs())
        self._services.append(service)
        self._keeping[service.name] = asyncio.create_task(self._keep(service))

    async def remove(self, service: Service) -> None:
        """Stop a service, and do not start it again."""
        service.ended = True
        await self._no_longer(self._keeping.pop(service.name))
        await self._end(service)
        self._services.remove(service)

    async def until_ready(self, service: Service, timeout_s: float) -> None:
        """Wait until a service's probe succeeds.

        Raises StartFailed if it does not. The supervisor still keeps the service running.
        """
        deadline = time.monotonic() + timeout_s
        while not await service.ready():
            fault = None
            if service.ended:
                fault = "was removed"
            elif service.restarts > _MAX_RESTARTS:
                fault = "keeps dying"
            elif time.monotonic() > deadline:
                fault = f"did not become ready within {timeout_s:.0f} s"
            if fault is not None:
                raise StartFailed(self._failed(service, fault))
            await asyncio.sleep(_LOOK_S)

    def when_ready(self, service: Service, then: Callable[[], None]) -> None:
        """Call `then` when a failed service becomes ready."""

        async def wait() -> None:
            while not service.ended:
                await asyncio.sleep(_SLOW_LOOK_S)
                if await service.ready():
                    service.failed = False
                    self._fault_file(service).unlink(missing_ok=True)
                    then()
                    return

        if not service.ended:
            self._tasks.append(asyncio.create_task(wait()))

    def run_alongside(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine until the services stop."""
        self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """Stop all services, in the order of `Stop`. Those that do not end in time are killed."""
        await self._no_longer(*self._tasks, *self._keeping.values())
        for order in Stop:
            await asyncio.gather(*(self._end(one) for one in self._services if one.stop == order))

    @staticmethod
    async def _no_longer(*running: asyncio.Task[None]) -> None:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _spawn(self, service: Service) -> None:
        with self._log(service) as sink:
            service.process = await asyncio.create_subprocess_exec(
                *service.argv,
                *service.options(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=dict(service.env),
                start_new_session=True,
                preexec_fn=partial(_begin, service.stop),
                pass_fds=service.files,
            )
        pid = service.process.pid
        with contextlib.suppress(psutil.NoSuchProcess, OSError):  # the disk may be full
            started = psutil.Process(pid).create_time()
            self._group_file(service).write_text(f"{pid} {started}", "ascii")

    def _log(self, service: Service) -> IO[bytes]:
        """Open the log of a process that is about to start, or nothing if the disk is full."""
        log_file = self._log_file(service)
        try:
            self._rotate(service)
            sink = log_file.open("ab")
        except OSError as e:
            log.warning("the log of %s cannot be written: %s", service.name, e.strerror)
            sink = Path(os.devnull).open("ab")  # noqa: SIM115 - the caller closes it
        service.log_start = sink.tell()
        return sink

    def _rotate(self, service: Service) -> None:
        """Empty a log that has become large, and keep a copy. Its process appends to the file."""
        log_file = self._log_file(service)
        if log_file.exists() and log_file.stat().st_size > _MAX_LOG_BYTES:
            shutil.copyfile(log_file, log_file.with_suffix(".log.1"))
            os.truncate(log_file, 0)
            service.log_start = 0

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(self._look_at_logs_every_s)
            for service in self._services:
                with contextlib.suppress(OSError):  # the disk may be full
                    await asyncio.to_thread(self._rotate, service)

    async def _keep(self, service: Service) -> None:
        delay_s = _BACKOFF_S
        while True:
            assert service.process is not None
            began = time.monotonic()
            code = await service.process.wait()
            _kill_group(service.process.pid)
            service.crash_reason = self._crash_reason_of(service)
            if time.monotonic() - began > _STEADY_S and not service.failed:
                delay_s = _BACKOFF_S
            log.warning(
                "%s ended with %d and restarts in %.1f s%s",
                service.name,
                code,
                delay_s,
                f": {service.crash_reason}" if service.crash_reason else "",
            )
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _FAILED_BACKOFF_S if service.failed else _MAX_BACKOFF_S)
            service.restarts += 1
            await self._spawn(service)

    async def _end(self, service: Service) -> None:
        self._fault_file(service).unlink(missing_ok=True)
        process = service.process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT if service.stop == Stop.LAST else signal.SIGTERM)
        try:
            async with asyncio.timeout(service.stop_s):
                await process.wait()
        except TimeoutError:
            log.warning(
                "%s did not stop within %.0f s and is killed",
                service.name,
                service.stop_s,
            )
        _kill_group(process.pid)
        await process.wait()
        self._group_file(service).unlink(missing_ok=True)

    def _failed(self, service: Service, fault: str) -> str:
        """Mark the service as failed, and write the reason to a file for later readers."""
        service.failed = True
        log_file = self._log_file(service)
        reason = service.crash_reason or self._crash_reason_of(service)
        text = f"{service.name} {fault}{f': {reason}' if reason else ''}; see {log_file}"
        with contextlib.suppress(OSError):  # the disk may be full
            self._fault_file(service).write_text(text, "utf-8")
        return text

    def _crash_reason_of(self, service: Service) -> str:
        secrets = (
            v for k, v in service.env.items() if _SECRET.search(k) and len(v) >= _SECRET_CHARS
        )
        found = crash_reason(self._log_file(service), service.log_start, secrets)
        if not found and shutil.disk_usage(self._log_dir).free < _LOG_SPACE_BYTES:
            return f"no space is left on the disk of {self._log_dir}"
        return found

    def _log_file(self, service: Service) -> Path:
        return self._log_dir / f"{service.name}.log"

    def _fault_file(self, service: Service) -> Path:
        return self._run_dir / f"{service.name}.fault"

    def _group_file(self, service: Service) -> Path:
        return self._run_dir / f"{service.name}.group"


def _begin(stop: Stop) -> None:
    """Prepare a child before exec."""
    if stop == Stop.LAST:
        # systemd sends SIGTERM to every process of a service, and the others still need this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    die_with_parent()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _kill_group_of(group: int, leader_started: float) -> None:
    """Kill a process group of an earlier run, unless its id now belongs to another process."""
    try:
        leader_is_other = psutil.Process(group).create_time() != leader_started
    except psutil.NoSuchProcess:
        leader_is_other = False  # the leader died; only its children can hold the id
    if not leader_is_other:
        _kill_group(group)


def crash_reason(log: Path, start: int, secrets: Iterable[str] = ()) -> str:
    """Return the first error in a log from `start` on, or else its last line, without secrets.

    Passwords in URLs are removed too. Empty for an empty log.
    """
    reason = _USER.sub("", _read_reason(log, start))
    for secret in secrets:
        reason = reason.replace(secret, "***")
    return reason[:_MAX_REASON_CHARS]


def _read_reason(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - _MAX_READ_BYTES))
            text = file.read().decode("utf-8", "replace")
        text = "\n".join(map(_without_json, text.split("\n")))
    except FileNotFoundError:
        return ""
    found = _ERROR.search(text)
    if found is None:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return _last_logged_error(lines) or next(reversed(lines), "")
    what = found["what"].strip()
    if _PYDANTIC.match(what):  # the actual error is on the next line
        what = text[found.end() :].strip().partition("\n")[0].strip()
    return what


def _without_json(line: str) -> str:
    """Return the traceback or message of an error that vLLM has logged, and other lines as is."""
    if _LOGGED_BY_VLLM in line:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["level"] in _ERROR_LEVELS:
                return str(record.get("exc_info") or record["message"])
    return line


def _last_logged_error(lines: Sequence[str]) -> str:
    """Return the last error in JSON logs, preferably one with a traceback."""
    errors: list[str] = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["level"] in _ERROR_LEVELS:
                errors.append(record.get("exc_info") or record["message"])
    raised = [error for error in errors if "Traceback" in error]
    last = next(reversed(raised or errors), "").strip().rpartition("\n")[2]
    found = _RAISED.fullmatch(last)
    return found["what"] if found else last
