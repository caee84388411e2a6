"""Which base models here fit each old model, what differs, and what is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuned.errors import BadRequest, Conflict, FileRefused, NotFound
from finetuned.types import DatasetReportContent, FineTuningEstimate, Model
from pydantic import BaseModel

from finetuned_migrate.openai.request import differences, method_of, obstacles, seed_of
from finetuned_migrate.openai.source import OldModel, Profile, Source
from finetuned_migrate.openai.uploads import Uploads

if TYPE_CHECKING:
    from finetuned import Client

_SPOKEN_SHARE = 0.1  # a language of fewer rows does not decide about a base model
_UNKNOWN_LANGUAGE = "und"
_BYTES_PER_TOKEN = 4
_UNSUPPORTED_SOURCES = ("logs", "stored_completions")


class Fit(BaseModel):
    """How well a base model fits. `fits` is None if not everything is known.

    Memory is in bytes. The memory and the time are unknown until the training file is uploaded.
    """

    base: str
    fits: bool | None
    reasons: list[str]
    license: str | None
    context_length: int | None
    languages: list[str]
    served: bool | None
    device: str | None = None
    memory: int | None = None
    available_memory: int | None = None
    expected_s: int | None = None
    low_s: int | None = None
    high_s: int | None = None


class ModelPlan(BaseModel):
    """The plan for one old model."""

    model: str
    old_base: str
    method: str
    job: str | None
    rows: int
    languages: list[str]
    answers: int
    migrates: bool
    obstacles: list[str]
    differences: list[str]
    bases: list[Fit]


class LeftBehind(BaseModel):
    """Something in the archive that is not moved to the server."""

    what: str
    reason: str


class Plan(BaseModel):
    """The plan for an archive and a server."""

    server: str
    models: list[ModelPlan]
    left_behind: list[LeftBehind]


class Planner:
    """Plans the move of an archive to a project of the server."""

    def __init__(
        self,
        server: Client,
        source: Source,
        *,
        upload: bool = False,
        uploads: Uploads | None = None,
    ) -> None:
        self._server, self._source, self._upload = server, source, upload
        self._uploads = uploads or Uploads(server, source)

    def plan(self, only: tuple[str, ...] | None = None, base: str | None = None) -> Plan:
        """Return the plan for all models and all base models, or those named.

        With `upload`, the training files are uploaded, and the server measures them. Raises
        FinetunedError.
        """
        bases = [m for m in self._server.models.list() if m.license is not None]
        if base is not None and not (bases := [m for m in bases if m.id == base]):
            raise NotFound(f"The server has no base model {base}.")
        models = [self._model(model, bases) for model in self._source.models(only)]
        return Plan(server=self._server.base_url, models=models, left_behind=self._left_behind())

    def _model(self, model: OldModel, bases: list[Model]) -> ModelPlan:
        obstructed = obstacles(model, self._source)
        training = model.file("training_file") or ""
        profile = self._source.profile(training)
        file_id, report = None, None
        if not obstructed:
            file_id = self._uploads.send(training) if self._upload else self._uploads.find(training)
        if file_id is not None:
            try:
                self._server.files.wait(file_id)
                report = self._server.datasets.report(file_id=file_id)
            except FileRefused as e:
                obstructed = [str(e)]
        spoken = [] if report is None else _spoken(report)
        return ModelPlan(
            model=model.name,
            old_base=model.base,
            method=model.method,
            job=model.job and str(model.job["id"]),
            rows=profile.rows,
            languages=spoken,
            answers=sum("answer" in row for row in self._source.answers(model.name)),
            migrates=not obstructed,
            obstacles=obstructed,
            differences=[] if obstructed else differences(model, self._source, profile),
            bases=[]
            if obstructed
            else [self._fit(model, one, profile, file_id, report) for one in bases],
        )

    def _fit(
        self,
        model: OldModel,
        base: Model,
        profile: Profile,
        file_id: str | None,
        report: DatasetReportContent | None,
    ) -> Fit:
        languages = base.languages or []
        against: list[str] = []
        open_questions: list[str] = []
        if report is None:
            open_questions.append("memory, time and languages are known once the file is uploaded")
        else:
            unspoken = [one for one in _spoken(report) if languages and one not in languages]
            against += [f"it is not made for the language {one}" for one in unspoken]
        against += _too_long(base, profile, report)
        if base.available is False:
            open_questions.append("no engine serves it at the moment")
        found, refusal = self._estimate(model, base.id, file_id)
        if refusal is not None:
            against.append(refusal)
        if found is not None and found.fits is None:
            open_questions.append("no worker is online, so memory is not compared")
        if found is not None and found.fits is False:
            against.append(found.advice or "it does not fit a worker's memory")
        memory, duration = found and found.memory, found and found.duration
        unknown = found is None or found.fits is None
        return Fit(
            base=base.id,
            fits=False if against else None if unknown else True,
            reasons=against + open_questions,
            license=base.license,
            context_length=base.context_length,
            languages=languages,
            served=base.available,
            device=found.device if found else None,
            memory=memory.total if memory else None,
            available_memory=memory.available if memory else None,
            expected_s=duration.expected if duration else None,
            low_s=duration.low if duration else None,
            high_s=duration.high if duration else None,
        )

    def _estimate(
        self, model: OldModel, base: str, file_id: str | None
    ) -> tuple[FineTuningEstimate | None, str | None]:
        """Return the server's estimate, or why it refuses such a job."""
        if file_id is None:
            return None, None
        try:
            found = self._server.fine_tuning.jobs.wait_for_estimate(
                model=base,
                training_file=file_id,
                method=method_of(model),
                seed=seed_of(model),
            )
        except (BadRequest, Conflict) as e:
            return None, e.message
        return found, None

    def _left_behind(self) -> list[LeftBehind]:
        source = self._source
        ended = [job for job in source.jobs if job.get("status") != "succeeded"]
        results = [f for f in source.files.values() if f.get("purpose") == "fine-tune-results"]
        missing = [f for f in source.files.values() if f.get("content") != "stored"]
        hosted = [e for e in source.evals if _source_of(e) in _UNSUPPORTED_SOURCES]
        others = [e for e in source.evals if _source_of(e) not in _UNSUPPORTED_SOURCES]
        found = [
            (len(ended), "jobs without a model", "they failed or were canceled"),
            (len(results), "files with results", "they describe trainings at OpenAI"),
            (len(missing), "files without content", "OpenAI did not give them"),
            (
                len(hosted),
                "evals of stored chats",
                "`finetuned evals import` creates them here, without the chats at OpenAI",
            ),
            (
                len(others),
                "evals",
                "`report --eval` uses their graders; `finetuned evals import` creates them here",
            ),
        ]
        return [LeftBehind(what=f"{n} {what}", reason=why) for n, what, why in found if n]


def _spoken(report: DatasetReportContent) -> list[str]:
    spoken = [one.name for one in report.languages if one.share >= _SPOKEN_SHARE]
    return [name for name in spoken if name != _UNKNOWN_LANGUAGE]


def _too_long(base: Model, profile: Profile, report: DatasetReportContent | None) -> list[str]:
    if base.context_length is None:
        return []
    counted = [t.tokens.max for t in report.tokens if t.model == base.id] if report else []
    longest = counted[0] if counted else profile.longest_bytes // _BYTES_PER_TOKEN
    if longest <= base.context_length:
        return []
    about = "" if counted else "about "
    return [f"the longest row has {about}{longest} tokens, its context {base.context_length}"]


def _source_of(one: dict[str, object]) -> object:
    config = one.get("data_source_config")
    return config.get("type") if isinstance(config, dict) else None
