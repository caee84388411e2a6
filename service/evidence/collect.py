"""Collects what is known about a trained model, from the records of all packages below.

A part is a JSON object, and each fact has one source: the schemas of the API, or the passport.
Parts have no text of the data or of prompts, unless it is requested.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.datastructures import State

from service.audit.inclusion import Excerpt, Wanted, excerpt
from service.core import clock
from service.core.storage import StorageCorrupt, StorageMissing
from service.erasure.records import ErasureRecord
from service.erasure.schemas import ErasureReceiptObject
from service.evals.alias_checks.records import CheckRecord
from service.evals.alias_checks.schemas import AliasCheck
from service.exports.records import ExportRecord
from service.exports.schemas import ModelExport
from service.files.curation.records import TaskKind
from service.files.records import FileRecord
from service.jobs.checkpoints import PASSPORT
from service.jobs.evaluation.labels.records import LabelRecord
from service.jobs.evaluation.labels.review import read_reviewed
from service.jobs.evaluation.records import REPORT_FILE, JobEvaluation
from service.jobs.metric_series import latest, read_rows
from service.jobs.records import JobRecord
from service.jobs.schemas.jobs import EventObject, JobObject
from service.models.aliases.schemas import AliasChange, shares
from service.models.approval_routes import ApprovalObject
from service.models.records import ModelRecord
from service.projects.records import ApiKey
from service.web.audit_events import AuditEvent
from service.web.audit_trail import Entry
from service.web.permissions import PERMISSIONS, Permission, Role

_MAX_FILES: Final = 200
_MAX_RELATED: Final = 1000
_MAX_EVENTS: Final = 1000
_MAX_ENTRIES: Final = 5000
_MAX_BASES: Final = 20
MAX_TEXT_BYTES: Final = 64 * 1024 * 1024
_ABOUT_KEYS: Final = ("api_key.", "service_account.", "project.")
_NAMING: Final = ("export.", "alias.")
_STARTS: Final = (*_ABOUT_KEYS, *_NAMING)
_CURATION: Final = (TaskKind.REPORT, TaskKind.CLEANING, TaskKind.MERGE)
_LOSSES: Final = re.compile("step|.*loss.*|.*reward.*|learning_rate")


@dataclass
class Evidence:
    """The parts of the evidence by name, other members by path, and what is missing and why."""

    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, bytes] = field(default_factory=dict)
    missing: list[dict[str, str]] = field(default_factory=list)

    def lacks(self, part: str, reason: str) -> None:
        """Note that something is not in the archive."""
        self.missing.append({"part": part, "reason": reason})


class TooMuchText(Exception):
    """The rows are too large to include."""


class Collector:
    """Collects the evidence of one model. `state` has the resources of the API process."""

    def __init__(self, state: State, model: ModelRecord, *, with_text: bool) -> None:
        self._state = state
        self._model = model
        self._project_id = model.project_id
        self._with_text = with_text
        self._evidence = Evidence()
        self._related: set[str] = {model.id}
        """IDs of the objects that the audit log and erasures may name."""
        self._since = model.created_at

    async def collect(self) -> Evidence:
        """Return the evidence. Raises TooMuchText, REDIS_ERRORS and StorageError."""
        job = await self._job()
        await self._add_model()
        await self._add_lineage(job)
        await self._add_training(job)
        await self._add_evaluation(job)
        aliases, exports = await self._aliases(), await self._exports()
        log = await self._excerpt()
        self._evidence.parts["audit"] = self._shown(log)
        await self._add_approvals(job, log)
        await self._add_access(aliases, log)
        self._add_exports(exports, log)
        await self._add_erasures()
        return self._evidence

    async def _job(self) -> JobRecord | None:
        if self._model.job_id is None:
            self._evidence.lacks("training", "the model was imported")
            return None
        self._related.add(self._model.job_id)
        job: JobRecord | None = await self._state.jobs.get(self._project_id, self._model.job_id)
        if job is None:
            self._evidence.lacks("training", f"the job {self._model.job_id} no longer exists")
        else:
            self._since = min(self._since, job.created_at)
        return job

    async def _add_model(self) -> None:
        model, storage = self._model, self._state.storage
        files = []
        try:
            manifest = await storage.manifest(model.artifact)
            files = [msgspec.to_builtins(file) for file in manifest.files]
            if any(file["path"] == PASSPORT for file in files):
                self._evidence.members[PASSPORT] = await storage.get_bytes(
                    f"{model.artifact}/{PASSPORT}"
                )
        except (StorageMissing, StorageCorrupt) as e:
            self._evidence.lacks("model", f"the adapter's files cannot be read: {e}")
        if PASSPORT not in self._evidence.members:
            why = "it was imported" if model.origin else "the adapter has none"
            self._evidence.lacks(PASSPORT, why)
        fields = {"created_at", "base_model", "job_id", "origin", "digest", "step", "signature"}
        self._evidence.parts["model"] = {
            **model.model_dump(mode="json", include={*fields, "key_id"}),
            "is_checkpoint": model.checkpoint,
            "files": files,
        }

    async def _add_lineage(self, job: JobRecord | None) -> None:
        bases = await self._bases(job)
        first = list(job.files) if job else []
        if self._model.origin is not None:
            task = await self._state.curation.get(self._project_id, self._model.origin.import_id)
            self._related.add(self._model.origin.import_id)
            first += [task.file_id] if task else []
        files: dict[str, FileRecord | None] = {}
        waiting = list(dict.fromkeys(first))
        while waiting and len(files) < _MAX_FILES:
            file_id = waiting.pop(0)
            found = files[file_id] = await self._state.files.get(
                self._project_id, file_id, clock.now_s()
            )
            waiting += [other for other in _sources(found) if other not in files]
        if waiting:
            self._evidence.lacks("lineage", f"{len(waiting)} more files: the limit is {_MAX_FILES}")
        self._related |= files.keys()
        for file_id, found in files.items():
            if found is None:
                self._evidence.lacks("lineage", f"the file {file_id} was deleted or has expired")
            else:
                self._since = min(self._since, found.created_at)
        self._evidence.parts["lineage"] = {
            "training_files": first,
            "continued_from": bases,
            "files": [await self._file(found) for found in files.values() if found is not None],
        }
        if self._with_text:
            await self._add_rows([files[file_id] for file_id in first])

    async def _bases(self, job: JobRecord | None) -> list[dict[str, Any]]:
        """Return the models from which the training continued, the nearest first."""
        bases: list[dict[str, Any]] = []
        while job is not None and job.hyperparameters.warm_start and len(bases) < _MAX_BASES:
            name = job.hyperparameters.warm_start
            found = await self._state.registry.get(self._project_id, name)
            self._related.add(name)
            if found is None:
                self._evidence.lacks("lineage", f"the model {name} was deleted")
                return [*bases, {"model": name}]
            about = found.model_dump(mode="json", include={"created_at", "digest", "job_id"})
            bases.append({"model": name, **about})
            job = (
                await self._state.jobs.get(self._project_id, found.job_id) if found.job_id else None
            )
        return bases

    async def _file(self, file: FileRecord) -> dict[str, Any]:
        """Return a file's digests, what it was made from, and what was decided about its rows."""
        tasks = self._state.curation.collection(file.id)
        found = await tasks.get_many(
            self._project_id, (await tasks.ids(self._project_id))[-_MAX_RELATED:]
        )
        curation = [task for task in found if task.kind in _CURATION]
        self._related |= {task.id for task in curation}
        reviews = self._state.reviews.of(file.id)
        labels = [one.label for one in await reviews.get_many(
            self._project_id, await reviews.ids(self._project_id)
        )]  # fmt: skip
        about = {"kind", "state", "created_at", "finished_at", "key_id", "result"}
        names = {"created_at", "filename", "purpose", "bytes", "sha256", "rows", "warnings"}
        return {
            **file.model_dump(mode="json", include={"id", *names, "key_id", *_SOURCES}),
            "rows_sha256": file.canonical,
            "reviews": {label: labels.count(label) for label in sorted(set(labels))},
            "tasks": [
                {
                    **task.model_dump(mode="json", include={"id", *about}),
                    "options": {k: v for k, v in task.options.items() if k != "format"},
                }
                for task in curation
            ],
        }

    async def _add_rows(self, files: Sequence[FileRecord | None]) -> None:
        known = [file for file in files if file is not None and file.canonical]
        size = 0
        for file in known:
            size += (await self._state.storage.stat(file.canonical_key)).size
        if size > MAX_TEXT_BYTES:
            raise TooMuchText
        for file in known:
            rows = await self._state.storage.get_bytes(file.canonical_key)
            self._evidence.members[f"text/{file.id}.jsonl"] = rows

    async def _add_training(self, job: JobRecord | None) -> None:
        if job is None:
            return
        shown = JobObject.from_record(job).model_dump(mode="json")
        if not self._with_text:
            shown["baseline_prompt"] = _digest_of(shown["baseline_prompt"])
            options = shown["method"][job.method]
            if "grader" in options:  # it may have prompts
                options["grader"] = _digest_of(options["grader"])
        events, has_more = await self._state.jobs.events_before(
            self._project_id, job.id, None, _MAX_EVENTS
        )
        if has_more:
            self._evidence.lacks("training", f"events before the last {_MAX_EVENTS}")
        rows = latest(await read_rows(self._state.jobs, self._state.files, job))
        self._evidence.parts["training"] = {
            "job": shown,
            "created_by": job.key_id,
            "losses": [
                {name: value for name, value in row.items() if _LOSSES.fullmatch(name)}
                for row in rows
            ],
            "events": [
                EventObject.from_record(event).model_dump(mode="json")
                for event in reversed(events)
                if event.type != "metrics"
            ],
        }

    async def _add_evaluation(self, job: JobRecord | None) -> None:
        found = await self._state.evaluations.get(self._project_id, job.id) if job else None
        of_job = None
        if job is None or found is None or found.model != self._model.id:
            other = f": the one of its job is of {found.model}" if found else ""
            self._evidence.lacks("evaluation", f"there is none of this model{other}")
        else:
            of_job = await self._evaluation_of(job, found)
        checks = await self._state.alias_checks.records.page(
            self._project_id, limit=_MAX_RELATED, where=self._is_final_check, oldest_first=True
        )
        self._related |= {check.id for check in checks.items}
        self._evidence.parts["evaluation"] = {
            "of_job": of_job,
            "suites": [
                AliasCheck.from_record(check).model_dump(mode="json") for check in checks.items
            ],
        }

    def _is_final_check(self, check: CheckRecord) -> bool:
        return check.is_final and any(run.model == self._model.id for run in check.runs)

    async def _evaluation_of(self, job: JobRecord, found: JobEvaluation) -> dict[str, Any]:
        shown = {"status", "rows", "error", "verdict", "figures", "gate", "finished_at"}
        reviewed = await read_reviewed(found, self._state.evaluation_labels, self._state.storage)
        evaluation = {
            **reviewed.evaluation.model_dump(mode="json", include=shown),
            "human_review": msgspec.to_builtins(reviewed.review),
            "conditions": job.gate,
            "human_labels": _count_labels(reviewed.labels),
        }
        try:
            report = await self._state.storage.get_bytes(found.key(REPORT_FILE))
        except (StorageMissing, StorageCorrupt):
            self._evidence.lacks("evaluation", "its report is not in storage")
            return evaluation
        if self._with_text:
            self._evidence.members["text/evaluation.json"] = report
        return {**evaluation, "report_sha256": hashlib.sha256(report).hexdigest()}

    async def _add_approvals(self, job: JobRecord | None, log: Excerpt) -> None:
        creators = {
            entry.objects[0]: entry.actor.id
            for entry in log.entries
            if entry.type == AuditEvent.API_KEY_CREATED and entry.objects
        }
        project = await self._state.projects.get(self._project_id)
        replays = () if job is None else job.replays
        self._evidence.parts["approvals"] = {
            "is_required": project is not None and project.four_eyes,
            "approvals": [
                {
                    **ApprovalObject.from_record(one).model_dump(mode="json"),
                    "api_key_created_by": creators.get(one.key_id),
                }
                for one in self._model.valid_approvals
            ],
            "replays": [
                replay.model_dump(mode="json")
                for replay in replays
                if (replay.model, replay.digest) == (self._model.id, self._model.digest)
            ],
        }

    async def _exports(self) -> list[dict[str, Any]]:
        def is_of_model(record: ExportRecord) -> bool:
            return record.model == self._model.id

        page = await self._state.exports.records.page(
            self._project_id, limit=_MAX_RELATED, where=is_of_model, oldest_first=True
        )
        self._related |= {record.id for record in page.items}
        exports = []
        for record in page.items:
            shown = ModelExport.from_record(record).model_dump(mode="json")
            for prompt in ("expected_prompt", "rendered_prompt"):
                (shown["error"] or {}).pop(prompt, None)
            exports.append({**shown, "created_by": record.key_id})
        return exports

    def _add_exports(self, kept: list[dict[str, Any]], log: Excerpt) -> None:
        """Add the exports, of which only the log has those that were deleted or have expired."""
        known = {export["id"] for export in kept}
        self._evidence.parts["exports"] = {
            "exports": kept,
            "no_longer_kept": [
                {"id": entry.objects[0], "created_at": int(entry.at), "created_by": entry.actor.id}
                for entry in log.entries
                if entry.type == AuditEvent.EXPORT_CREATED
                and self._model.id in entry.objects
                and entry.objects[0] not in known
            ],
        }

    async def _add_erasures(self) -> None:
        def is_related(record: ErasureRecord) -> bool:
            return record.subject_id in self._related

        page = await self._state.erasures.records.page(
            self._project_id, limit=_MAX_RELATED, where=is_related, oldest_first=True
        )
        self._related |= {record.id for record in page.items}
        receipts = [
            ErasureReceiptObject.from_record(record).model_dump(mode="json")
            for record in page.items
        ]
        self._evidence.parts["erasures"] = {"receipts": receipts}

    async def _add_access(self, aliases: list[dict[str, Any]], log: Excerpt) -> None:
        sharing = self._state.registry.sharing.records
        permissions = await sharing.page(
            self._project_id, limit=_MAX_RELATED, where=lambda one: one.model == self._model.id
        )
        keys = self._state.projects.keys
        now = [
            key
            for key in await keys.get_many(
                self._project_id, (await keys.ids(self._project_id))[-_MAX_RELATED:]
            )
            if self._may_request(key, aliases)
        ]
        shown = {"id", "name", "role", "created_at", "expires_at", "service_account_id", "models"}
        self._evidence.parts["access"] = {
            "roles": [r for r in Role if Permission.MODEL_REQUEST in PERMISSIONS[r]],
            "keys": [key.model_dump(mode="json", include=shown) for key in now],
            "shared_with": [
                {"project_id": one.grantee, "permission": one.id, "created_at": one.created_at}
                for one in permissions.items
            ],
            "aliases": aliases,
            "requests": _count_requests(log.entries),
        }

    def _may_request(self, key: ApiKey, aliases: Iterable[dict[str, Any]]) -> bool:
        names = {self._model.id, *(alias["id"] for alias in aliases)}
        return Permission.MODEL_REQUEST in PERMISSIONS[key.role] and (
            key.models is None or not names.isdisjoint(key.models)
        )

    async def _aliases(self) -> list[dict[str, Any]]:
        """Return the aliases that point or pointed at the model, with these changes."""
        name, found = self._model.id, []
        aliases = self._state.registry.aliases
        page = await aliases.page(self._project_id, limit=_MAX_RELATED)
        for alias in page.items:
            changes = [
                AliasChange.from_record(change).model_dump(mode="json")
                for change in await self._state.aliases.history(self._project_id, alias.id)
                if any(target.model == name for target in (*change.before, *change.after))
            ]
            if changes or any(target.model == name for target in alias.targets):
                self._related.add(alias.id)
                targets = [share.model_dump(mode="json") for share in shares(alias.targets)]
                found.append({"id": alias.id, "targets": targets, "changes": changes})
        return found

    async def _excerpt(self) -> Excerpt:
        """Return the entries about what is related, and about keys of the project.

        The first entry about an export or an alias names the model, so that those which no longer
        exist become related.
        """

        def match(entry: Entry) -> bool:
            return (
                entry.project_id == self._project_id
                and entry.at >= self._since - 1
                and (entry.type.startswith(_STARTS) or not self._related.isdisjoint(entry.objects))
            )

        texts = [msgspec.json.encode(name) for name in sorted(self._related)]
        texts += [b'"' + start.encode() for start in _STARTS]
        wanted = Wanted(texts, match)
        log = await excerpt(self._state.storage, self._state.redis, wanted, since=self._since)
        for entry in log.entries:
            if entry.type.startswith(_NAMING) and self._model.id in entry.objects:
                self._related.add(entry.objects[0])

        def is_related(entry: Entry) -> bool:
            return entry.type.startswith(_ABOUT_KEYS) or not self._related.isdisjoint(entry.objects)

        log.sealed = [one for one in log.sealed if is_related(one.entry)]
        log.unsealed = [pair for pair in log.unsealed if is_related(pair[0])]
        return log

    def _shown(self, log: Excerpt) -> dict[str, Any]:
        """Return the audit log's entries. Requests to the model are only counted."""
        sealed = [one for one in log.sealed if one.entry.type != AuditEvent.MODEL_REQUESTED]
        if len(sealed) > _MAX_ENTRIES:
            left_out = len(sealed) - _MAX_ENTRIES
            sealed = sealed[:_MAX_ENTRIES]
            self._evidence.lacks("audit", f"{left_out} later entries: the limit is {_MAX_ENTRIES}")
        if log.ended_at is not None:
            self._evidence.lacks("audit", f"entries since {log.ended_at}: the log is too large")
        if log.unreadable:
            self._evidence.lacks(
                "audit",
                f"{len(log.unreadable)} parts of the log that were deleted because of their age, "
                "or are damaged: 'finetuned-server audit verify' says which",
            )
        sizes = {one.size for one in sealed} | {max(log.checkpoints, default=0)}
        return {
            "since": self._since,
            "checkpoints": [
                log.checkpoints[size] for size in sorted(sizes & log.checkpoints.keys())
            ],
            "entries": [
                {
                    "number": one.number,
                    "line": one.line.decode(),
                    "checkpoint_size": one.size,
                    "path": [found.hex() for found in one.path],
                }
                for one in sealed
            ],
            "not_sealed_yet": [
                line.decode()
                for entry, line in log.unsealed[:_MAX_ENTRIES]
                if entry.type != AuditEvent.MODEL_REQUESTED
            ],
        }


