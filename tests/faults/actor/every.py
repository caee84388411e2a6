"""All actors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.faults.actor.audit import AUDIT
from tests.faults.actor.base import Actor
from tests.faults.actor.expiry import EXPIRY
from tests.faults.actor.files import CURATION, FILES
from tests.faults.actor.jobs import JOBS, TRAINING
from tests.faults.actor.others import EVALS, MODELS
from tests.faults.actor.stored_chats import STORED_CHATS
from tests.faults.actor.uploads import UPLOADS

_ACTORS: Final = (
    *(*FILES, *EXPIRY, *UPLOADS, *CURATION, *JOBS),
    *(*TRAINING, *MODELS, *AUDIT, *EVALS, *STORED_CHATS),
)
BY_NAME: Final[Mapping[str, Actor]] = {actor.name: actor for actor in _ACTORS}
