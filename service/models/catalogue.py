"""Catalog of the base models that the operator offers, stored as a YAML file.

    models:
      - id: smollm2-135m-instruct
        path: /models/smollm2-135m-instruct
        license: apache-2.0
        context_length: 8192
        languages: [en]
        tool_call_parser: hermes
        serving_quantization: nf4

Paths of folders next to the file are written relative to it, so that a data folder can be moved.
The file is reloaded when it changes, so adding a model with `models add` does not require an API
restart.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from service.core.local_disk import sync, sync_folder
from service.web.validation import from_validation

# IDs of trained models start with "ft:", so base model IDs must not contain colons.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_MAX_ID_CHARS = 128
# Previous versions refuse a file with these fields, so they are written only if they were set.
_ONLY_IF_SET = ("serving_quantization", "serving_path")
_PATHS = ("path", "serving_path")
_MODELS = "models"  # the folder of a data folder with the models that were brought there

ServingQuantization = Literal["auto", "none", "fp8", "nf4"]
"""How engines hold the weights of a base model; `auto` lets each engine choose what fits."""


class CatalogueError(Exception):
    """The catalog file or a requested change to it is invalid."""


def check_id(model_id: str) -> str:
    """Return the ID of a base model. Raises ValueError if it is invalid."""
    if not _ID.fullmatch(model_id) or len(model_id) > _MAX_ID_CHARS:
        raise ValueError(
            f"an id can contain letters, digits, '.', '_', '-' and at most one '/', and at most "
            f"{_MAX_ID_CHARS} characters"
        )
    return model_id


class BaseModelEntry(BaseModel):
    """Catalog entry of a base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(max_length=_MAX_ID_CHARS)
    path: Path
    license: str
    context_length: int = Field(gt=0, description="Context length in tokens.")
    languages: tuple[str, ...] = ()
    parameters: int | None = Field(default=None, gt=0, description="Number of parameters.")
    created_at: int = 0
    tool_call_parser: str | None = Field(
        default=None,
        max_length=64,
        description="vLLM's parser of the model's tool calls, or `none`. By default, it is "
        "detected from the chat template.",
    )
    reasoning_parser: str | None = Field(
        default=None,
        max_length=64,
        description="vLLM's parser of the model's thoughts, or `none`. By default, it is detected "
        "from the chat template.",
    )
    served: bool = Field(default=True, description="Whether `up` starts vLLM for it.")
    serving_quantization: ServingQuantization = Field(
        default="auto",
        description="How engines hold the weights: `none` in 16 bits, `fp8` in 8 bits, `nf4` in "
        "the 4 bits of QLoRA, or `auto`, the first of these that fits the GPU.",
    )
    serving_path: Path | None = Field(
        default=None,
        description="Folder of the same model with weights that someone else quantized (AWQ, GPTQ, "
        "FP8), which engines serve in place of `path`. Trainings use `path`.",
    )
    merged: list[object] = Field(default=[], exclude=True)  # of earlier versions; ignored

    @property
    def served_path(self) -> Path:
        """The folder whose weights engines serve."""
        return self.path if self.serving_path is None else self.serving_path

    @field_validator("id")
    @classmethod
    def _plain_id(cls, value: str) -> str:
        return check_id(value)

    @model_validator(mode="after")
    def _quantized_once(self) -> Self:
        if self.serving_path is not None and self.serving_quantization in ("fp8", "nf4"):
            raise ValueError(
                "serving_quantization: the weights in serving_path are quantized already, so leave "
                f"out '{self.serving_quantization}'"
            )
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[BaseModelEntry] = []
    encoders: list[object] = []  # of earlier versions; dropped when the file is written next

    @field_validator("models")
    @classmethod
    def _unique(cls, value: list[BaseModelEntry]) -> list[BaseModelEntry]:
        seen = [m.id for m in value]
        if doubles := {i for i in seen if seen.count(i) > 1}:
            raise ValueError(f"these ids appear twice: {', '.join(sorted(doubles))}")
        return value


