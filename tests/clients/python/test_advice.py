"""Tests of advice before a training in the Python client and its command line."""

from __future__ import annotations

import finetuned
import pytest

from tests.conftest import BASE_MODEL
from tests.jobs.evaluation.conftest import engine  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow


async def test_advise_prints_the_recommendation(
    cli,
    api,
    client,
    work,
    engine,  # noqa: F811
    chats,
    tmp_path,
):
    api.settings.upstreams = {BASE_MODEL: engine.url}
    (tmp_path / "chats.jsonl").write_bytes(chats(60))
    async with work("cpu"):
        done = await cli("advice", "create", "chats.jsonl", "--model", BASE_MODEL)
        assert done.code == 0, done.err
        (file,) = (await client.files.list()).data
        as_json = await cli("advice", "create", file.id, "--model", BASE_MODEL, "--json")
        engine.failures = [400] * 10_000
        found = await client.advice.create_and_wait(model=BASE_MODEL, training_file_id=file.id)
        await client.files.delete(file.id)
    sentence, *lines = done.out.splitlines()
    assert sentence.startswith(("Train: ", "Use ", "Fix the data first: "))
    assert any(line.startswith("base") for line in lines)
    assert "unknown" in done.out
    assert as_json.json()["result"]["rows"] == 60
    assert found.result.sentence == "Train, and hold rows out: the base model gave no answers."
    assert (await client.advice.retrieve(found.id)).result.recommendation == "train"
    assert (await client.advice.delete(found.id)).deleted
    with pytest.raises(finetuned.NotFound):
        await client.advice.retrieve(found.id)
    assert (await cli("advice", "create", "file-unknown", "--model", BASE_MODEL)).code == 4
