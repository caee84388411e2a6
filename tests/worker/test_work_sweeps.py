"""Sweeps of what deleted work left in storage."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.leases import Leases
from service.jobs.dispatch import Dispatcher
from service.worker.reconciler import Reconciler
from tests.conftest import Api


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("finetuned:exports-swept", "exports"),
        ("finetuned:evals-deleted", "evals"),
        ("finetuned:batches-leftover", "batches"),
    ],
)
async def test_each_sweep_beats_and_an_error_with_one_does_not_keep_the_others(
    api: Api, monkeypatch: Any, key: str, folder: str
):
    """Thousands may wait for a slow storage, during which the worker's probe must not fail."""
    state, names = api.app.state, [f"x-{number}" for number in range(5)]
    steps: list[int] = []
    seen: list[tuple[str, int]] = []

    async def delete_prefix(prefix: str) -> None:
        seen.append((prefix, len(steps)))
        if prefix.endswith("x-0"):
            raise ValueError("a bug")

    monkeypatch.setattr(state.files.storage, "delete_prefix", delete_prefix)
    for name in names:
        if key.endswith("leftover"):
            await state.redis.zadd(key, {f"proj_a/{name}": 1})
        else:
            await state.redis.sadd(key, f"proj_a/{name}")
    reconciler = Reconciler(
        state.redis,
        state.jobs,
        state.files,
        Leases(state.redis, "me", lease_s=api.settings.lease_s),
        api.settings,
        Dispatcher(state.jobs, state.redis, api.settings),
        state.eraser,
        on_step=lambda: steps.append(1),
    )
    await reconciler.once()
    ours = [(prefix, beat) for prefix, beat in seen if f"/{folder}/x-" in prefix]
    assert sorted(prefix for prefix, _ in ours) == [f"proj_a/{folder}/{name}" for name in names]
    assert len({beat for _, beat in ours}) == len(names), "each is a step of its own"