class Catalogue:
    """The base model catalog of one installation."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stamp: tuple[int, int] | None = None
        self._models: dict[str, BaseModelEntry] = {}

    def all(self) -> list[BaseModelEntry]:
        """All entries, in file order. Raises CatalogueError if the file is invalid."""
        self._refresh()
        return list(self._models.values())

    def get(self, model_id: str) -> BaseModelEntry | None:
        """The entry with this ID, or None. Raises CatalogueError if the file is invalid."""
        self._refresh()
        return self._models.get(model_id)

    def add(self, entry: BaseModelEntry) -> None:
        """Append an entry and replace the file atomically.

        Raises CatalogueError if the ID is taken or the file is invalid.
        """
        with self._locked():
            self._stamp = None
            if self.get(entry.id):
                raise CatalogueError(f"the catalog already has a model '{entry.id}'")
            self._write([*self._models.values(), entry])

    def remove(self, model_id: str) -> None:
        """Remove an entry and replace the file atomically. The model's files are kept.

        Raises CatalogueError if the file is invalid.
        """
        with self._locked():
            self._stamp = None
            self._write([m for m in self.all() if m.id != model_id])

    def require_writable(self) -> None:
        """Raise CatalogueError if the file cannot be replaced, as in a pod of the chart."""
        folder = self.file.parent
        if folder.exists() and not os.access(folder, os.W_OK):
            raise CatalogueError(
                f"the model catalog {self.file} cannot be changed: its folder is not writable. On "
                "Kubernetes, change 'models' in the values of the chart, and run 'helm upgrade'"
            )

    def _write(self, models: list[BaseModelEntry]) -> None:
        content = {"models": [self._written(m) for m in models]}
        part = self.file.with_name(f".{self.file.name}.part")
        part.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        sync(part.parent, part)
        os.replace(part, self.file)
        sync_folder(self.file.parent)
        self._stamp = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.require_writable()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_name(f".{self.file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refresh(self) -> None:
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            self._stamp, self._models = None, {}
            return
        except OSError as e:
            raise self._unreadable(e) from e
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp == self._stamp:
            return
        try:
            content = _File.model_validate(yaml.safe_load(self.file.read_text("utf-8")) or {})
        except OSError as e:
            raise self._unreadable(e) from e
        except ValidationError as e:
            fault = from_validation(e.errors()).message
            raise CatalogueError(f"{self.file} is not a model catalog: {fault}") from e
        except (yaml.YAMLError, UnicodeDecodeError) as e:
            mark = getattr(e, "problem_mark", None)
            place = "" if mark is None else f", see line {mark.line + 1}"
            raise CatalogueError(f"{self.file} is not valid YAML{place}") from e
        self._models = {m.id: self._located(m) for m in content.models}
        self._stamp = stamp

    def _unreadable(self, error: OSError) -> CatalogueError:
        return CatalogueError(f"the model catalog {self.file} cannot be read: {error.strerror}")

    def _located(self, entry: BaseModelEntry) -> BaseModelEntry:
        """Return an entry whose paths are absolute."""
        update: dict[str, object] = {}
        for name in _PATHS:
            if (path := getattr(entry, name, None)) is not None:
                update[name] = self._found(path)
        return entry.model_copy(update=update) if update else entry

    def _found(self, path: Path) -> Path:
        """Return the path of a model, also if the data folder was moved since it was added."""
        home = self.file.resolve().parent
        if not path.is_absolute():
            return home / path
        if _MODELS in path.parts and not path.exists():
            inside = path.parts[len(path.parts) - path.parts[::-1].index(_MODELS) :]
            moved = home.joinpath(_MODELS, *inside)
            return moved if moved.is_dir() else path
        return path

    def _written(self, entry: BaseModelEntry) -> dict[str, object]:
        unset = {name for name in _ONLY_IF_SET if name not in entry.model_fields_set}
        fields = entry.model_dump(mode="json", exclude=unset)
        home = self.file.resolve().parent
        for name in _PATHS:
            path = getattr(entry, name, None)
            if path is not None and path.resolve().is_relative_to(home):
                fields[name] = str(path.resolve().relative_to(home))
        return fields
