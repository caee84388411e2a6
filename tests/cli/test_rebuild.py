"""Tests of `rebuild`: which records it restores after Redis has lost everything."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from service.cli.backup import rebuild
from service.core import ids
from service.core.redis import connect
from service.core.storage import Storage
from service.models.adapters import highest_recorded_rank
from service.models.catalogue import Catalogue
from service.models.records import (
    ModelOrigin,
    checkpoint_name,
    model_name,
    read_figures,
    write_figures,
)
from service.models.registry import ModelRegistry
from service.verdict.comparison import Comparison
from tests.cli.test_cli import run
from tests.conftest import BASE_MODEL, Api, checked, upload
from tests.verdict.build import build

pytestmark = pytest.mark.slow

JOB = f"{ids.JOB}one"
ATTEMPTS = {1: "a1", 2: "a2-4k9x0d2m"}  # with the nonce of each attempt after the first
MODEL = model_name(BASE_MODEL, "acme", "voice", "abc123def456")


@pytest.fixture
def command(api: Api):
    """Run `rebuild` on the api's Redis and storage, as an operator does."""

    def command() -> str:
        settings = api.settings
        done = run(
            "rebuild",
            FINETUNED_REDIS_URL=settings.redis_url.get_secret_value(),
            FINETUNED_STORAGE_URL=settings.storage_url,
            FINETUNED_MODELS_FILE=str(settings.models_file),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


async def put_adapter(
    api: Api, folder: Path, project_id: str, attempt: int, step: int, *, checkpoint: bool = False
) -> None:
    """Store an adapter as a job does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "rank_pattern": {"q": 24}}))
    meta = {"base_model": BASE_MODEL, "project_id": project_id, "job_id": JOB, "step": step}
    meta["model"] = checkpoint_name(MODEL, step) if checkpoint else MODEL
    place = f"{project_id}/jobs/{JOB}/{ATTEMPTS[attempt]}/" + (
        f"step-{step}/" if checkpoint else ""
    )
    await Storage.from_url(api.settings.storage_url).put_folder(
        f"{place}adapter", folder, meta=meta
    )


async def lose_everything(api: Api) -> None:
    redis = connect(api.settings.redis_url.get_secret_value())
    await redis.flushdb()
    await redis.aclose(close_connection_pool=True)


async def test_files_models_and_projects_are_restored(api: Api, chats, work, command, tmp_path):
    async with await api.client() as http, work("cpu"):
        kept = (await upload(http, chats(20))).json()
        gone = (await upload(http, b"gone", purpose="user_data")).json()
        await checked(http, kept["id"])
        await http.delete(f"/v1/files/{gone['id']}")
    project = await api.app.state.projects.by_name("acme")
    async with await api.client("other") as http:
        theirs = (await upload(http, b"theirs", purpose="user_data")).json()
    await put_adapter(api, tmp_path / "made", project.id, 1, 3, checkpoint=True)
    await put_adapter(api, tmp_path / "made", project.id, 1, 9)
    await put_adapter(api, tmp_path / "made", project.id, 2, 9)  # of two attempts, the last
    await lose_everything(api)

    output = command()
    assert output.startswith(
        "rebuilt: 2 projects, 2 files, 1 models, 1 checkpoints, figures of 0 models."
    )
    async with await api.client() as http, work("cpu"):
        file = await checked(http, kept["id"])
        assert (file["status"], file["created_at"]) == ("processed", kept["created_at"])
        assert (await http.get(f"/v1/files/{kept['id']}/content")).content == chats(20)
        assert [f["id"] for f in (await http.get("/v1/files")).json()["data"]] == [kept["id"]]
        models = [m["id"] for m in (await http.get("/v1/models")).json()["data"]]
        assert models == [BASE_MODEL, MODEL]
        assert (await http.get(f"/v1/files/{theirs['id']}")).status_code == 404
    registry: ModelRegistry = api.app.state.registry
    record = await registry.get(project.id, MODEL)
    checkpoint = await registry.get(project.id, checkpoint_name(MODEL, 3))
    assert record is not None
    assert checkpoint is not None
    assert record.artifact == f"{project.id}/jobs/{JOB}/{ATTEMPTS[2]}/adapter"
    assert checkpoint.checkpoint
    assert (await api.app.state.projects.by_name("acme")).id == project.id
    assert await highest_recorded_rank(registry.redis, BASE_MODEL) == 24
    back = await Storage.from_url(api.settings.storage_url).get_folder(
        record.artifact, tmp_path / "back"
    )
    assert back.digest == record.digest


async def put_evaluation(
    api: Api, project_id: str, attempt: int, model: str, **scores: list[float | None]
) -> Comparison:
    """Store an evaluation next to the adapter of an attempt, as a worker does."""
    made = build({"base": [0.2] * 8, **scores}, model=model, job_id=JOB)
    columns = [
        msgspec.structs.replace(c, model=checkpoint_name(MODEL, c.step) if c.step else c.model)
        for c in made.columns
    ]
    made = msgspec.structs.replace(made, columns=columns)
    key = f"{project_id}/jobs/{JOB}/{ATTEMPTS[attempt]}/adapter/evaluation/comparison.json"
    await Storage.from_url(api.settings.storage_url).put_bytes(key, made.to_json())
    return made


async def test_figures_of_evaluations_are_restored(api: Api, command, tmp_path):
    async with await api.client():
        project = await api.app.state.projects.by_name("acme")
    storage = Storage.from_url(api.settings.storage_url)
    for attempt in (1, 2):
        await put_adapter(api, tmp_path / "made", project.id, attempt, 9)
    await put_adapter(api, tmp_path / "made", project.id, 2, 3, checkpoint=True)
    await put_evaluation(api, project.id, 1, MODEL, tuned=[0.3] * 8)  # of the lost attempt
    scores: dict[str, list[float | None]] = {
        "tuned": [0.7] * 8,
        "ckpt-step-3": [0.5] * 8,
        "ckpt-step-5": [0.6] * 8,
    }
    await put_evaluation(api, project.id, 2, MODEL, **scores)
    await storage.put_bytes(f"{project.id}/jobs/x/a1/adapter/evaluation/comparison.json", b"{}")
    await lose_everything(api)

    assert "figures of 2 models." in command()  # the checkpoint of step 5 was deleted
    redis = api.app.state.redis
    found = await read_figures(redis, project.id, MODEL)
    assert found is not None
    assert found["chrf"] == pytest.approx(70)
    assert found["chrf_gain"] == pytest.approx(50)
    earlier = await read_figures(redis, project.id, checkpoint_name(MODEL, 3))
    assert earlier is not None
    assert earlier["chrf_gain"] == pytest.approx(30)
    assert await read_figures(redis, project.id, checkpoint_name(MODEL, 5)) is None

    async with redis.pipeline() as pipe:  # figures that are known stay
        write_figures(pipe, project.id, MODEL, {"gain": 1.0})
        await pipe.execute()
    assert "figures of 0 models." in command()
    assert await read_figures(redis, project.id, MODEL) == {"gain": 1.0}


async def test_imported_models_are_restored(api: Api, command, tmp_path):
    async with await api.client():
        project = await api.app.state.projects.by_name("acme")
    origin = ModelOrigin(import_id="modelimport-one", archive_sha256="0" * 64)
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 16}')
    artifact = f"{project.id}/adapters/{ids.new(ids.ADAPTER)}"
    meta = {"base_model": BASE_MODEL, "project_id": project.id, "model": MODEL, "step": 0}
    await Storage.from_url(api.settings.storage_url).put_folder(
        artifact, folder, meta={**meta, "origin": origin.model_dump(mode="json")}
    )
    await lose_everything(api)

    assert "1 models, 0 checkpoints" in command()
    registry: ModelRegistry = api.app.state.registry
    record = await registry.get(project.id, MODEL)
    assert record is not None
    assert (record.artifact, record.job_id, record.origin) == (artifact, None, origin)
    assert await highest_recorded_rank(registry.redis, BASE_MODEL) == 16


async def test_existing_records_and_deletions_are_kept(api: Api, http, command, tmp_path):
    kept = (await upload(http, b"kept", purpose="user_data")).json()
    project = await api.app.state.projects.by_name("acme")
    await put_adapter(api, tmp_path / "made", project.id, 1, 9)
    assert command().startswith("rebuilt: 0 projects, 0 files, 1 models")
    assert command().startswith("rebuilt: 0 projects, 0 files, 0 models")
    # Its bytes stay behind, as when storage is unavailable while the model is deleted.
    await api.app.state.registry.delete(project.id, MODEL)
    assert command().startswith("rebuilt: 0 projects, 0 files, 0 models")
    assert (await http.get(f"/v1/files/{kept['id']}")).json() == kept


async def test_inconsistent_manifests_are_skipped(api: Api, command, tmp_path):
    storage = Storage.from_url(api.settings.storage_url)
    await put_adapter(api, tmp_path / "made", "proj_theirs", 1, 9)
    manifest = await storage.get_bytes(f"proj_theirs/jobs/{JOB}/a1/adapter/manifest.json")
    await storage.put_bytes(f"proj_mine/jobs/{JOB}/a1/adapter/manifest.json", manifest)
    await storage.put_bytes("proj_mine/files/file-a/manifest.json", b'{"id": "file-b"}')
    await storage.put_bytes("no project/files/x/manifest.json", b"{}")
    assert "1 models" in command()
    registry = ModelRegistry(api.app.state.redis, Catalogue(api.settings.models_file), cache_s=0)
    assert await registry.get("proj_mine", MODEL) is None


async def test_an_unavailable_redis_is_reported(tmp_path):
    with pytest.raises(ValueError, match="no 'finetuned-server up' has run"):
        await rebuild(tmp_path, None)
