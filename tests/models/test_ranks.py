"""Tests of the highest rank of a base model's adapters."""

from __future__ import annotations

import pytest

from service.core.redis import connect
from service.models.adapters import highest_recorded_rank, note_rank, rank_of


@pytest.mark.parametrize(
    ("config", "rank"),
    [
        ('{"r": 8}', 8),
        ('{"r": 8, "rank_pattern": {"q_proj": 32}}', 32),
        ('{"r": 4, "rank_pattern": null}', 4),
    ],
)
def test_the_rank_of_an_adapter_is_its_layers_highest(tmp_path, config, rank):
    (tmp_path / "adapter_config.json").write_text(config)
    assert rank_of(tmp_path) == rank


async def test_the_highest_is_kept_by_base_model(redis_url):
    redis = connect(redis_url)
    await redis.flushdb()
    for base, rank in (("one", 8), ("one", 32), ("two", 64), ("one", 16)):
        async with redis.pipeline(transaction=True) as pipe:
            note_rank(pipe, base, rank)
            await pipe.execute()
    assert [await highest_recorded_rank(redis, name) for name in ("one", "two", "none")] == [
        32,
        64,
        0,
    ]
    await redis.aclose(close_connection_pool=True)
