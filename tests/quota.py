"""Storage quotas of projects."""

from __future__ import annotations

from service.core.limits import ProjectLimits
from tests.conftest import Api


async def leave_room(api: Api, size: int, project: str = "acme") -> None:
    """Let a project store this many bytes more."""
    state = api.app.state
    owner = await state.projects.by_name(project)
    [used] = await state.storage_use.totals([owner.id])
    await state.projects.limit(owner.id, ProjectLimits(storage_bytes=used + size))
