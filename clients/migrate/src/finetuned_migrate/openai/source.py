"""What an archive says about each old model: its training, its data and its answers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetuned.errors import BadRequest

from finetuned_migrate.openai.archive import MANIFEST, Archive

_MAX_NAMED = 3


@dataclass(frozen=True)
class OldModel:
    """A fine-tuned model of the account, with the job that trained it, if the archive has it."""

    name: str
    job: dict[str, Any] | None = None

    @property
    def base(self) -> str:
        """The name of its base model at OpenAI."""
        return self._parts[1] if self.name.startswith("ft:") else self.name

    @property
    def suffix(self) -> str | None:
        """The suffix in its name."""
        return self._parts[3] or None if len(self._parts) > 4 else None

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is an intermediate checkpoint of a job."""
        return ":ckpt-step-" in self.name

    @property
    def method(self) -> str:
        """The method of its training. Jobs from before there were several are supervised."""
        method = (self.job or {}).get("method") or {}
        return str(method.get("type") or "supervised")

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters of its training."""
        job = self.job or {}
        of_method = ((job.get("method") or {}).get(self.method) or {}).get("hyperparameters")
        return {**(job.get("hyperparameters") or {}), **(of_method or {})}

    def file(self, role: str) -> str | None:
        """The ID of its `training_file` or `validation_file`."""
        return (self.job or {}).get(role)

    @property
    def _parts(self) -> list[str]:
        return self.name.split(":")


@dataclass(frozen=True)
class Profile:
    """What a training file contains that a base model must be able to learn from."""

    rows: int = 0
    with_images: int = 0
    with_tools: int = 0
    longest_bytes: int = 0


class Source:
    """An archive that was recorded completely."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.folder = archive.folder
        self.digests: dict[str, str] = archive.read(MANIFEST)["sha256"]
        self.head: dict[str, Any] = archive.read("archive.json")
        self.files = {file["id"]: file for file in archive.read("files.json")}
        self.evals: list[dict[str, Any]] = archive.read("evals.json") or []
        self.jobs: list[dict[str, Any]] = archive.read("jobs.json")

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Source:
        """Open an archive. Raises BadRequest if it is none, or differs from its manifest."""
        if not (Path(folder) / "archive.json").is_file():
            raise BadRequest(
                f"{folder} is not an archive of `finetuned leave-openai record`.",
                next_step="Name its folder. Unpack it first if it was packed.",
            )
        archive = Archive(folder)
        faults = archive.faults()
        if faults == [MANIFEST]:
            raise BadRequest(
                f"The recording in {folder} is not complete.",
                next_step="Repeat `finetuned leave-openai record`: it continues.",
            )
        if faults:
            raise BadRequest(
                f"{len(faults)} files of {folder} differ from its manifest: "
                f"{', '.join(faults[:_MAX_NAMED])}.",
                next_step="Copy the archive again from where it was recorded.",
            )
        return cls(archive)

    def models(self, only: tuple[str, ...] | None = None) -> list[OldModel]:
        """Return the old models, or those named. Raises BadRequest for an unknown name."""
        names = [str(model["id"]) for model in self._archive.read("models.json")]
        if unknown := sorted(set(only or ()) - set(names)):
            raise BadRequest(
                f"The archive has no model {unknown[0]}.",
                next_step="See the names with `finetuned leave-openai plan`.",
            )
        return [OldModel(name, self._job(name)) for name in names if only is None or name in only]

    def path(self, file_id: str) -> Path | None:
        """Return the path of a file's content; None if it is not in the archive."""
        if file_id not in self.files:
            return None
        path = self._archive.path("files", file_id)
        return path if path.is_file() else None

    def profile(self, file_id: str) -> Profile:
        """Count what the rows of a stored file contain. Lines that are not JSON are left out."""
        path, found = self.path(file_id), Profile()
        if path is None:
            return found
        with path.open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                found = Profile(
                    found.rows + 1,
                    found.with_images + _has(row, "image_url"),
                    found.with_tools + (_has(row, "tool_calls") or _has(row, "tools")),
                    max(found.longest_bytes, len(line)),
                )
        return found

    def prompts(self) -> dict[int, dict[str, Any]]:
        """Return the prompts by number."""
        return {row["index"]: row for row in self._archive.read("prompts.json") or []}

    def answers(self, model: str) -> list[dict[str, Any]]:
        """Return the recorded answers of a model, with the numbers of their prompts."""
        return self._archive.answers(model).rows()

    def _job(self, model: str) -> dict[str, Any] | None:
        trained = [job for job in self.jobs if job.get("fine_tuned_model") == model]
        return max(trained, key=lambda job: int(job.get("created_at") or 0), default=None)


def _has(value: Any, key: str) -> bool:
    """Whether a part of a row has this key with a value."""
    if isinstance(value, dict):
        return bool(value.get(key)) or any(_has(inner, key) for inner in value.values())
    return isinstance(value, list) and any(_has(inner, key) for inner in value)
