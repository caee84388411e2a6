"""Tests of jobs with tool calls on a base model whose chat template does not support them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.conftest import BASE_MODEL
from tests.datasets.test_chat_templates import PLAIN, STRICT, folder_of
from tests.datasets.test_tool_rows import PLAIN_ROW, TOOL_ROW
from tests.jobs.planning.test_estimate import asked_until_ready
from tests.jobs.test_jobs import JOBS, create, upload


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Folder of the catalog's base model, with a template without tool support."""
    folder = folder_of(tmp_path / "base", PLAIN)
    tokenizer = Tokenizer(models.WordLevel({"x": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def rows(*several: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in several).encode()


async def until(http, job_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while (job := (await http.get(f"{JOBS}/{job_id}")).json())["status"] != status:
            await asyncio.sleep(0.1)
    return job


@pytest.mark.slow
async def test_they_are_refused_by_estimate_and_job_until_the_template_knows_tools(
    http, work, base
):
    file_id = await upload(http, rows(*[PLAIN_ROW] * 9, TOOL_ROW, TOOL_ROW))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "failed")
        answer = await asked_until_ready(http, file_id)
        folder_of(base, STRICT)
        await until(http, (await create(http, file_id))["id"], "queued")
        mended = await asked_until_ready(http, file_id)
    for error in (job["error"], answer.json()["error"]):
        assert (error["code"], error["param"]) == ("tools_not_supported", "model")
        assert error["message"].startswith("2 of 11 rows of the training file contain tool calls")
        assert f"the base model {BASE_MODEL} does not render" in error["message"]
        assert "Choose a base model" in error["message"]
    assert answer.status_code == 400
    assert mended.status_code == 200


async def test_rows_without_tools_are_trained_on_any_base_model(http, work, base):
    file_id = await upload(http, rows(*[PLAIN_ROW] * 10))
    async with work("cpu"):
        await until(http, (await create(http, file_id))["id"], "queued")
