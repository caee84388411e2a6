"""Exports that a worker works on: stopped, cancelled, and what fails them."""

from __future__ import annotations

import asyncio
import errno

import pytest

from service.core.storage import StorageFull
from service.exports import archive
from service.exports.records import ExportStatus
from service.exports.references import _row_answer, general_questions, held_out_questions
from service.exports.task import ExportFailed, _report_full_disk
from service.files.curation.dataset_process import scratch_folder
from service.grading.examples import examples_of
from service.work.records import AttemptSuperseded
from tests.conftest import Api
from tests.evals.conftest import Engine
from tests.exports.conftest import (
    EXPORTS,
    MODEL,
    made,
    register,
    succeeded,
    until,
)
from tests.quota import leave_room


async def until_true(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["cancel", "delete", "drain"])
async def test_a_worker_stops(http, api: Api, work, engine: Engine, how):
    storage = api.app.state.storage
    folder = api.settings.data_dir / "empty"
    folder.mkdir()
    manifest = await storage.put_folder("adapters/one", folder)
    await register(api, "adapters/one", manifest.digest)
    export = await made(http)
    engine.go.clear()
    async with work("cpu"):
        await until_true(lambda: engine.in_flight)
        assert (await http.get(f"{EXPORTS}/{export['id']}")).json()["progress"]["step"] == "asking"
        if how == "cancel":
            await http.post(f"{EXPORTS}/{export['id']}/cancel")
        elif how == "delete":
            await http.delete(f"{EXPORTS}/{export['id']}")
        if how != "drain":
            await until_true(lambda: not engine.in_flight)
    scratch = api.settings.scratch / export["id"]
    assert not scratch.exists()
    found = await http.get(f"{EXPORTS}/{export['id']}")
    expected = {"cancel": "cancelled", "drain": "queued"}.get(how)
    assert found.status_code == 404 if expected is None else found.json()["status"] == expected


async def test_a_model_that_was_deleted_fails_the_export(http, api: Api, work):
    project_id = await register(api)
    export = await made(http)
    await api.app.state.registry.delete(project_id, MODEL)
    async with work("cpu"):
        found = await until(http, export, "failed")
    assert found["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "error", [StorageFull("x"), OSError(errno.ENOSPC, "No space left on device")], ids=str
)
def test_a_full_disk_is_reported(error):
    with pytest.raises(ExportFailed) as caught, _report_full_disk():
        raise error
    assert caught.value.error.code == "disk_full"


async def test_the_state_machine(api: Api, http):
    await register(api)
    queued = (await succeeded(api, b"")).model_copy(
        update={"status": ExportStatus.QUEUED, "key": None}
    )
    lost = queued.model_copy(update={"status": ExportStatus.IN_PROGRESS}).lose_attempt(2, 7)
    assert (lost.status, lost.attempt, lost.lost_attempts) == ("queued", 2, 1)
    with pytest.raises(AttemptSuperseded):
        lost.require_attempt(queued)
    failed = lost.lose_attempt(2, 7)
    assert (failed.status, failed.finished_at) == ("failed", 7)
    assert failed.error is not None
    assert failed.error.code == "export_interrupted"
    with pytest.raises(AttemptSuperseded):
        failed.require_attempt(failed)


def test_prompts_are_plain_text_at_even_distances():
    answer = {"role": "assistant", "content": "Yes."}
    rows = [{"messages": [{"role": "user", "content": f"Question {n}"}, answer]} for n in range(20)]
    rows[0]["messages"][0]["content"] = "x" * 10_000
    with_tools = {**rows[1], "tools": [{"type": "function", "function": {"name": "f"}}]}
    found = held_out_questions(examples_of([*rows, with_tools]))
    assert len(found) == 8
    assert found[0] == (({"role": "user", "content": "Question 1"},), "Yes.")
    assert len(general_questions(["ja", "de"])) == 4
    assert len(general_questions(["xx"])) == 8


def test_a_rows_answer_is_scored_by_token_ids():
    scores = [None, *({str(token): {"logprob": -token / 10}} for token in (12, 13, 14, 15))]
    body = {"prompt_token_ids": [11, 12, 13, 14, 15], "prompt_logprobs": scores}
    found = _row_answer([11, 12, 13], body)
    assert found is not None
    assert (found.tokens, found.logprobs) == ((14, 15), (-1.4, -1.5))
    assert _row_answer([11, 99], body) is None  # the template renders the prompt differently
    assert _row_answer([11, 12, 13, 14, 15], body) is None
    assert _row_answer([11], {"prompt_token_ids": [11, 12]}) is None


async def test_an_archive_beyond_the_quota_fails_clearly_and_leaves_nothing(api: Api, tmp_path):
    project_id = await register(api)
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "model.safetensors").write_bytes(bytes(100_000))
    await leave_room(api, 50_000)

    async def store() -> None:
        key = f"{project_id}/exports/export-a/a1.tar"
        with _report_full_disk():
            async with scratch_folder(tmp_path / "scratch"):
                storage = api.app.state.storage
                await archive.store(storage, key, tmp_path / "artifact", "export-a", 1)

    with pytest.raises(ExportFailed) as failed:
        await store()
    assert failed.value.error.code == "quota_exceeded"
    assert "storage quota" in failed.value.error.message
    assert await api.app.state.storage.keys(f"{project_id}/exports") == []
