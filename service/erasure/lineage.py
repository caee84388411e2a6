"""Finds what was made from a file: the jobs that read it, their models, and files."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from service.core.records import Collection, Record
from service.core.redis import batched
from service.files.records import FileRecord, Files
from service.jobs.records import JobRecord, Jobs
from service.models.registry import ModelRegistry

R = TypeVar("R", bound=Record)
L = TypeVar("L", bound=msgspec.Struct)
_READ_AT_ONCE = 500


class _Mixed(msgspec.Struct):
    file: str


class _JobLinks(msgspec.Struct):
    """The fields of a job's record that name files. They are decoded in 2 µs."""

    id: str
    training_file: str
    validation_file: str | None = None
    mixed_files: list[_Mixed] = []

    def reads(self, file_id: str) -> bool:
        """Return whether the job reads the file."""
        mixed = (one.file for one in self.mixed_files)
        return file_id in (self.training_file, self.validation_file, *mixed)


class _FileLinks(msgspec.Struct):
    """The fields of a file's record that name other files."""

    id: str
    derived_from: str | None = None
    merged_from: list[str] | None = None
    documents: list[str] | None = None

    def comes_from(self, file_id: str) -> bool:
        """Return whether the file was made from the other one."""
        sources = (self.derived_from, *(self.merged_from or ()), *(self.documents or ()))
        return file_id in sources


@dataclass(frozen=True)
class Descendants:
    """What was made from a file."""

    jobs: list[JobRecord] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


async def find_descendants(
    file: FileRecord, files: Files, jobs: Jobs, registry: ModelRegistry
) -> Descendants:
    """Return the jobs that read a file, their existing models, checkpoints included, and files."""
    file_id, project_id = file.id, file.project_id
    links = await _links(jobs.records, project_id, _JobLinks)
    readers = await jobs.records.get_many(project_id, [j.id for j in links if j.reads(file_id)])
    names: list[str] = []
    for job in readers:
        names += await _models_of(jobs, job)
    found = {record.id for record in await registry.named_models(project_id, names)}
    made = await _links(files.records, project_id, _FileLinks)
    return Descendants(
        jobs=readers,
        models=[name for name in names if name in found],
        files=[other.id for other in made if other.comes_from(file_id)],
    )


async def _models_of(jobs: Jobs, job: JobRecord) -> list[str]:
    checkpoints = jobs.checkpoints(job.id)
    found = await checkpoints.get_many(job.project_id, await checkpoints.ids(job.project_id))
    final = [] if job.fine_tuned_model is None else [job.fine_tuned_model]
    return list(dict.fromkeys([*final, *(checkpoint.model for checkpoint in found)]))


async def _links(records: Collection[R], project_id: str, kind: type[L]) -> list[L]:
    """Return the links of all readable records of a project."""
    decoder = msgspec.json.Decoder(kind)
    links: list[L] = []
    for some in batched(await records.ids(project_id), _READ_AT_ONCE):
        for raw in await records.redis.mget([records.key(project_id, one) for one in some]):
            with contextlib.suppress(msgspec.ValidationError):  # only a newer version can read it
                links += [] if raw is None else [decoder.decode(raw)]
    return links
