"""Archives of OpenAI's evals, imported and run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from finetuned_cli.app import run

from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import ended, output_items

Command = Callable[..., Awaitable[int]]


@pytest.fixture
async def command(api: Api, monkeypatch) -> Command:
    """Run the command line in a thread against the API."""
    monkeypatch.setenv("FINETUNED_BASE_URL", api.base_url)
    monkeypatch.setenv("FINETUNED_API_KEY", await api.key())

    async def call(*words: str) -> int:
        return await asyncio.to_thread(run, list(words))

    return call


async def statuses(http, capsys, work, key: str = "n") -> dict[str, str]:
    """The status of each item of all runs that a command printed as JSON, by a field of it."""
    made = json.loads(capsys.readouterr().out)["evals"]
    found = {}
    async with work("cpu"):
        for one in made:
            for run_id in one["runs"]:
                done = await ended(http, {"id": run_id, "eval_id": one["eval_id"]})
                assert done["status"] == "completed", done["error"]
                for item in await output_items(http, done):
                    found[str(item["datasource_item"][key])] = item["status"]
    return found


@pytest.mark.slow
async def test_an_archive_of_openai_evals_is_imported(
    http, engine, work, command, tmp_path, capsys
):
    row = {"type": "object", "properties": {"item": {"type": "object", "properties": {
        "n": {"type": "string"}}}, "sample": {"type": "object"}}}  # fmt: skip
    grader = {
        "type": "string_check",
        "name": "same",
        "input": "{{sample.output_text}}",
        "operation": "eq",
        "reference": "A{{item.n}}",
    }
    evals = [
        {"id": "eval_a", "name": "Kept", "metadata": {},
         "data_source_config": {"type": "custom", "schema": row}, "testing_criteria": [grader]},
        {"id": "eval_b", "name": "Logs", "metadata": None,
         "data_source_config": {"type": "logs", "metadata": {"usecase": "chat"}, "schema": {}},
         "testing_criteria": [{**grader, "reference": "A"}]},
    ]  # fmt: skip
    source = {
        "type": "completions",
        "model": "gpt-4o",
        "source": {"type": "file_id", "id": "file-a"},
        "input_messages": {"type": "template", "template": [
            {"type": "message", "role": "user", "content": "{{item.n}}"}]},
    }  # fmt: skip
    (tmp_path / "evals" / "eval_a").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "file-a").write_text('{"item": {"n": "1"}}\n{"item": {"n": "2"}}\n')
    (tmp_path / "evals.json").write_text(json.dumps(evals))
    runs = [{"id": "evalrun_a", "name": "nightly", "created_at": 1, "data_source": source}]
    (tmp_path / "evals" / "eval_a" / "runs.json").write_text(json.dumps(runs))
    (tmp_path / "evals" / "eval_b").mkdir()
    stored = {"type": "completions", "source": {"type": "stored_completions"}}
    runs = [{"id": "evalrun_b", "name": "logs", "created_at": 1, "data_source": stored}]
    (tmp_path / "evals" / "eval_b" / "runs.json").write_text(json.dumps(runs))
    words = ("evals", "import", str(tmp_path), "--model", BASE_MODEL, "--json")
    assert await command(*words) == 1
    assert "eval_b: none of its runs can be repeated" in capsys.readouterr().err
    assert await command(*words, "--partial") == 0
    assert await statuses(http, capsys, work) == {"1": "pass", "2": "pass"}
    kept = (await http.get("/v1/evals")).json()["data"][-1]
    assert kept["data_source_config"]["metadata"] == {"usecase": "chat"}
