"""Record an OpenAI account's files, jobs, evals and models, and the answers of its models."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetuned.errors import BadRequest

from finetuned_migrate.openai.archive import Archive
from finetuned_migrate.openai.estimate import Estimate
from finetuned_migrate.openai.openai_errors import errors_of
from finetuned_migrate.openai.prompts import Prompts

if TYPE_CHECKING:
    import openai

_PAGE = 100
_GONE = (404, 410)  # what a server without evals answers
_KEPT_PURPOSES = ("fine-tune", "fine-tune-results", "evals")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What to ask the models. `models`: their names; None: all fine-tuned models."""

    max_tokens: int = 512
    requests_per_minute: float = 60.0
    models: tuple[str, ...] | None = None
    price: tuple[float, float] | None = None


@dataclass(frozen=True)
class Summary:
    """What an account has, and what the recording stored or would store."""

    files: int
    file_bytes: int
    jobs: int
    evals: int
    models: list[str]
    estimate: Estimate
    refused: int = 0
    """Number of prompts that a model refused to answer."""


@dataclass(frozen=True)
class _Found:
    files: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    evals: list[dict[str, Any]]
    models: list[str]


class Recorder:
    """One recording of an account into an archive."""

    def __init__(
        self,
        client: openai.OpenAI,
        prompts: Prompts | None = None,
        settings: Settings = Settings(),
        *,
        say: Say = lambda _: None,
    ) -> None:
        self._client = client
        self._prompts = prompts
        self._settings = settings
        self._say = say
        self._pace = _Pace(settings.requests_per_minute)

    def survey(self, archive: Archive | None = None) -> Summary:
        """Return what the account has, and what the answers missing in an archive cost at most.

        Stores nothing. Raises FinetunedError.
        """
        return self._summary(self._found(), archive)

    def record(self, archive: Archive) -> Summary:
        """Store everything that is not yet in the archive, and seal it. Raises FinetunedError."""
        archive.begin(self._head())
        found = self._found()
        archive.write("models.json", [{"id": name} for name in found.models])
        archive.write("jobs.json", found.jobs)
        for job in found.jobs:
            self._details(archive, job["id"])
        archive.write("evals.json", found.evals)
        for one in found.evals:
            archive.write("evals", one["id"], "runs.json", self._runs(one["id"]))
        for file in found.files:
            file["content"] = self._content(archive, file)
        archive.write("files.json", found.files)
        refused = self._answers(archive, found.models)
        archive.seal()
        return self._summary(found, archive, refused)

    def _found(self) -> _Found:
        return _Found(self._files(), self._jobs(), self._evals(), self._models())

    def _head(self) -> dict[str, Any]:
        return {
            "version": 1,
            "base_url": str(self._client.base_url),
            "prompts_sha256": None if self._prompts is None else self._prompts.sha256,
            "max_tokens": self._settings.max_tokens,
        }

    def _summary(
        self,
        found: _Found,
        archive: Archive | None,
        refused: int = 0,
    ) -> Summary:
        settings = self._settings
        missing = [(model, chat) for model, _, chat in self._missing(found.models, archive)]
        return Summary(
            files=len(found.files),
            file_bytes=sum(int(file.get("bytes") or 0) for file in found.files),
            jobs=len(found.jobs),
            evals=len(found.evals),
            models=found.models,
            estimate=Estimate.of(missing, max_tokens=settings.max_tokens, price=settings.price),
            refused=refused,
        )

    def _files(self) -> list[dict[str, Any]]:
        with errors_of("files"):
            found = self._plain(self._client.files.list(limit=_PAGE))
        return [file for file in found if file.get("purpose") in _KEPT_PURPOSES]

    def _jobs(self) -> list[dict[str, Any]]:
        with errors_of("fine-tuning jobs"):
            return self._plain(self._client.fine_tuning.jobs.list(limit=_PAGE))

    def _evals(self) -> list[dict[str, Any]]:
        import openai

        with errors_of("evals"):
            try:
                return self._plain(self._client.evals.list(limit=_PAGE))
            except openai.APIStatusError as e:
                if e.status_code not in _GONE:
                    raise
                self._say("The server no longer has evals, so none are recorded.")
                return []

    def _runs(self, eval_id: str) -> list[dict[str, Any]]:
        """The runs of an eval: their data sources and results, without the single items."""
        with errors_of("the runs of evals"):
            return self._plain(self._client.evals.runs.list(eval_id, limit=_PAGE))

    def _models(self) -> list[str]:
        with errors_of("models"):
            names = [str(model["id"]) for model in self._plain(self._client.models.list())]
        wanted = self._settings.models
        if wanted is None:
            return sorted(name for name in names if name.startswith("ft:"))
        if unknown := sorted(set(wanted) - set(names)):
            raise BadRequest(
                f"The account has no model {unknown[0]}.",
                next_step="See the names with --dry-run.",
            )
        return sorted(set(wanted))

    def _details(self, archive: Archive, job_id: str) -> None:
        """Store a job's events and checkpoints, unless they are stored."""
        jobs = self._client.fine_tuning.jobs
        if archive.read("jobs", job_id, "events.json") is not None:
            return
        with errors_of("fine-tuning jobs"):
            checkpoints = self._plain(jobs.checkpoints.list(job_id, limit=_PAGE))
            archive.write("jobs", job_id, "checkpoints.json", checkpoints)
            archive.write(
                "jobs", job_id, "events.json", self._plain(jobs.list_events(job_id, limit=_PAGE))
            )

    def _content(self, archive: Archive, file: dict[str, Any]) -> str:
        """Store a file's bytes, and return `stored`, or why the server does not give them."""
        import openai

        target = archive.path("files", file["id"])
        if target.exists():
            return "stored"
        self._say(f"file {file['id']} ({file.get('bytes')} bytes)")
        try:
            with errors_of("the content of files", refusals=False):
                self._download(file["id"], target)
        except (openai.BadRequestError, openai.NotFoundError, openai.PermissionDeniedError) as e:
            return f"refused: {e.message[:500]}"
        return "stored"

    def _download(self, file_id: str, target: Path) -> None:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as sink:
                self._pace.wait()
                # Whole: the SDK repeats the request if the connection is lost in the middle.
                sink.write(self._client.files.content(file_id).content)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _missing(
        self, models: Sequence[str], archive: Archive | None
    ) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
        """The prompts that a model has not answered yet, with their numbers."""
        chats = [] if self._prompts is None else self._prompts.chats
        for model in models:
            done = set() if archive is None else archive.answers(model).done
            for index, chat in enumerate(chats):
                if index not in done:
                    yield model, index, chat

    def _answers(self, archive: Archive, models: list[str]) -> int:
        """Ask the models, and return the number of prompts that were refused."""
        if self._prompts is None:
            return 0
        archive.write("prompts.json", self._prompts.numbered())
        refused = 0
        for model in models:
            answers = archive.answers(model)
            for _, index, chat in list(self._missing([model], archive)):
                row = self._ask(model, chat)
                refused += "error" in row
                answers.add(index, row)
            self._say(f"{model}: {len(answers.done)} answers")
        return refused

    def _ask(self, model: str, chat: list[dict[str, Any]]) -> dict[str, Any]:
        import openai

        messages: Any = chat
        self._pace.wait()
        try:
            with errors_of(f"the model {model}", refusals=False):
                answer = self._client.chat.completions.create(
                    model=model,
                    messages=messages,
                    temperature=0,
                    seed=0,
                    max_completion_tokens=self._settings.max_tokens,
                )
        except (openai.BadRequestError, openai.NotFoundError, openai.PermissionDeniedError) as e:
            return {"error": {"code": e.code, "message": e.message[:500]}}
        return {"answer": answer.model_dump(mode="json", exclude_none=True)}

    def _plain(self, first: Any) -> list[dict[str, Any]]:
        """All objects of a list as they were sent, given its first page."""
        found = []
        for page in first.iter_pages():
            self._pace.wait()  # before the next page
            found += [item.to_dict(mode="json", warnings=False) for item in page.data]
        return found


class _Pace:
    """Spaces requests evenly, within a number per minute."""

    def __init__(self, requests_per_minute: float) -> None:
        self._every_s = 60 / requests_per_minute
        self._next = 0.0

    def wait(self) -> None:
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + self._every_s
