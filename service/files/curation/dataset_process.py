"""Runs tasks of `service.datasets` in child processes with limits of memory and time.

Uploaded files are untrusted input, so a crash or excessive memory use while reading them must not
take down the worker. A task works in a scratch folder, into which its files are downloaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import clock, local_disk
from service.core.child import Child, environment
from service.core.storage import QUOTA, QuotaExceeded, Storage, StorageFull, StorageMissing
from service.datasets.checks.issues import make_issue
from service.datasets.contract.tasks import (
    A,
    CleanSpec,
    Failed,
    ProtocolError,
    ReportSpec,
    Succeeded,
    TaskSpec,
    read_answer,
    read_message,
    write_spec,
)
from service.datasets.formats.options import FormatOptions
from service.files.records import FileRecord, Files

log = logging.getLogger(__name__)

_MODEL = "service.personal_data_model"
_START_S = 120.0  # for the model to load, and for a step that is too long
# Errors that a retry or a larger machine may resolve; they say nothing about the file.
_PASSING = frozenset(
    {"timed_out", "desk_died", "out_of_memory", "file_error", "worker_died", QUOTA}
)

# Libraries in Rust write the first and end the process with SIGABRT.
_ALLOCATION_FAILED = re.compile(
    rb"memory allocation of \d+ bytes failed|^MemoryError", re.MULTILINE
)


class DatasetTaskFailed(Exception):
    """A task on a data set failed. The message is for the owner of the file."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def certain(self) -> bool:
        """Whether the same task would fail again."""
        return self.code not in _PASSING


class DatasetProcess:
    """Starts a child process with the configured limits for each task."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.curation_timeout_s
        self._memory_bytes = settings.curation_memory_bytes
        self._max_unpacked_bytes = settings.max_unpacked_bytes
        self._processes = max(1, (os.cpu_count() or 1) // settings.cpu_tasks)
        self._settings = settings

    def format_of(self, given: Mapping[str, Any] | None) -> FormatOptions:
        """Return the user's format options with the configured size limit."""
        fields = {**(given or {}), "max_unpacked_bytes": self._max_unpacked_bytes}
        return msgspec.convert(fields, FormatOptions)

    async def run(self, spec: TaskSpec[A]) -> A:
        """Run one task and return its answer. Raises DatasetTaskFailed.

        The operator's model for personal data runs before reports, and cleanings that redact. The
        spec is written next to the answer, in the caller's scratch folder. Raises
        ProtocolError if the child process succeeds but its answer does not match the contract.
        """
        spec = msgspec.structs.replace(
            spec, processes=self._processes, memory_bytes=self._memory_bytes
        )
        cleans = isinstance(spec, CleanSpec) and spec.options.personal_data != "keep"
        model = self._settings.personal_data_model
        if model is not None and (cleans or isinstance(spec, ReportSpec)):
            spec = await self._search_with_model(spec, model)
        try:
            last, code = await self._run_child("service.datasets", spec, timeout_s=self._timeout_s)
        except TimeoutError as e:
            raise DatasetTaskFailed(
                "timed_out",
                f"The file could not be read within {self._timeout_s:g} s. Split it into "
                "smaller files.",
            ) from e
        if code != 0:
            stderr = await asyncio.to_thread(spec.result.with_suffix(".log").read_bytes)
            raise failure(last, code, stderr)
        if not isinstance(read_message(last), Succeeded):
            raise ProtocolError("The child process ended with 0, but did not succeed.")
        return await asyncio.to_thread(read_answer, spec)

    async def _search_with_model(self, spec: TaskSpec[A], model: Path) -> TaskSpec[A]:
        """Return the spec with the findings of a model, or with why there are none."""
        findings: Path | None = spec.result.with_suffix(".findings.jsonl")
        limit_s = self._settings.personal_data_model_timeout_s
        device = self._settings.personal_data_model_device
        arguments = (str(model), str(findings), str(limit_s), device)
        env = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
        try:
            seconds = limit_s + _START_S
            last, code = await self._run_child(_MODEL, spec, *arguments, timeout_s=seconds, **env)
            said = last.decode().strip() or f"failed: its process ended with {code}."
        except TimeoutError:
            said, code = "failed: it did not stop in time.", 1
        said = f"The model {model.name} {said}"
        if code != 0:
            log.warning("FINETUNED_PERSONAL_DATA_MODEL: %s", said)
            findings, said = None, f"{said} Only the rules searched."
        return msgspec.structs.replace(spec, model_findings=findings, model_search=said)

    async def _run_child(
        self, module: str, spec: TaskSpec[A], *arguments: str, timeout_s: float, **env: str
    ) -> tuple[bytes, int]:
        """Run a module with a spec. Returns its last line and exit code. Raises TimeoutError."""
        spec_file = spec.result.with_suffix(".spec.json")
        write_spec(spec, spec_file)
        child = await Child.start(
            [sys.executable, "-m", module, str(spec_file), *arguments],
            env=environment() | env,
            stderr=spec.result.with_suffix(".log"),
        )
        try:
            async with asyncio.timeout(timeout_s):
                last = b""
                async for line in child.lines():
                    last = line
                return last, await child.wait()
        finally:
            await child.kill()


