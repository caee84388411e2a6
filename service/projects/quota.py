"""The quotas of projects."""

from __future__ import annotations

from service.config.limits import ProjectLimits, ceiling
from service.core.cache import LookupCache
from service.core.storage import QuotaExceeded
from service.projects.records import Projects


class Quotas:
    """How many bytes projects may have. Changes are known everywhere within `cache_s`."""

    def __init__(self, projects: Projects, default: ProjectLimits, *, cache_s: float) -> None:
        self._projects = LookupCache(projects.get, ttl_s=cache_s)
        self._default = default

    async def storage(self, project_id: str) -> int | None:
        """Return the quota of a project in storage; None if it has none.

        Raises QuotaExceeded for a project that is being deleted or was.
        """
        project = await self._projects.get(project_id)
        if project is None or project.deleting_since is not None:
            raise QuotaExceeded(f"The project {project_id} was deleted: it cannot store anything.")
        return ceiling(project.limits.or_default(self._default).storage_bytes)

    async def records(self, project_id: str) -> int | str | None:
        """Return the quota of a project in Redis, `unlimited`, or None for the default."""
        project = await self._projects.get(project_id)
        limits = self._default if project is None else project.limits.or_default(self._default)
        return limits.record_bytes
