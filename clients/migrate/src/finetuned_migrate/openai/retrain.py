"""Train the old models again on a base model here, and give the results the old names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from finetuned.errors import ApiError, FileRefused, FinetunedError, NotFound
from finetuned.types import FineTuningJob
from pydantic import BaseModel

from finetuned_migrate.openai.request import method_of, obstacles, seed_of
from finetuned_migrate.openai.source import OldModel, Source
from finetuned_migrate.openai.uploads import Uploads

if TYPE_CHECKING:
    from finetuned import Client

OLD_MODEL, OLD_JOB = "openai_model", "openai_job"
"""Keys of a job's metadata, by which a repeated command finds it."""
Say = Callable[[str], None]


class Retrained(BaseModel):
    """The result for one old model. `alias` says whether its name answers here."""

    model: str
    job: str | None = None
    status: str
    new_model: str | None = None
    alias: str | None = None
    reason: str | None = None


class Retraining:
    """One move of an archive's models to a base model of the server.

    Jobs are found by their metadata and files by their names, so a repeated command continues,
    from any machine, and creates nothing twice.
    """

    def __init__(
        self, server: Client, source: Source, base: str, *, say: Say = lambda _: None
    ) -> None:
        self._server, self._source, self._base, self._say = server, source, base, say
        self._uploads = Uploads(server, source, say=say)

    def run(
        self, only: tuple[str, ...] | None = None, *, wait: bool = True, alias: bool = True
    ) -> list[Retrained]:
        """Train the models, or those named, and set the aliases. Raises FinetunedError."""
        begun = [(model, self._begin(model)) for model in self._source.models(only)]
        if not wait:
            return [found for _, found in begun]
        return [
            self._finish(model, found, alias=alias) if found.job else found
            for model, found in begun
        ]

    def _begin(self, model: OldModel) -> Retrained:
        if obstructed := obstacles(model, self._source):
            return Retrained(model=model.name, status="refused", reason=" ".join(obstructed))
        try:
            training = self._checked(model.file("training_file"))
            validation = self._checked(model.file("validation_file"))
            job = self._job(model, training or "", validation)
        except FileRefused as e:
            return Retrained(model=model.name, status="refused", reason=str(e))
        return Retrained(
            model=model.name, job=job.id, status=job.status, new_model=job.fine_tuned_model
        )

    def _checked(self, old_id: str | None) -> str | None:
        """Return a file's ID at the server after its check. Raises FileRefused."""
        if old_id is None or self._source.path(old_id) is None:
            return None
        file = self._server.files.wait(self._uploads.send(old_id))
        self._say(f"checked {old_id}: {file.rows} rows, {file.warnings or 0} warnings")
        return file.id

    def _job(self, model: OldModel, training: str, validation: str | None) -> FineTuningJob:
        old_job = str((model.job or {})["id"])
        metadata = {OLD_MODEL: model.name, OLD_JOB: old_job}
        earlier = jobs_of(self._server, model.name, self._base)
        if (usable := next((job for job in earlier if self._usable(job)), None)) is not None:
            self._say(f"{model.name}: continuing with {usable.id}")
            return usable
        # The number of earlier jobs is part of the key: one that failed may be tried again.
        parts = [self._base, training, validation or "", *metadata.values(), str(len(earlier))]
        job = self._server.fine_tuning.jobs.create(
            model=self._base,
            training_file=training,
            validation_file=validation,
            method=method_of(model),
            seed=seed_of(model),
            suffix=model.suffix,
            metadata=metadata,
            idempotency_key=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        )
        self._say(f"{model.name}: created {job.id}")
        return job

    def _usable(self, job: FineTuningJob) -> bool:
        """Whether a job is on its way, or its model is still there."""
        if job.status in ("failed", "cancelled"):
            return False
        if job.status != "succeeded" or job.fine_tuned_model is None:
            return True
        try:
            self._server.models.retrieve(job.fine_tuned_model)
        except NotFound:
            return False
        return True

    def _finish(self, model: OldModel, found: Retrained, *, alias: bool) -> Retrained:
        job = self._server.fine_tuning.jobs.wait(found.job or "")
        ended = Retrained(
            model=model.name,
            job=job.id,
            status=job.status,
            new_model=job.fine_tuned_model,
            reason=job.error.message if job.error else None,
        )
        if ended.new_model is None or not alias:
            return ended
        state, reason = self._alias(model.name, ended.new_model)
        return ended.model_copy(update={"alias": state, "reason": reason})

    def _alias(self, name: str, target: str) -> tuple[str, str | None]:
        """Make the old name an alias, unless it is one already: `report --move` decides then."""
        try:
            found = self._server.aliases.retrieve(name)
        except NotFound:
            try:
                self._server.aliases.set(name, model=target, if_none_match="*")
            except ApiError as e:
                return "refused", e.message
            return "set", None
        if [one.model for one in found.targets] == [target]:
            return "set", None
        now = ", ".join(one.model for one in found.targets)
        return "kept", f"The alias answers with {now}: `report --move` moves it."


def jobs_of(server: Client, model: str, base: str | None = None) -> list[FineTuningJob]:
    """Return the jobs that train an old model again, newest first."""
    found = server.fine_tuning.jobs.list(metadata={OLD_MODEL: model})
    return [job for job in found if base is None or job.model == base]


def new_model_of(server: Client, model: str, base: str | None = None) -> str:
    """Return the newest new model of an old one. Raises FinetunedError if there is none."""
    for job in jobs_of(server, model, base):
        if job.status == "succeeded" and job.fine_tuned_model is not None:
            return job.fine_tuned_model
    raise FinetunedError(
        f"No finished training repeats {model}.",
        next_step="Run `finetuned leave-openai retrain`.",
    )
