"""All actors."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.actor.audit import AUDIT
from tests.faults.actor.base import Actor
from tests.faults.actor.expiry import EXPIRY
from tests.faults.actor.files import CURATION, FILES
from tests.faults.actor.jobs import JOBS, TRAINING
from tests.faults.actor.others import EVALS, MODELS
from tests.faults.actor.stored_chats import STORED_CHATS
from tests.faults.actor.uploads import UPLOADS

_AREAS: Mapping[str, tuple[Actor, ...]] = {
    "files": (*FILES, *EXPIRY),
    "uploads": UPLOADS,
    "curation": CURATION,
    "jobs": JOBS,
    "training": TRAINING,
    "models": (*MODELS, *AUDIT),
    "evals": (*EVALS, *STORED_CHATS),
}
NAMES: Mapping[str, list[str]] = {
    area: [actor.name for actor in actors] for area, actors in _AREAS.items()
}
BY_NAME: Mapping[str, Actor] = {actor.name: actor for actors in _AREAS.values() for actor in actors}
