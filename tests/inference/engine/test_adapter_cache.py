"""Tests of the engine's adapter folder, with real files and storage."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from service.core.storage import Storage, StorageCorrupt, StorageError
from service.inference.engine.adapters import AdapterCache


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage.from_url(f"file://{tmp_path}/storage")


@pytest.fixture
def put(storage, tmp_path):
    """Store an adapter of this many bytes, and return its digest."""

    async def put(name: str, size: int = 1000) -> str:
        source = tmp_path / "source" / name
        source.mkdir(parents=True)
        (source / "adapter_model.safetensors").write_bytes(name[:1].encode() * size)
        return (await storage.put_folder(f"adapters/{name}", source)).digest

    return put


@pytest.fixture
def fetches() -> list[str]:
    return []


@pytest.fixture
def make_cache(storage, tmp_path, fetches):
    def make(max_bytes=10_000, clock=None, keep_after_use_s=0.0) -> AdapterCache:
        async def fetch(prefix, path):
            fetches.append(prefix)
            await asyncio.sleep(0.01)
            return await storage.get_folder(prefix, path)

        return AdapterCache(
            tmp_path / "cache",
            max_bytes,
            fetch,
            keep_after_use_s=keep_after_use_s,
            clock=clock or Clock(),
        )

    return make


async def test_many_at_once_fetch_once(make_cache, put, fetches):
    digest, cache = await put("a"), make_cache()

    async def use():
        async with cache.hold("adapters/a", digest, name="a") as path:
            return (path / "adapter_model.safetensors").read_bytes()

    assert set(await asyncio.gather(*(use() for _ in range(50)))) == {b"a" * 1000}
    assert fetches == ["adapters/a"]


async def test_one_caller_that_leaves_does_not_stop_the_others(make_cache, put, fetches):
    digest, cache = await put("a"), make_cache()

    async def use():
        async with cache.hold("adapters/a", digest, name="a"):
            pass

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert fetches == ["adapters/a"]


async def test_the_oldest_go_first_and_held_ones_stay(make_cache, put):
    clock = Clock()
    cache = make_cache(max_bytes=2500, clock=clock)
    digests = {n: await put(n) for n in "abcd"}
    async with cache.hold("adapters/a", digests["a"], name="a") as a:
        for name in "bcd":
            clock.now += 1
            async with cache.hold(f"adapters/{name}", digests[name], name=name) as last:
                pass
        assert a.is_dir()
        assert last.is_dir()
        assert cache.bytes == 2000
    folders = [p for p in a.parent.iterdir() if p.is_dir()]
    assert sorted(folders) == sorted([a, last])


async def test_lately_used_ones_stay_over_the_limit(make_cache, put):
    clock = Clock()
    cache = make_cache(max_bytes=1500, clock=clock, keep_after_use_s=60)
    digests = {n: await put(n) for n in "abc"}
    async with cache.hold("adapters/a", digests["a"], name="a") as a:
        pass
    async with cache.hold("adapters/b", digests["b"], name="b"):
        assert a.is_dir()
    clock.now += 61
    async with cache.hold("adapters/c", digests["c"], name="c"):
        assert not a.exists()


async def test_an_evicted_one_comes_back_to_the_same_path(make_cache, put, fetches):
    clock = Clock()
    cache = make_cache(max_bytes=1500, clock=clock)
    digests = {n: await put(n) for n in "ab"}
    async with cache.hold("adapters/a", digests["a"], name="a") as before:
        pass
    clock.now += 1
    async with cache.hold("adapters/b", digests["b"], name="b"):
        assert not before.exists()
    async with cache.hold("adapters/a", digests["a"], name="a") as after:
        assert after == before
        assert after.is_dir()
    assert fetches.count("adapters/a") == 2


async def test_a_restart_in_a_storage_outage_has_what_it_had(make_cache, put, storage, tmp_path):
    digest = await put("a")
    async with make_cache().hold("adapters/a", digest, name="a"):
        pass
    shutil.rmtree(tmp_path / "storage")
    cache = make_cache()
    async with cache.hold("adapters/a", digest, name="a") as path:
        assert (path / "adapter_model.safetensors").read_bytes() == b"a" * 1000
    with pytest.raises(StorageError):
        async with cache.hold("adapters/b", digest, name="b"):
            pass


async def test_files_spoiled_on_disk_are_fetched_again_after_a_restart(make_cache, put, fetches):
    digest = await put("a")
    async with make_cache().hold("adapters/a", digest, name="a") as path:
        file = path / "adapter_model.safetensors"
    file.write_bytes(b"b" * 1000)
    async with make_cache().hold("adapters/a", digest, name="a"):
        assert file.read_bytes() == b"a" * 1000
    assert len(fetches) == 2


async def test_files_spoiled_in_storage_are_refused(make_cache, put, tmp_path):
    digest = await put("a")
    (tmp_path / "storage/adapters/a/adapter_model.safetensors").write_bytes(b"b" * 1000)
    cache = make_cache()
    with pytest.raises(StorageCorrupt):
        async with cache.hold("adapters/a", digest, name="a"):
            pass
    assert list((tmp_path / "cache").iterdir()) == []


async def test_another_artifact_in_its_place_is_refused(make_cache, put, tmp_path):
    await put("b")
    cache = make_cache()
    with pytest.raises(StorageCorrupt):
        async with cache.hold("adapters/b", "digest of what was registered", name="b"):
            pass
    assert list((tmp_path / "cache").iterdir()) == []


async def test_half_made_folders_of_a_killed_run_are_removed(make_cache, tmp_path):
    root = tmp_path / "cache"
    for name in (".x-part", "f" * 64, ".abc-old"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text("half")
    (root / f"{'e' * 64}.json").write_text("{}")
    make_cache()
    assert list(root.iterdir()) == []


async def test_a_deleted_one_goes_from_this_run_and_from_the_last(make_cache, put, tmp_path):
    digests = {n: await put(n) for n in "ab"}
    for name in "ab":
        async with make_cache().hold(f"adapters/{name}", digests[name], name=name):
            pass
    clock = Clock()
    cache = make_cache(clock=clock)
    async with cache.hold("adapters/a", digests["a"], name="a"):
        assert cache.names == {"a", "b"}
        assert not await cache.remove("a")  # in use
        assert await cache.remove("b")
    clock.now += 1
    gone: list[str] = []
    cache.on_removal = gone.append
    assert await cache.remove("a")
    assert gone == ["a"]
    assert cache.names == set()
    assert list((tmp_path / "cache").iterdir()) == []
    assert await cache.remove("never seen")


async def test_one_that_is_evicted_again_and_again(make_cache, put, tmp_path):
    """More concurrent adapters than fit: at most one folder of each, and none is lost."""
    clock = Clock()
    cache = make_cache(max_bytes=3500, clock=clock)
    digests = {n: await put(n) for n in "abcdefgh"}

    async def use(turn: int) -> None:
        name = "abcdefgh"[turn * 5 % 8]
        clock.now += 1
        async with cache.hold(f"adapters/{name}", digests[name], name=name) as path:
            await asyncio.sleep(0)
            assert (path / "adapter_model.safetensors").read_bytes() == name.encode() * 1000

    for start in range(0, 120, 6):
        await asyncio.gather(*(use(turn) for turn in range(start, start + 6)))
    assert cache.bytes <= 3000
    folders = [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]
    assert len(folders) == len(cache.names)
    assert {p.stem for p in (tmp_path / "cache").glob("*.json")} == {p.name for p in folders}
