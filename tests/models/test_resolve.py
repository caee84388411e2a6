"""Tests of name resolution: order, shares and deleted models."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.core.redis import connect
from service.models.aliases.changes import Aliases
from service.models.aliases.records import Target
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.records import ModelKind, ModelRecord
from service.models.registry import ModelInUse, ModelRegistry, ResolvedModel, ServableModel

ADAPTER = "ft:tiny:acme:x:abc123"


def base(name: str) -> BaseModelEntry:
    return BaseModelEntry(id=name, path=f"/models/{name}", license="mit", context_length=2048)


@pytest.fixture
async def registry(redis_url, tmp_path) -> AsyncIterator[ModelRegistry]:
    """An empty registry with two base models and a long cache lifetime."""
    redis = connect(redis_url)
    await redis.flushdb()
    catalogue = Catalogue(tmp_path / "models.yaml")
    catalogue.add(base("tiny"))
    catalogue.add(base("small"))
    yield ModelRegistry(redis, catalogue, cache_s=100)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def aliases(registry) -> Aliases:
    return Aliases(registry.redis, registry, max_per_project=10)


async def add(registry: ModelRegistry, name: str, project: str = "proj_a") -> None:
    await registry.register(
        ModelRecord(
            id=name,
            project_id=project,
            created_at=1,
            base_model="tiny",
            job_id="ftjob-1",
            artifact="a",
            digest="d",
            step=1,
        )
    )


async def name_of(registry: ModelRegistry, name: str) -> tuple[str, str | None] | None:
    found = await registry.resolve("proj_a", name)
    return None if found is None else (found.model.name, found.alias)


async def test_names_resolve_to_base_models_then_adapters_then_aliases(registry, aliases):
    await add(registry, ADAPTER)
    await aliases.put("proj_a", "mine", (Target(model=ADAPTER),), key_id="k")
    assert await name_of(registry, "tiny") == ("tiny", None)
    assert await name_of(registry, ADAPTER) == (ADAPTER, None)
    assert await name_of(registry, "mine") == (ADAPTER, "mine")
    assert await name_of(registry, "nothing") is None
    assert await registry.resolve("proj_b", "mine") is None
    assert await registry.resolve("proj_b", ADAPTER) is None


async def test_find_ignores_aliases(registry, aliases):
    await aliases.put("proj_a", "mine", (Target(model="tiny"),), key_id="k")
    assert await registry.find("proj_a", "mine") is None
    assert (await registry.find("proj_a", "tiny")).kind is ModelKind.BASE


async def test_a_base_model_takes_precedence_over_an_alias(registry, aliases):
    await aliases.put("proj_a", "later", (Target(model="tiny"),), key_id="k")
    assert await name_of(registry, "later") == ("tiny", "later")
    registry.catalogue.add(base("later"))
    registry.forget("proj_a", "later")  # the effect of time
    assert await name_of(registry, "later") == ("later", None)


async def test_a_trained_model_takes_precedence_over_an_alias(registry, aliases):
    """The base model did not exist when the alias was created."""
    name = "ft:newcomer:acme:x:abc123"
    await aliases.put("proj_a", name, (Target(model="tiny"),), key_id="k")
    assert await name_of(registry, name) == ("tiny", name)
    await add(registry, name)
    assert await name_of(registry, name) == (name, None)


@pytest.mark.parametrize("weights", [(90, 10), (50, 50), (1, 99)])
async def test_a_split_follows_the_weights(registry, aliases, weights):
    names = ("tiny", "small")
    targets = tuple(Target(model=m, weight=w) for m, w in zip(names, weights, strict=True))
    await aliases.put("proj_a", "mine", targets, key_id="k")
    requests = 20_000
    seen = Counter([await name_of(registry, "mine") for _ in range(requests)])
    assert set(seen) == {("tiny", "mine"), ("small", "mine")}
    share = weights[0] / 100
    deviation = (requests * share * (1 - share)) ** 0.5
    assert abs(seen["tiny", "mine"] - requests * share) < 6 * deviation


async def test_the_share_of_a_removed_base_model_goes_to_the_other(registry, aliases):
    targets = (Target(model="tiny", weight=90), Target(model="small", weight=10))
    await aliases.put("proj_a", "mine", targets, key_id="k")
    await aliases.put("proj_a", "only", (Target(model="tiny"),), key_id="k")
    file = registry.catalogue.file
    file.write_text("models:\n- {id: small, path: /x, license: mit, context_length: 2048}\n")
    for name in ("mine", "only"):
        registry.forget("proj_a", name)
    assert {await name_of(registry, "mine") for _ in range(50)} == {("small", "mine")}
    assert await name_of(registry, "only") is None


async def test_a_deleted_model_is_gone_from_this_process_too(registry):
    await add(registry, ADAPTER)
    assert await name_of(registry, ADAPTER) == (ADAPTER, None)
    await registry.delete("proj_a", ADAPTER)
    assert await name_of(registry, ADAPTER) is None
    assert await registry.delete("proj_a", ADAPTER) is None
    assert await registry.delete("proj_a", "tiny") is None


async def test_aliases_of_other_projects_do_not_block_deletion(registry, aliases):
    await add(registry, ADAPTER)
    await registry.redis.sadd("finetuned:proj_b:model-aliases:" + ADAPTER, "theirs")
    assert await registry.delete("proj_a", ADAPTER) is not None


async def test_model_in_use_lists_aliases_in_order(registry, aliases):
    await add(registry, ADAPTER)
    for name in ("b", "a"):
        await aliases.put("proj_a", name, (Target(model=ADAPTER),), key_id="k")
    with pytest.raises(ModelInUse) as refused:
        await registry.delete("proj_a", ADAPTER)
    assert refused.value.names == ["a", "b"]


@pytest.mark.parametrize("name", ["", "x" * 513, "ft:" + "x" * 100_000, "a\x00", "\ud800", "日本"])
async def test_invalid_names_are_not_found(registry, name):
    assert await registry.resolve("proj_a", name) is None


def test_resolved_models_are_immutable():
    """One result serves many requests, so it is immutable."""
    resolved: Any = ResolvedModel(ServableModel(name="a", base_model="a", kind=ModelKind.BASE))
    with pytest.raises(AttributeError):
        resolved.alias = "x"
