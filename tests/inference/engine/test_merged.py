"""Tests of a merged model's folder: created once, found again, and deleted with the model."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys

import pytest
import redis as sync_redis
from pydantic import SecretStr

from service.core.redis import connect
from service.inference.engine.merged import MergeFailed, folder_name, prepare, sweep
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from tests.inference.engine.support import catalogued, name_of, register, settings_on, write_adapter

pytestmark = pytest.mark.slow

NAME = name_of("one")


@pytest.fixture
async def world(redis_url, tmp_path, demo_model_path):
    """Settings, the base model's entry and one registered adapter."""
    sync_redis.Redis.from_url(redis_url).flushdb()
    settings = settings_on(
        tmp_path,
        redis_url,
    )
    entry = catalogued(settings, demo_model_path)
    write_adapter(tmp_path / "one", demo_model_path, seed=1)
    await register(settings, {NAME: tmp_path / "one"})
    return settings, entry


async def delete(settings) -> None:
    redis = connect(settings.redis_url.get_secret_value())
    registry = ModelRegistry(redis, Catalogue(settings.models_file), cache_s=0.0)
    assert await registry.delete("proj_acme", NAME)
    await redis.aclose(close_connection_pool=True)


async def test_it_is_made_once_and_found_again(world, tmp_path):
    settings, entry = world
    made = await prepare(settings, entry, NAME, tmp_path / "home")
    assert [f.name for f in (tmp_path / "home").iterdir()] == ["model"]
    assert {f.name for f in made.path.iterdir()} >= {f.name for f in entry.path.iterdir()}
    stamp = (made.path / "model.safetensors").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "storage")  # no longer needed
    again = await prepare(settings, entry, NAME, tmp_path / "home")
    assert (again.path / "model.safetensors").stat().st_mtime_ns == stamp


async def test_while_redis_is_away_what_was_made_is_served(world, tmp_path):
    settings, entry = world
    away = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    with pytest.raises(MergeFailed, match="Redis is unavailable"):
        await prepare(away, entry, NAME, tmp_path / "home")
    made = await prepare(settings, entry, NAME, tmp_path / "home")
    assert await prepare(away, entry, NAME, tmp_path / "home") == made
    with pytest.raises(MergeFailed):
        await prepare(away, entry, name_of("two"), tmp_path / "home")


async def test_of_a_deleted_model_nothing_is_kept(world, tmp_path):
    settings, entry = world
    await prepare(settings, entry, NAME, tmp_path / "home")
    await delete(settings)
    with pytest.raises(MergeFailed, match="was deleted"):
        await prepare(settings, entry, NAME, tmp_path / "home")
    assert not (tmp_path / "home").exists()


async def test_another_base_folder_makes_it_anew(world, tmp_path, demo_model_path):
    settings, entry = world
    await prepare(settings, entry, NAME, tmp_path / "home")
    shutil.copytree(demo_model_path, tmp_path / "elsewhere")
    moved = entry.model_copy(update={"path": tmp_path / "elsewhere"})
    stamp = (tmp_path / "home" / "model").stat().st_ino
    await prepare(settings, moved, NAME, tmp_path / "home")
    assert (tmp_path / "home" / "model").stat().st_ino != stamp


async def test_a_damaged_adapter_is_refused_and_leaves_nothing(world, tmp_path):
    settings, entry = world
    (tmp_path / "storage/adapters/one/adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(MergeFailed, match="could not be merged"):
        await prepare(settings, entry, NAME, tmp_path / "home")
    assert not [*(tmp_path / "home").rglob("*.safetensors")]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from service.config import Settings
from service.exporting import merge
from service.inference.engine import merged
from service.models.catalogue import Catalogue
real = merge.save_file
def save_file(*args, **options):
    real(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
merge.save_file = save_file
settings = Settings()
entry = Catalogue(settings.models_file).get("demo")
asyncio.run(merged.prepare(settings, entry, sys.argv[1], Path(sys.argv[2])))
"""


async def test_killed_in_the_middle_it_is_made_anew(world, tmp_path):
    settings, entry = world
    env = {
        "FINETUNED_REDIS_URL": settings.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_MODELS_FILE": str(settings.models_file),
        "PATH": "/usr/bin:/bin",
    }
    run = [sys.executable, "-c", KILLED, NAME, str(tmp_path / "home")]
    done = await asyncio.to_thread(subprocess.run, run, env=env, check=False)
    assert done.returncode == -9
    assert [*(tmp_path / "home").rglob("model.safetensors")]  # incomplete
    made = await prepare(settings, entry, NAME, tmp_path / "home")
    assert [f.name for f in (tmp_path / "home").iterdir()] == ["model"]
    assert (made.path / "config.json").is_file()


CLAIM = """
import sys, time
from pathlib import Path
from service.inference.engine.launch import claim_cache
print(claim_cache(Path(sys.argv[1]), sys.argv[2]), flush=True)
time.sleep(60)
"""


def test_what_no_engine_serves_any_more_is_swept(tmp_path):
    kept, gone, runs = (folder_name(name_of(word)) for word in ("kept", "gone", "runs"))
    holder = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(tmp_path), runs], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == str(tmp_path / f"{runs}-0")
        for name in (kept, gone, runs):
            (tmp_path / f"{name}-0" / "model").mkdir(parents=True)
        (tmp_path / "demo-0").mkdir()  # of an engine that takes adapters
        sweep(tmp_path, [name_of("kept")])
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    left = {p.name for p in tmp_path.iterdir() if p.is_dir()}
    assert left == {f"{kept}-0", f"{runs}-0", "demo-0"}
    sweep(tmp_path, [name_of("kept")])
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {f"{kept}-0", "demo-0"}