_SOURCES: Final = ("derived_from", "cleaning", "merged_from", "merge", "generation", "documents")


def _sources(file: FileRecord | None) -> list[str]:
    """Return the IDs of the files that a file was made from."""
    if file is None:
        return []
    one = [] if file.derived_from is None else [file.derived_from]
    return [*one, *(file.merged_from or ()), *(file.documents or ())]


def _digest_of(value: Any) -> dict[str, str] | None:
    """Return the digest of a text that is left out."""
    if value is None:
        return None
    encoded = msgspec.json.encode(value, order="sorted")
    return {"sha256": hashlib.sha256(encoded).hexdigest()}


def _count_labels(labels: Iterable[LabelRecord]) -> list[dict[str, Any]]:
    """Return by reviewer and pair of columns how often each was better."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for label in labels:
        _, *pair = label.subject
        one = found.setdefault(
            (label.reviewer, *pair),
            {"reviewer": label.reviewer, "compared": pair, "better": dict.fromkeys(pair, 0),
             "ties": 0, "last_at": 0},
        )  # fmt: skip
        if label.winner in one["better"]:
            one["better"][label.winner] += 1
        else:
            one["ties"] += 1
        one["last_at"] = max(one["last_at"], label.labeled_at)
    return [found[key] for key in sorted(found)]


def _count_requests(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return by key how often the model was requested, as far as the log has such entries."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.type == AuditEvent.MODEL_REQUESTED:
            at, count = int(entry.at), entry.counts.get("requests", 1)
            of_key = found.setdefault(
                entry.actor.id, {"key_id": entry.actor.id, "requests": 0, "first_at": at}
            )
            of_key["requests"] += count
            of_key["last_at"] = at
    return list(found.values())
