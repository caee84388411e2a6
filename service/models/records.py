"""Trained model records in Redis, and model names."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.core.records import Record
from service.models.marks import MARKS

# ft:<base>:<project>:<suffix>:<id>[:ckpt-step-<N>]; a base ID may contain one slash.
NAME = re.compile(
    r"ft:(?P<base>[A-Za-z0-9._/-]{1,128}):(?P<project>[a-z0-9-]{1,40})"
    rf":(?P<suffix>[\w.{MARKS}-]{{0,64}})"
    r":(?P<id>[a-z0-9]{6,32})(?::ckpt-step-(?P<step>[0-9]{1,9}))?"
)
_NOT_IN_SUFFIX = re.compile(rf"[^\w.{MARKS}-]+")
_EDGES = re.compile(rf"^[{MARKS}-]+|-+$")  # a mark combines with the letter before it
_JOINERS = re.compile("[\u200c\u200d]")  # invisible; used within words in Persian, Hindi etc.


class ModelKind(StrEnum):
    """Kind of a servable model."""

    BASE = "base"
    ADAPTER = "adapter"


class ModelOrigin(BaseModel):
    """Origin of a model that was trained elsewhere and imported."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["imported"] = Field(
        default="imported", description="`imported`: the model was trained elsewhere."
    )
    import_id: str = Field(description="ID of the import.")
    archive_sha256: str = Field(description="SHA-256 digest of the imported archive.")
    base_model_name_or_path: str | None = Field(
        default=None, description="Base model that the adapter's configuration names."
    )
    parity: Literal["unchecked"] = Field(
        default="unchecked",
        description="`unchecked`: the engine's scores were not compared with the trainer's, as "
        "they are for models trained here.",
    )


class ModelRecord(Record):
    """An adapter whose weights never change. Its ID is the model name."""

    base_model: str
    job_id: str | None = None  # None if it was imported
    origin: ModelOrigin | None = None  # None if it was trained here
    artifact: str  # storage folder
    digest: str  # digest of the folder's manifest
    step: int
    checkpoint: bool = False  # saved during the run rather than as its result
    gate: dict[str, str] = Field(default_factory=dict)  # of the job, checked by aliases
    signature: str | None = None  # of the worker that registered it, see signatures.py


def base_of(name: str) -> str | None:
    """The base model in a trained model's name; None if the name has another format."""
    form = NAME.fullmatch(name)
    return None if form is None else form["base"]


def project_of(name: str) -> str | None:
    """The project in a trained model's name; None if the name has another format."""
    form = NAME.fullmatch(name)
    return None if form is None else form["project"]


def is_checkpoint(name: str) -> bool:
    """Whether a name is that of a checkpoint."""
    form = NAME.fullmatch(name)
    return form is not None and form["step"] is not None


def slug(suffix: str) -> str:
    """A suffix normalized for model names: letters of any script, digits, '.', '_' and '-'."""
    plain = unicodedata.normalize("NFC", _JOINERS.sub("", suffix.lower()))
    return _EDGES.sub("", _NOT_IN_SUFFIX.sub("-", plain))[:64]


def model_name(base: str, project: str, suffix: str, tag: str) -> str:
    """The immutable name of a trained model."""
    return f"ft:{base}:{project}:{suffix}:{tag}"


def checkpoint_name(name: str, step: int) -> str:
    """The immutable name of a checkpoint of a trained model."""
    return f"{name}:ckpt-step-{step}"
