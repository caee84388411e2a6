"""Tests of the resolution from names to folders, with real Valkey, storage and files."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from service.core.encryption.signing import SigningKey
from service.core.redis import connect
from service.core.storage import Storage
from service.inference.engine.adapters import (
    AdapterBroken,
    AdapterCache,
    Adapters,
    AdapterUnavailable,
)
from service.models.records import ModelRecord

BASE = "tiny-base"
NAME = f"ft:{BASE}:acme:tone:abc123"
LAYER = "model.layers.0.mlp.up_proj"


def safetensors(shapes: dict[str, tuple[int, int]]) -> bytes:
    header, offset = {}, 0
    for name, (rows, columns) in shapes.items():
        end = offset + 4 * rows * columns
        header[name] = {
            "dtype": "F32",
            "shape": [rows, columns],
            "data_offsets": [offset, end],
        }
        offset = end
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(offset)


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage.from_url(f"file://{tmp_path}/storage")


@pytest.fixture
def make_adapters(registry, storage, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(safetensors({f"{LAYER}.weight": (12, 6)}))

    def make(**options: Any) -> Adapters:
        fetch = storage.get_folder
        cache = AdapterCache(tmp_path / "cache", 1_000_000, fetch, keep_after_use_s=0)
        return Adapters(registry, cache, base_model=BASE, base_path=base, max_rank=8, **options)

    return make


@pytest.fixture
def adapters(make_adapters) -> Adapters:
    return make_adapters()


@pytest.fixture
def put(storage, tmp_path, add_adapter):
    """Store and register an adapter."""

    async def put(name=NAME, *, base=BASE, layer=LAYER) -> None:
        source = tmp_path / "source" / name.replace("/", "_")
        source.mkdir(parents=True)
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": "all-linear"}
        (source / "adapter_config.json").write_text(json.dumps(config))
        weights = {
            f"base_model.model.{layer}.lora_A.weight": (2, 6),
            f"base_model.model.{layer}.lora_B.weight": (12, 2),
        }
        (source / "adapter_model.safetensors").write_bytes(safetensors(weights))
        artifact = f"adapters/{name.rsplit(':', 1)[1]}"
        manifest = await storage.put_folder(artifact, source)
        await add_adapter(name, base=base, artifact=artifact, digest=manifest.digest)

    return put


async def held(adapters: Adapters, name=NAME):
    async with adapters.hold(name) as path:
        return path and sorted(p.name for p in path.iterdir())


async def test_a_registered_one_is_here(adapters, put):
    await put()
    assert await held(adapters) == ["adapter_config.json", "adapter_model.safetensors"]


async def test_with_a_key_only_signed_ones_are_loaded(make_adapters, put, registry):
    """Without a worker's key, nobody can make an engine load others by writing records."""
    ours, theirs = SigningKey.generate(), SigningKey.generate()
    adapters = make_adapters(key=ours.public)
    await put()
    with pytest.raises(AdapterBroken, match="no signature: run 'finetuned-server models sign'"):
        await held(adapters)
    for key, loads in ((theirs, False), (ours, True)):
        adapters = make_adapters(key=ours.public)
        registry._signer = key
        await registry.models.update("proj_acme", NAME, registry.signed)
        if loads:
            assert await held(adapters)
        else:
            with pytest.raises(AdapterBroken, match="not made with this installation's key"):
                await held(adapters)
    # The signature holds for one name and one digest only.
    await put("ft:tiny-base:acme:other:abc124")
    signature = (await registry.get("proj_acme", NAME)).signature

    def forged(record: ModelRecord) -> ModelRecord:
        return record.model_copy(update={"signature": signature})

    await registry.models.update("proj_acme", "ft:tiny-base:acme:other:abc124", forged)
    with pytest.raises(AdapterBroken, match="not made with this"):
        await held(make_adapters(key=ours.public), "ft:tiny-base:acme:other:abc124")


async def test_all_models_of_before_are_signed_at_once(make_adapters, put, registry, tmp_path):
    key = SigningKey.generate()
    await put()
    registry._signer = key
    assert [name async for name in registry.sign_all()] == [NAME]
    assert [name async for name in registry.sign_all()] == []
    assert await held(make_adapters(key=key.public))


