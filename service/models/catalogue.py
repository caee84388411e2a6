"""The base models that the operator offers: a YAML file.

    models:
      - id: smollm2-135m-instruct
        path: /models/smollm2-135m-instruct
        license: apache-2.0
        context_length: 8192
        languages: [en]
        merged: ["ft:smollm2-135m-instruct:acme:voice:ab12cd"]

The file is read again when it changes, so a model added with `models add` needs no
restart of the api.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from service.models.records import base_of

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?")


class CatalogueError(Exception):
    """The catalogue file is not what it should be."""


class BaseModelEntry(BaseModel):
    """One base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(max_length=128)
    path: Path
    license: str
    context_length: int = Field(gt=0, description="Tokens, prompt and answer together.")
    languages: tuple[str, ...] = ()
    parameters: int | None = Field(default=None, gt=0, description="How many weights it has.")
    created_at: int = 0
    served: bool = Field(default=True, description="Whether `up` starts vLLM for it.")
    merged: tuple[str, ...] = Field(
        default=(),
        description="Trained models of it that have an engine of their own, their weights merged.",
    )

    @property
    def engines(self) -> int:
        """How many engines hold weights of this size, where each has one replica."""
        return self.served + len(self.merged)

    @field_validator("id")
    @classmethod
    def _plain_id(cls, value: str) -> str:
        # An id of ours begins with "ft:"; a base model can never look like one.
        if not _ID.fullmatch(value):
            raise ValueError("an id has letters, digits, '.', '_', '-' and at most one '/'")
        return value

    @model_validator(mode="after")
    def _own_models(self) -> Self:
        for name in self.merged:
            if base_of(name) != self.id:
                raise ValueError(f"merged: '{name}' is no trained model of '{self.id}'")
        if len(set(self.merged)) < len(self.merged):
            raise ValueError("merged: a name stands twice")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[BaseModelEntry] = []

    @field_validator("models")
    @classmethod
    def _unique(cls, value: list[BaseModelEntry]) -> list[BaseModelEntry]:
        seen = [m.id for m in value]
        if doubles := {i for i in seen if seen.count(i) > 1}:
            raise ValueError(f"these ids stand twice: {', '.join(sorted(doubles))}")
        return value


class Catalogue:
    """The base models of one installation."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stamp: tuple[int, int] | None = None
        self._models: dict[str, BaseModelEntry] = {}

    def all(self) -> list[BaseModelEntry]:
        """All entries, in the file's order. Raises CatalogueError for a broken file."""
        self._refresh()
        return list(self._models.values())

    def get(self, model_id: str) -> BaseModelEntry | None:
        """The entry of this id."""
        self._refresh()
        return self._models.get(model_id)

    def add(self, entry: BaseModelEntry) -> None:
        """Append an entry; the file is replaced in one step. Raises CatalogueError."""
        with self._locked():
            self._stamp = None
            if self.get(entry.id):
                raise CatalogueError(f"the catalogue has a model '{entry.id}' already")
            self._write([*self._models.values(), entry])

    def merged(self) -> list[str]:
        """All trained models that have an engine of their own. Raises CatalogueError."""
        return [name for entry in self.all() for name in entry.merged]

    def entry_of(self, name: str) -> BaseModelEntry:
        """The base model of a trained model. Raises CatalogueError where there is none."""
        base = base_of(name)
        entry = None if base is None else self.get(base)
        if entry is None:
            raise CatalogueError(f"'{name[:200]}' is no trained model of a base model here")
        return entry

    def set_merged(self, name: str, merged: bool) -> BaseModelEntry:
        """Give a trained model an engine of its own, or take it away; the base model's entry.

        Asked for what is so already, it changes nothing. Raises CatalogueError.
        """
        with self._locked():
            self._stamp = None
            entry = self.entry_of(name)
            names = [n for n in entry.merged if n != name] + [name] * merged
            changed = entry.model_copy(update={"merged": tuple(names)})
            if set(names) != set(entry.merged):
                self._write([changed if m is entry else m for m in self._models.values()])
        return changed

    def _write(self, entries: list[BaseModelEntry]) -> None:
        rows = [m.model_dump(mode="json") for m in entries]
        part = self.file.with_name(f".{self.file.name}.part")
        part.write_text(yaml.safe_dump({"models": rows}, sort_keys=False), encoding="utf-8")
        os.replace(part, self.file)
        self._stamp = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
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
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp == self._stamp:
            return
        try:
            content = _File.model_validate(yaml.safe_load(self.file.read_text("utf-8")) or {})
        except (yaml.YAMLError, ValidationError) as e:
            raise CatalogueError(f"{self.file.name} is not a catalogue of models: {e}") from e
        self._models = {m.id: m for m in content.models}
        self._stamp = stamp
