"""Tests of generations in the Python client and its command line."""

from __future__ import annotations

import finetuned
import pytest

from tests.conftest import BASE_MODEL
from tests.generation.conftest import Model, engine, handbook, model, settings

__all__ = ["engine", "model", "settings"]
pytestmark = pytest.mark.slow


async def test_generate_uploads_documents_and_waits(cli, client, work, model: Model, tmp_path):
    (tmp_path / "rules.md").write_text(handbook(1, 2, 3))
    (tmp_path / "more.md").write_text(handbook(4, 5))
    uploaded = await client.files.create(tmp_path / "more.md", purpose="user_data")
    async with work("cpu"):
        done = await cli(
            "generations", "create", "rules.md", uploaded.id, "--kinds", "questions,rewrites"
        )
        assert done.code == 0, done.err
        listed = [one async for one in client.dataset_generations.list()]
        (made,) = listed
        shown = await cli("generations", "create", uploaded.id, "-n", "1", "--seed", "3", "--json")
        assert shown.json()["counts"]["kept"] == 1
        assert (await client.dataset_generations.wait(made.id)) == made
    assert (made.status, made.counts.kept, made.n) == ("completed", 10, 100)
    assert made.document_ids[1] == uploaded.id
    assert made.result.output_file_id in done.out
    assert "no_more_passages" in done.out
    assert "kept 10 of 100 rows" in done.err
    assert (await client.files.retrieve(made.document_ids[0])).purpose == "user_data"
    assert (await client.dataset_generations.delete(made.id)).deleted


async def test_a_generation_that_is_not_awaited_can_be_cancelled(cli, client, tmp_path):
    (tmp_path / "rules.md").write_text(handbook(1))
    made = (await cli("generations", "create", "rules.md", "--no-wait", "--json")).json()
    assert (made["status"], made["model"]) == ("queued", BASE_MODEL)
    assert (await client.dataset_generations.cancel(made["id"])).status == "cancelling"
    with pytest.raises(finetuned.Conflict):
        await client.dataset_generations.delete(made["id"])
    assert (await client.dataset_generations.retrieve(made["id"])).n == 100


async def test_what_is_no_document_is_refused(cli, client, work, tmp_path):
    (tmp_path / "note.txt").write_text("Closed.")
    (tmp_path / "handbook.rtf").write_bytes(b"{\\rtf1 Hi}")
    unknown = await cli("generations", "create", "note.txt", "--kinds", "poems")
    assert (unknown.code, "poems" in unknown.err) == (2, True)
    refused = await cli("generations", "create", "handbook.rtf")
    assert (refused.code, "rich text" in refused.err) == (1, True)
    async with work("cpu"):
        failed = await cli("generations", "create", "note.txt")
    assert (failed.code, "no text to ask about" in failed.err) == (5, True)
