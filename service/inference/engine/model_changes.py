"""The pause between two looks for deleted models, which a deletion ends early.

So an engine removes its copy of a deleted model within seconds. If a message is lost, or Redis is
away, it does so at the end of the pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.core.invalidation import InvalidationKind, Invalidations

_SETTLE_S = 0.5  # so that a deletion of many models is one look


class ModelChanges:
    """Pauses until a model that this engine has is changed."""

    def __init__(
        self, invalidations: Invalidations, has: Callable[[str], bool], *, every_s: float
    ) -> None:
        self._has = has
        self._every_s = every_s
        self._changed = asyncio.Event()
        invalidations.on(InvalidationKind.MODEL, self._note)
        invalidations.on_gap(self._changed.set)

    async def pause(self) -> None:
        """Wait for a change, at most for the interval."""
        try:
            await asyncio.wait_for(self._changed.wait(), self._every_s)
        except TimeoutError:
            return
        await asyncio.sleep(min(_SETTLE_S, self._every_s))
        self._changed.clear()

    def _note(self, _project_id: str, name: str) -> None:
        if self._has(name):
            self._changed.set()
