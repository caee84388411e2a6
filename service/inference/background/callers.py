"""The caller on whose behalf a worker sends requests: the key that asked for the work."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.config.limits import Limits
from service.projects.records import Projects
from service.web.auth import Principal
from service.web.permissions import Role

_KEPT_S = 10.0
# A worker's requests wait behind users' requests in the engine. They are not counted among the
# concurrent requests, so that they do not make the gateway refuse a user.
_NOT_CONCURRENT = Limits(concurrent_requests="unlimited", concurrent_streams="unlimited")


class KeyCaller:
    """The principal of a key. Its limits are read again every few seconds."""

    def __init__(
        self,
        projects: Projects,
        project_id: str,
        key_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._projects = projects
        self._project_id = project_id
        self._key_id = key_id
        self._clock = clock
        self._principal: Principal | None = None
        self._read_at_s = 0.0

    async def __call__(self) -> Principal:
        """Return the principal. A revoked key leaves the limits of its project."""
        now_s = self._clock()
        if self._principal is None or now_s - self._read_at_s > _KEPT_S:
            self._principal, self._read_at_s = await self._read(), now_s
        return self._principal

    async def _read(self) -> Principal:
        project = await self._projects.get(self._project_id)
        key = await self._projects.keys.get(self._project_id, self._key_id)
        return Principal(
            key_id=self._key_id,
            project_id=self._project_id,
            project_name=project.name if project else "",
            role=Role.MEMBER,
            key_limits=_without_concurrency(key.limits if key else Limits()),
            project_limits=_without_concurrency(project.limits if project else Limits()),
        )


def _without_concurrency(limits: Limits) -> Limits:
    return limits.changed(_NOT_CONCURRENT)
