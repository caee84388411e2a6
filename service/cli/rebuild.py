"""Recreates the records of files and models from their manifests in storage.

`rebuild` does this after it has restored the journal, for what is newer. Without a journal, keys,
aliases, limits, usage, evals and job records, including the gates of jobs, stay lost. Files are
checked again. The figures of models come from the evaluations next to them.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from pydantic import ValidationError

from service.audit.checkpoints import BadCheckpoint
from service.audit.stored_log import LogState, compare_with_redis
from service.backup.replay import Replayed
from service.cli.common import public_key, time_text
from service.cli.connections import CommandDetails, record
from service.core import ids
from service.core.encryption.signing import SigningKeyError
from service.core.records import Unreadable
from service.core.redis import Client
from service.core.storage import MANIFEST, Storage, StorageCorrupt, StorageError, StorageMissing
from service.files.records import FileRecord, Files
from service.jobs.evaluation.records import REPORT_FILE
from service.jobs.evaluation.results import figures_by_model
from service.models.catalogue import Catalogue
from service.models.records import NAME, ModelRecord, read_figures, write_figures
from service.models.registry import ModelRegistry
from service.projects.records import NameTaken, Projects
from service.training.contract.adapter_config import CONFIG
from service.training.contract.hyperparameters import highest_rank
from service.verdict.comparison import Comparison
from service.web.audit_events import AuditEvent

log = logging.getLogger(__name__)
_FILE = re.compile(rf"(?P<project>[^/]+)/files/(?P<id>[^/]+)/{re.escape(MANIFEST)}")
_ADAPTER = re.compile(
    rf"(?P<artifact>(?P<project>[^/]+)/jobs/[^/]+/a(?P<attempt>\d+)(?:-\w+)?/(?P<step>step-\d+/)?adapter)/"
    rf"{re.escape(MANIFEST)}"
)
_IMPORTED = re.compile(rf"(?P<artifact>(?P<project>[^/]+)/adapters/[^/]+)/{re.escape(MANIFEST)}")
_COMPARISON = re.compile(
    rf"(?P<artifact>(?P<project>[^/]+)/jobs/[^/]+/a\d+(?:-\w+)?/adapter)/evaluation/"
    rf"{re.escape(REPORT_FILE)}"
)


class Rebuild:
    """One rebuild. Existing records are left unchanged, so it can be run repeatedly."""

    def __init__(self, redis: Client, storage: Storage, catalogue: Catalogue) -> None:
        self._redis = redis
        self._storage = storage
        self._files = Files(redis, storage)
        self._registry = ModelRegistry(redis, catalogue, cache_s=0)
        self._projects = Projects(redis)
        self._names: dict[str, str] = {}  # project names, as found in the names of their models
        self.restored: Counter[str] = Counter()

    async def run(self) -> Counter[str]:
        """Recreate missing records. Returns how many were added, by kind."""
        keys = await self._storage.keys("")
        models = await self._models(keys)
        files = [m for key in keys if (m := _FILE.fullmatch(key))]
        for project_id in sorted({m["project"] for m in files} | {m.project_id for m in models}):
            if ids.is_valid(project_id, ids.PROJECT):
                await self._project(project_id)
        for found in files:
            await self._file(found["project"], found["id"])
        for model in models:
            await self._model(model)
        for key in keys:
            if place := _COMPARISON.fullmatch(key):
                await self._evaluation(place["project"], place["artifact"], key)
        return self.restored

    async def _project(self, project_id: str) -> None:
        if await self._projects.get(project_id) is not None:
            return
        unnamed = f"recovered-{project_id.removeprefix(ids.PROJECT)[:12]}"
        try:
            await self._projects.restore(project_id, self._names.get(project_id, unnamed))
        except NameTaken:
            await self._projects.restore(project_id, unnamed)
        self.restored["projects"] += 1

    async def _file(self, project_id: str, file_id: str) -> None:
        try:
            if await self._files.records.get(project_id, file_id) is not None:
                return
        except Unreadable:
            return  # the record exists, so it is not lost
        if await self._files.is_deleted(project_id, file_id):
            return
        raw = await self._storage.get_bytes(f"{project_id}/files/{file_id}/{MANIFEST}")
        try:
            record = FileRecord.model_validate_json(raw)
        except ValidationError:
            log.warning("the manifest of %s cannot be read: the file is not restored", file_id)
            return
        if (record.project_id, record.id) == (project_id, file_id):
            await self._files.register(record)
            self.restored["files"] += 1

    async def _models(self, keys: Iterable[str]) -> list[ModelRecord]:
        """Return unregistered models whose adapters are in storage, the last attempt of each."""
        keys = list(keys)
        trained = [m for key in keys if (m := _ADAPTER.fullmatch(key))]
        imported = [m for key in keys if (m := _IMPORTED.fullmatch(key))]
        models: dict[str, ModelRecord] = {}
        for place in [*sorted(trained, key=lambda m: int(m["attempt"])), *imported]:
            record = await self._record(place)
            if record is None:
                continue
            self._names[record.project_id] = _project_in(record.id)
            # A registered name without a model belongs to a deleted model.
            if await self._registry.owner(record.id) is None:
                models[record.id] = record
        return list(models.values())

    async def _record(self, place: re.Match[str]) -> ModelRecord | None:
        artifact = place["artifact"]
        try:
            manifest = await self._storage.manifest(artifact)
            record = ModelRecord(
                id=manifest.meta["model"],
                project_id=manifest.meta["project_id"],
                created_at=await self._storage.written_at(f"{artifact}/{MANIFEST}"),
                base_model=manifest.meta["base_model"],
                job_id=manifest.meta.get("job_id"),
                origin=manifest.meta.get("origin"),
                artifact=artifact,
                digest=manifest.digest,
                step=manifest.meta["step"],
                checkpoint=place.groupdict().get("step") is not None,
                gate=manifest.meta.get("gate", {}),
                created_by=manifest.meta.get("created_by", ""),
            )
        except (KeyError, ValidationError, StorageCorrupt, StorageMissing):
            log.warning("the manifest in %s cannot be read: the model is not restored", artifact)
            return None
        ours = NAME.fullmatch(record.id) and record.project_id == place["project"]
        return record if ours else None

    async def _model(self, record: ModelRecord) -> None:
        config = json.loads(await self._storage.get_bytes(f"{record.artifact}/{CONFIG}"))
        await self._registry.register(record, rank=highest_rank(config))
        self.restored["checkpoints" if record.checkpoint else "models"] += 1

    async def _evaluation(self, project_id: str, artifact: str, key: str) -> None:
        """Restore the figures of a model and of its checkpoints, which gates check."""
        try:
            comparison = Comparison.from_json(await self._storage.get_bytes(key))
            measured = figures_by_model(comparison)
        except (msgspec.DecodeError, ValueError, LookupError):
            log.warning("%s cannot be read: its figures are not restored", key)
            return
        model = await self._registered(project_id, comparison.model)
        if model is None or model.artifact != artifact:
            return  # the model was deleted, or it is of another attempt
        for name, found in measured.items():
            if await self._is_without_figures(project_id, name):
                async with self._redis.pipeline(transaction=True) as pipe:
                    write_figures(pipe, project_id, name, found)
                    await pipe.execute()
                self.restored["figures"] += 1

    async def _is_without_figures(self, project_id: str, model: str) -> bool:
        if await self._registered(project_id, model) is None:
            return False
        return await read_figures(self._redis, project_id, model) is None

    async def _registered(self, project_id: str, model: str) -> ModelRecord | None:
        try:
            return await self._registry.get(project_id, model)
        except Unreadable:
            return None


def _project_in(model: str) -> str:
    match = NAME.fullmatch(model)
    return match["project"] if match else ""


class RebuiltLog:
    """Compares the audit log after a loss of Redis with storage, and records the rebuild in it."""

    def __init__(self, redis: Client, storage: Storage, data_dir: Path | None) -> None:
        self._redis = redis
        self._storage = storage
        self._data_dir = data_dir
        self.lines: list[str] = []
        """For the operator."""

    async def note(self, restored: Mapping[str, int], done: Replayed | None) -> None:
        """Look at the log, and record the rebuild in it."""
        counts = dict(restored) | ({"records": done.records} if done else {})
        try:
            keys = [public_key(self._data_dir)]
        except SigningKeyError:
            keys = []
        try:
            found = await compare_with_redis(self._redis, self._storage, keys)
        except (BadCheckpoint, msgspec.DecodeError, StorageError) as e:
            self.lines.append(f"the audit log in storage cannot be read ({e}): run 'audit verify'")
        else:
            whole_until = max(found.newest_at, done.taken_at if done else 0.0)
            counts["audit_entries_sealed"] = found.sealed
            counts["audit_entries_restored"] = found.unsealed
            counts["audit_whole_until"] = int(whole_until)
            self.lines += _lines(found, whole_until)
        await record(self._redis, AuditEvent.INSTALLATION_REBUILT, CommandDetails(counts=counts))


def _lines(found: LogState, whole_until: float) -> list[str]:
    lines = []
    if found.sealed or found.unsealed:
        lines.append(
            f"the audit log continues: {found.sealed:,} entries are sealed in storage, and "
            f"{found.unsealed:,} are from the journal. What was recorded after "
            f"{time_text(whole_until)} is lost"
        )
    else:
        lines.append("the audit log is empty: none of its entries were in storage")
    if not found.is_signed_with:
        lines.append(
            "the key that signed the audit log is not here. Restore its file, or make another one "
            "(see FINETUNED_SIGNING_KEY_FILE), which signs from then on: 'audit verify' then needs "
            "both, as --key OLD.pem --key NEW.pem"
        )
    return lines
