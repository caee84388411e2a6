"""Quotas of projects."""

from __future__ import annotations

from typing import Literal

from service.config.limits import ProjectLimits
from tests.conftest import Api


async def leave_room(
    api: Api,
    size: int,
    project: str = "acme",
    kind: Literal["storage_bytes", "record_bytes"] = "storage_bytes",
) -> None:
    """Let a project have this many bytes more, in storage or in Redis."""
    state = api.app.state
    owner = await state.projects.by_name(project)
    use = state.storage_use if kind == "storage_bytes" else state.redis.record_use
    [used] = await use.totals([owner.id])
    await state.projects.limit(owner.id, ProjectLimits.model_validate({kind: used + size}))
