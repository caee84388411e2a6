"""Tests of the entries that commands of the operator leave in the audit log."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.config import Settings
from service.core.encryption.master import new_key
from service.core.redis import Client, connect
from service.core.storage import Storage
from service.web import audit_trail
from service.web.audit_trail import Entry
from tests.models.folders import model_folder

pytestmark = pytest.mark.slow


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.flushdb()
    await client.aclose(close_connection_pool=True)


@pytest.fixture(autouse=True)
def environment(
    settings: Settings, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that is encrypted."""
    key = tmp_path / "master-key"
    key.write_text(new_key())
    for name, value in {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_DATA_DIR": str(tmp_path),
        "FINETUNED_MODELS_FILE": str(tmp_path / "models.yaml"),
        "FINETUNED_ENCRYPTION_KEY_FILE": str(key),
    }.items():
        monkeypatch.setenv(name, value)


async def run(*words: str, code: int = 0) -> str:
    """Run a command, which starts an event loop of its own. Returns what it printed."""
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert done.exit_code == code, done.output
    return done.output


async def entries(redis: Client) -> list[Entry]:
    """All entries, the oldest first."""
    return [
        audit_trail.decode(fields[b"entry"]) for _, fields in await redis.xrange(audit_trail.STREAM)
    ]


async def test_each_command_that_changes_something_is_recorded(
    redis: Client, settings: Settings, tmp_path: Path
):
    await Storage.from_url(settings.storage_url).put_bytes("proj_a/files/file-1/content", b"text")
    model = str(model_folder(tmp_path))
    await run("models", "add", model, "--id", "tiny", "--license", "mit")
    await run("encrypt")
    await run("rotate-master-key")
    await run("gc", "--dry-run")
    await run("gc", "--older-than", "0")
    backup = str(tmp_path / "backup")
    made = await run("backup", backup)
    await run("backups", backup)
    await run("restore", backup, "--check")
    await run("audit", "export")
    found = await entries(redis)
    assert [(entry.type, entry.outcome) for entry in found] == [
        ("base_model.added", "succeeded"),
        ("storage.encrypted", "succeeded"),
        ("master_key.rotated", "succeeded"),
        ("storage.garbage.removed", "succeeded"),
        ("backup.created", "succeeded"),
        ("audit_logs.read", "succeeded"),
    ]
    by_type = {entry.type: entry for entry in found}
    assert by_type["base_model.added"].objects == ("tiny",)
    assert by_type["storage.encrypted"].counts == {"objects": 1}
    assert by_type["backup.created"].objects[0] in made
    for entry in found:
        assert (entry.actor.kind, entry.actor.id) == ("operator", "operator")
        assert f"({getpass.getuser()}@" in entry.origin.user_agent


async def test_a_restore_is_recorded_in_the_restored_log(redis: Client, tmp_path: Path):
    await run("keys", "create", "--project", "acme")
    backup = str(tmp_path / "backup")
    await run("backup", backup)
    await redis.flushdb()
    await run("restore", backup)
    found = [entry.type for entry in await entries(redis)]
    assert found == ["project.created", "api_key.created", "backup.restored"]


async def test_a_command_that_fails_is_recorded_too(redis: Client, tmp_path: Path):
    (tmp_path / "taken").write_text("no folder")
    await run("backup", str(tmp_path / "taken"), code=1)
    assert await entries(redis) == []  # it did not begin
    key = tmp_path / "storage" / "keys" / "proj_a.json"
    key.parent.mkdir(parents=True)
    key.write_text('{"id": "0011223344556677", "master": "of-another", "wrapped": "x:eA=="}')
    await run("rotate-master-key", code=1)
    [entry] = await entries(redis)
    assert (entry.type, entry.outcome) == ("master_key.rotated", "failed")


async def test_a_change_of_the_catalog_needs_no_redis(
    redis: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FINETUNED_REDIS_URL", "redis://127.0.0.1:1")
    model = str(model_folder(tmp_path))
    output = await run("models", "add", model, "--id", "tiny", "--license", "mit")
    assert "the audit log has no entry about this" in output
    assert await entries(redis) == []
