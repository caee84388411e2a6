"""Access of workers to the engines on behalf of a project and the key that asked for the work."""

from __future__ import annotations

from dataclasses import dataclass

from service.config import Settings
from service.core.leases import Leases
from service.core.storage import Storage
from service.files.records import Files
from service.inference.background.callers import KeyCaller
from service.inference.background.calls import PRIORITY, EngineCalls, Patience
from service.inference.gateway.cache_salt import cache_salts
from service.inference.upstreams import Upstreams
from service.models.registry import ModelRegistry
from service.projects.records import Projects
from service.usage.meter import Meter


class EngineAccess:
    """Opens requests to engines that are routed, limited and counted like the gateway's."""

    def __init__(
        self,
        *,
        projects: Projects,
        registry: ModelRegistry,
        upstreams: Upstreams,
        meter: Meter,
        settings: Settings,
    ) -> None:
        self._projects = projects
        self._registry = registry
        self._upstreams = upstreams
        self._meter = meter
        self._patience_s = settings.eval_engine_patience_s
        key = settings.upstream_api_key
        self._salt_of = cache_salts(key.get_secret_value() if key else "")

    def salt(self, project_id: str) -> str:
        """Return the salt of the project's prefixes in the engines' caches."""
        return self._salt_of(project_id)

    def calls(
        self,
        project_id: str,
        key_id: str,
        *,
        priority: int = PRIORITY,
        patience_s: float | None = None,
        is_batch: bool = False,
    ) -> EngineCalls:
        """Return the requests of one piece of work, which count as usage of the key.

        `patience_s` is how long they wait for an engine that is down, as configured by default.
        `is_batch` counts them as usage of batches.
        """
        return EngineCalls(
            KeyCaller(self._projects, project_id, key_id),
            registry=self._registry,
            upstreams=self._upstreams,
            meter=self._meter,
            salt=self._salt_of(project_id),
            patience=Patience(self._patience_s if patience_s is None else patience_s),
            priority=priority,
            is_batch=is_batch,
        )


@dataclass(frozen=True)
class Resources:
    """What the tasks of a worker share."""

    files: Files
    registry: ModelRegistry
    storage: Storage
    leases: Leases
    settings: Settings
    access: EngineAccess
