"""The storage quotas of projects."""

from __future__ import annotations

from service.core.cache import LookupCache
from service.core.limits import ProjectLimits, ceiling
from service.core.storage_use import LimitOf, QuotaReached
from service.projects.records import Projects


def storage_quotas(projects: Projects, default: ProjectLimits, *, cache_s: float) -> LimitOf:
    """Return a function that returns the quota of a project in bytes; None if it has none.

    It raises QuotaReached for a project that is being deleted or was. Changes are known everywhere
    within `cache_s`.
    """
    cache = LookupCache(projects.get, ttl_s=cache_s)

    async def quota(project_id: str) -> int | None:
        project = await cache.get(project_id)
        if project is None or project.deleting_since is not None:
            raise QuotaReached(f"The project {project_id} was deleted: it cannot store anything.")
        own = project.limits.storage_bytes
        return ceiling(default.storage_bytes if own is None else own)

    return quota