@pytest.mark.parametrize(
    "name",
    [
        f"ft:{BASE}:acme:tone:zzz999",
        "gpt-4o",
        "",
        "../../etc/passwd",
        "ft:../../../etc:acme:tone:abc123",
        "ft:tiny-base:acme:../tone:abc123",
        f"{NAME}\n",
        f"{NAME}*",
        "x" * 10_000,
    ],
)
async def test_what_is_not_registered_is_none(adapters, put, tmp_path, name):
    await put()
    assert await held(adapters, name) is None
    assert list((tmp_path / "cache").iterdir()) == []


async def test_one_of_another_base_model_is_none(adapters, put):
    await put(base="other-base")
    assert await held(adapters) is None


async def test_one_that_lands_nowhere_is_broken_and_remembered(adapters, put, tmp_path):
    await put(layer="model.layers.7.mlp.up_proj")
    for _ in range(2):
        with pytest.raises(AdapterBroken, match="no module"):
            await held(adapters)
        shutil.rmtree(tmp_path / "storage", ignore_errors=True)


async def test_storage_away_is_unavailable_and_then_it_works(adapters, put, tmp_path):
    await put()
    (tmp_path / "storage").rename(tmp_path / "unmounted")
    with pytest.raises(AdapterUnavailable):
        await held(adapters)
    (tmp_path / "unmounted").rename(tmp_path / "storage")
    assert await held(adapters)


async def test_redis_away_is_unavailable_for_new_names_alone(adapters, put, registry, closed_port):
    await put()
    await held(adapters)
    away = connect(f"redis://127.0.0.1:{closed_port}", retries=0)
    registry.redis = registry.models.redis = away
    assert await held(adapters)
    with pytest.raises(AdapterUnavailable):
        await held(adapters, f"ft:{BASE}:acme:tone:new001")
    await away.aclose(close_connection_pool=True)


async def test_deleted_ones_are_refused_and_their_files_go(adapters, put, registry, tmp_path):
    other = f"ft:{BASE}:acme:tone:kept01"
    await put()
    await put(other)
    await held(adapters)
    await held(adapters, other)
    async with adapters.hold(NAME):
        await registry.delete("proj_acme", NAME)
        await adapters.forget_deleted()  # in use: next time
    assert len(folders(tmp_path)) == 2
    await adapters.forget_deleted()
    assert len(folders(tmp_path)) == 1
    assert await held(adapters) is None
    assert await held(adapters, other)


async def test_files_of_one_deleted_while_the_engine_was_down(
    make_adapters, put, registry, tmp_path
):
    await put()
    await held(make_adapters())
    await registry.delete("proj_acme", NAME)
    await make_adapters().forget_deleted()
    assert folders(tmp_path) == []


async def test_nothing_is_removed_while_redis_is_away(
    adapters, put, registry, tmp_path, closed_port
):
    await put()
    await held(adapters)
    away = connect(f"redis://127.0.0.1:{closed_port}", retries=0)
    registry.redis = registry.models.redis = away
    with pytest.raises(AdapterUnavailable):
        await adapters.forget_deleted()
    assert len(folders(tmp_path)) == 1
    await away.aclose(close_connection_pool=True)


def folders(tmp_path):
    return [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


@pytest.mark.slow
def test_without_our_variables_the_plugin_does_nothing(monkeypatch):
    resolver = pytest.importorskip("service.inference.engine.resolver")
    monkeypatch.delenv("FINETUNED_ENGINE_MODEL", raising=False)
    resolver.register()
    assert resolver.LoRAResolverRegistry.get_supported_resolvers() == set()


def test_ids_are_stable_positive_and_apart():
    resolver = pytest.importorskip("service.inference.engine.resolver")
    ids = {resolver.stable_id(f"ft:b:acme::{i:06}") for i in range(10_000)}
    assert len(ids) == 10_000
    assert min(ids) > 0
    assert max(ids) < 2**62
    assert resolver.stable_id("ft:b:acme::abcdef") == resolver.stable_id("ft:b:acme::abcdef")
