"""Tests of imports in the Python client and its command line."""

from __future__ import annotations

from pathlib import Path

import finetuned
import pytest

from tests.adapters import adapter, base_folder, tar_of
from tests.conftest import BASE_MODEL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an adapter, as a trainer leaves it."""
    base_folder(tmp_path / "base")
    folder = tmp_path / "voice"
    folder.mkdir()
    for name, content in {**adapter(), "optimizer.pt": b"pickle"}.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.slow
async def test_a_folder_is_imported_by_the_command(cli, work, folder):
    async with work("cpu"):
        done = await cli(
            "imports", "create", str(folder), "--model", BASE_MODEL, "--suffix", "voice"
        )
        assert done.code == 0, done.err
        name = done.out.strip()
        shown = await cli("models", "show", name)
        (folder / "adapter_model.safetensors").write_bytes(b"no tensors")
        refused = await cli("imports", "create", str(folder), "--model", BASE_MODEL)
    assert name.startswith(f"ft:{BASE_MODEL}:acme:voice:")
    assert "info: The archive has no tokenizer.json" in done.err
    assert "trained on elsewhere/Tiny-Base" in shown.out
    assert refused.code == 5
    assert "adapter_model.safetensors is not a valid safetensors file" in refused.err


@pytest.mark.slow
async def test_an_archive_or_an_uploaded_file_is_imported(client, work, folder):
    archive = folder.with_name("voice.tar.gz")
    archive.write_bytes(tar_of(adapter(), mode="w:gz"))
    async with work("cpu"):
        done = await client.models.import_adapter(archive, base_model=BASE_MODEL)
        again = await client.models.import_adapter(done.file_id, base_model=BASE_MODEL)
        assert done.result.model != again.result.model
        listed = [one.id async for one in client.model_imports.list()]
        assert listed == [again.id, done.id]
        assert await client.model_imports.retrieve(done.id) == done
        archive.write_bytes(b"no archive")
        with pytest.raises(finetuned.OperationFailed, match="neither a tar nor a zip") as caught:
            await client.models.import_adapter(archive, base_model=BASE_MODEL)
    assert caught.value.code == "not_an_archive"


async def test_a_folder_without_an_adapter_is_refused_before_the_upload(client, tmp_path):
    with pytest.raises(finetuned.BadRequest, match=r"has no adapter_config\.json"):
        await client.models.import_adapter(tmp_path, base_model=BASE_MODEL)
    assert [file async for file in client.files.list()] == []
