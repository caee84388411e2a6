"""Records of trained models: their names, and the figures that evaluations measured for them.

finetuned:{project}:model-figures   hash: model name → figures by the key of a gate, as JSON
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core import ids
from service.core.errors import BadRequest
from service.core.records import PREFIX, Record, Stored
from service.core.redis import reply, text

# All marks except the variation selectors of plane 14, which are not part of words.
_FIRST, _END = 0x300, 0x20000
_JOINERS = re.compile("[\u200c\u200d]")  # invisible; used within words in Persian, Hindi etc.
_TAG_CHARS = 12  # 62 bits keep names unique within base model, project and suffix
Figures = dict[str, float | str]


def _combining_marks() -> Iterator[str]:
    """Yield ranges: `re` lacks `\\p{M}`, and `\\w` excludes marks.

    Thai vowels and tone marks, and the signs of Hindi and most scripts of South and Southeast Asia,
    are marks, so `\\w+` does not match an entire word in these scripts.
    """
    marks = (c for c in range(_FIRST, _END) if unicodedata.category(chr(c)).startswith("M"))
    for _, group in groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0]):
        run = [mark for _, mark in group]
        yield f"{chr(run[0])}-{chr(run[-1])}"


_COMBINING_MARKS = "".join(_combining_marks())
# ft:<base>:<project>:<suffix>:<id>[:ckpt-step-<N>]; a base ID may contain one slash.
NAME = re.compile(
    r"ft:(?P<base>[A-Za-z0-9._/-]{1,128}):(?P<project>[a-z0-9-]{1,40})"
    rf":(?P<suffix>[\w.{_COMBINING_MARKS}-]{{0,64}})"
    r":(?P<id>[a-z0-9]{6,32})(?::ckpt-step-(?P<step>[0-9]{1,9}))?"
)
_NOT_IN_SUFFIX = re.compile(rf"[^\w.{_COMBINING_MARKS}-]+")
_EDGES = re.compile(rf"^[{_COMBINING_MARKS}-]+|-+$")  # a mark combines with the letter before it


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


class Approval(Stored):
    """A person's approval of the adapter with a digest."""

    id: str
    created_at: int
    approved_by: str  # see `Principal.identity`
    key_id: str
    note: str | None = None
    digest: str


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
    key_id: str = ""  # the key that created its job; empty in records of versions before 0.3
    # Who trained or imported it, see `Principal.identity`; empty in older records.
    created_by: str = ""
    approvals: tuple[Approval, ...] = ()
    signature: str | None = None  # of the worker that registered it, see signatures.py

    @property
    def valid_approvals(self) -> tuple[Approval, ...]:
        """The approvals of the weights that the model has."""
        return tuple(one for one in self.approvals if one.digest == self.digest)


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


def new_tag() -> str:
    """Return a new tag, the last part of a model's name."""
    return ids.random_part(_TAG_CHARS)


def clean_suffix(value: str | None) -> str | None:
    """Return a requested suffix as it appears in the name. Raises BadRequest if nothing is left."""
    if value is None:
        return None
    cleaned = slug(value)
    if not cleaned:
        raise BadRequest("A suffix must contain a letter or a digit.", param="suffix")
    return cleaned


def write_figures(
    pipe: Pipeline, project_id: str, model: str, figures: Mapping[str, float | str]
) -> None:
    """Add the figures of a model's evaluation to a transaction. They replace earlier ones."""
    pipe.hset(_figures_key(project_id), model, msgspec.json.encode(figures).decode())


def forget_figures(pipe: Pipeline, project_id: str, model: str) -> None:
    """Add the deletion of a model's figures to the transaction that deletes the model."""
    pipe.hdel(_figures_key(project_id), model)


async def read_figures(redis: Redis, project_id: str, model: str) -> Figures | None:
    """Return the figures of a model, or None if no evaluation of it was completed."""
    return _parse_figures(await reply(redis.hget(_figures_key(project_id), model)))


async def read_many_figures(
    redis: Redis, models: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Figures | None]:
    """Return the figures of several models, given as project ID and name, in one round trip."""
    async with redis.pipeline(transaction=False) as pipe:
        for project_id, model in models:
            pipe.hget(_figures_key(project_id), model)
        found = await pipe.execute()
    return {model: _parse_figures(raw) for model, raw in zip(models, found, strict=True)}


async def read_all_figures(redis: Redis, project_id: str) -> dict[str, Figures]:
    """Return the figures of all models of a project that were evaluated, by model."""
    found = await reply(redis.hgetall(_figures_key(project_id)))
    return {text(model): msgspec.json.decode(raw, type=Figures) for model, raw in found.items()}


def _parse_figures(raw: bytes | str | None) -> Figures | None:
    return None if raw is None else msgspec.json.decode(raw, type=Figures)


def _figures_key(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:model-figures"
