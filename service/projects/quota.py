"""The storage quotas of projects."""

from __future__ import annotations

from service.core.cache import LookupCache
from service.core.limits import NO_PROJECT_LIMITS, ProjectLimits, ceiling
from service.core.storage_use import LimitOf
from service.projects.records import Projects


def storage_quotas(projects: Projects, default: ProjectLimits, *, cache_s: float) -> LimitOf:
    """Return a function that returns the quota of a project in bytes; None if it has none.

    A changed quota is known everywhere within `cache_s`.
    """

    async def load(project_id: str) -> ProjectLimits:
        project = await projects.get(project_id)
        return NO_PROJECT_LIMITS if project is None else project.limits

    cache = LookupCache(load, ttl_s=cache_s)

    async def quota(project_id: str) -> int | None:
        own = (await cache.get(project_id)).storage_bytes
        return ceiling(default.storage_bytes if own is None else own)

    return quota
