"""Base of the tasks that ask engines: what they use, and the signal to stop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from service.config import Settings
from service.core.leases import Leases
from service.core.storage import Storage
from service.evals.access import EngineAccess
from service.files.records import Files
from service.models.registry import ModelRegistry


@dataclass(frozen=True)
class Resources:
    """What the tasks of a worker share."""

    files: Files
    registry: ModelRegistry
    storage: Storage
    leases: Leases
    settings: Settings
    access: EngineAccess


class EngineTask:
    """A task that asks engines. It stops early and hands its work back once `draining` is set."""

    def __init__(self, resources: Resources) -> None:
        self._files = resources.files
        self._registry = resources.registry
        self._storage = resources.storage
        self._leases = resources.leases
        self._settings = resources.settings
        self._access = resources.access
        self.draining = asyncio.Event()  # set when the worker shuts down
