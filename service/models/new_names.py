"""The parts of a new model's name that a request or chance decides."""

from __future__ import annotations

from service.core import ids
from service.core.errors import BadRequest
from service.models.records import slug

_TAG_CHARS = 12  # 62 bits keep names unique within base model, project and suffix


def new_tag() -> str:
    """Return a new tag, the last part of a model's name."""
    return ids.random_part(_TAG_CHARS)


def checked_suffix(value: str | None) -> str | None:
    """Return a requested suffix as it appears in the name. Raises BadRequest if nothing is left."""
    if value is None:
        return None
    cleaned = slug(value)
    if not cleaned:
        raise BadRequest("A suffix must contain a letter or a digit.", param="suffix")
    return cleaned