def failure(last: bytes, code: int, log: bytes) -> DatasetTaskFailed:
    """Return why a child process failed, given its last message, exit code and stderr."""
    failed = _read_failure(last)
    if (failed is None or failed.code == "worker_died") and _ALLOCATION_FAILED.search(log):
        issue = make_issue("out_of_memory")
        return DatasetTaskFailed(issue.code, f"{issue.message} {issue.fix}")
    if failed is None:
        return DatasetTaskFailed(
            "desk_died", f"The process that read the file ended with {code}. Try again."
        )
    where = f"Line {failed.line}: " if failed.line is not None else ""
    return DatasetTaskFailed(failed.code, f"{where}{failed.message} {failed.fix}")


def _read_failure(last: bytes) -> Failed | None:
    """Return the last message if it is a failure; None if the process died before it wrote one."""
    try:
        message = read_message(last)
    except ProtocolError:
        return None  # killed in the middle of a line
    return message if isinstance(message, Failed) else None


@contextlib.asynccontextmanager
async def scratch_folder(path: Path) -> AsyncIterator[Path]:
    """Provide an empty folder, readable only by this user, that is deleted on exit.

    Raises DatasetTaskFailed if the worker's disk, the storage or the project's quota is full in the
    block.
    """
    try:
        async with local_disk.claimed(path):
            yield path
    except QuotaExceeded as e:
        raise DatasetTaskFailed(QUOTA, str(e)) from e
    except StorageFull as e:
        raise _no_space("The service's storage is full") from e
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        raise _no_space("The worker's disk is full") from e


async def other_file(files: Files, project_id: str, file_id: str, what: str) -> FileRecord:
    """Return another file that a task needs. Raises DatasetTaskFailed if it was deleted."""
    record = await files.get(project_id, file_id, clock.now_s())
    if record is None:
        raise DatasetTaskFailed("file_not_found", f"The {what} {file_id} was deleted.")
    return record


async def fetch(storage: Storage, file: FileRecord, path: Path) -> Path:
    """Download a file's original bytes to `path`. Raises DatasetTaskFailed."""
    return await _fetch(storage, file.content_key, file.sha256, path)


async def fetch_rows(storage: Storage, file: FileRecord, path: Path) -> Path:
    """Download the canonical rows of a checked file to `path`. Raises DatasetTaskFailed."""
    return await _fetch(storage, file.canonical_key, file.canonical, path)


async def _fetch(storage: Storage, key: str, sha256: str | None, path: Path) -> Path:
    try:
        digest = await storage.get_file(key, path)
    except StorageMissing as e:
        raise DatasetTaskFailed(
            "file_error", "The bytes of the file are no longer in storage."
        ) from e
    if digest != sha256:
        raise DatasetTaskFailed("file_error", "The bytes in storage do not match what was written.")
    return path


def _no_space(what: str) -> DatasetTaskFailed:
    return DatasetTaskFailed(
        "file_error", f"{what}. The operator must free space before you try again."
    )
