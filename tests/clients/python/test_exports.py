"""Tests of exports in the Python client and its command line."""

from __future__ import annotations

import hashlib
import io
import tarfile

import finetuned
import pytest

from service.exports.records import ExportError, ExportStatus
from tests.exports.conftest import MODEL, engine, register, settings  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow


def archive(root: str) -> bytes:
    """An archive with one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        entry = tarfile.TarInfo(f"{root}/README.md")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return made.getvalue()


async def finish(api, export_id: str, sha256: str | None = None) -> None:
    """Store what a worker stores when an export succeeds."""
    project = await api.app.state.projects.by_name("acme")
    record = await api.app.state.exports.get(project.id, export_id)
    content, key = archive(export_id), f"{record.folder}/a1.tar"
    await api.app.state.storage.put_bytes(key, content)
    digest = sha256 or hashlib.sha256(content).hexdigest()
    proof = {
        "answers": 8,
        "same_answers": 7,
        "chrf": 0.9,
        "logprob_difference": 0.01,
        "largest_logprob_difference": 0.1,
        "merged_onto": {"base": "bf16", "bf16_difference": 0.029, "nf4_difference": 0.29},
    }
    done = {"key": key, "bytes": len(content), "sha256": digest, "proof": proof}
    await api.app.state.exports.change(record, lambda r: r.end(ExportStatus.SUCCEEDED, 7, **done))


async def test_the_methods_of_exports(api, client, tmp_path):
    await register(api)
    made = await client.model_exports.create(model=MODEL, format="merged")
    with pytest.raises(finetuned.Conflict):
        await client.model_exports.download(made.id, tmp_path / "x.tar")
    await finish(api, made.id)
    seen = []
    found = await client.model_exports.wait(made.id, on_change=lambda one: seen.append(one.status))
    assert (found.status, seen) == ("completed", ["completed"])
    assert [one.id async for one in client.model_exports.list(model=MODEL)] == [made.id]
    await client.model_exports.download(made.id, tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == [f"{made.id}/README.md"]
    with pytest.raises(finetuned.Conflict):
        await client.model_exports.cancel(made.id)
    assert (await client.model_exports.delete(made.id)).deleted
    other = await client.model_exports.create(model=MODEL, format="adapter")
    await finish(api, other.id, sha256="0" * 64)
    with pytest.raises(finetuned.UnexpectedAnswer, match="differ"):
        await client.model_exports.download(other.id, tmp_path / "y.tar")
    assert not (tmp_path / "y.tar").exists()


async def test_export_unpacks_a_folder_or_keeps_the_archive(
    cli,
    api,
    client,
    tmp_path,
    monkeypatch,
):
    """The worker's part is done when the record is created."""
    await register(api)
    store = api.app.state.exports
    create = store.create

    async def created(record, claim=None):
        kept = await create(record, claim)
        if record.format == "merged":
            await finish(api, record.id)
        else:
            error = ExportError(code="disk_full", message="The worker's disk is full.")
            await store.change(record, lambda r: r.end(ExportStatus.FAILED, 7, error=error))
        return kept

    monkeypatch.setattr(store, "create", created)
    done = await cli("exports", "create", MODEL, "--format", "merged", "--output", "voice")
    assert done.code == 0, done.err
    assert "7 of 8" in done.out
    assert "bf16 weights (bf16 2.9%, nf4 33.6%)" in done.out
    assert (tmp_path / "voice" / "README.md").read_text() == "hello"
    kept = await cli("exports", "create", MODEL, "-f", "merged", "-o", "voice.tar", "--json")
    assert kept.json()["status"] == "completed"
    assert tarfile.is_tarfile(tmp_path / "voice.tar")
    assert (await cli("exports", "create", MODEL, "-f", "merged", "-o", "voice")).code == 2
    failed = await cli("exports", "create", MODEL, "--format", "adapter", "--output", "other")
    assert (failed.code, "disk is full" in failed.err) == (5, True)


async def test_a_deleted_model_takes_its_exports_along(cli, api, client):
    await register(api)
    made = await client.model_exports.create(model=MODEL, format="merged")
    await finish(api, made.id)
    assert (await cli("models", "delete", MODEL)).code == 2  # asks for --yes
    assert (await cli("models", "delete", MODEL, "--yes")).code == 0
    assert (await cli("models", "delete", MODEL, "--yes")).code == 4
    with pytest.raises(finetuned.NotFound):
        await client.model_exports.retrieve(made.id)
