"""Batches of a project whose storage quota is used up."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from aiohttp import web

from tests.batches.conftest import answered, created, ended, requests, results
from tests.conftest import Api
from tests.evals.conftest import Engine
from tests.quota import leave_room

pytestmark = pytest.mark.slow
_ANSWER = "long " * 2000


async def long_replies(_: web.Request, body: dict[str, Any]) -> web.Response:
    message = {"role": "assistant", "content": _ANSWER}
    choices = [{"index": 0, "message": message}]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return web.json_response({"model": body["model"], "choices": choices, "usage": usage})


async def test_a_batch_beyond_the_quota_fails_and_keeps_its_results(
    api: Api, sdk: openai.AsyncOpenAI, engine: Engine, work
):
    engine.reply = long_replies
    batch = await created(sdk, requests(60))
    await leave_room(api, 30 * len(_ANSWER))
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert batch.errors is not None
    assert batch.errors.data is not None
    [fault] = batch.errors.data
    assert (batch.status, fault.code) == ("failed", "quota_exceeded")
    assert "storage quota" in str(fault.message)
    kept = await results(sdk, batch.output_file_id)
    assert 0 < len(kept) == answered(batch) < 60
    for line in kept.values():
        message = line["response"]["body"]["choices"][0]["message"]
        assert message["content"] == _ANSWER


async def test_a_batch_whose_results_fit_is_not_failed_by_its_own_parts(
    api: Api, sdk: openai.AsyncOpenAI, engine: Engine, work
):
    """The file and the parts that it is made of never need room together."""
    engine.reply = long_replies
    batch = await created(sdk, requests(20))
    await leave_room(api, 30 * len(_ANSWER))
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert (batch.status, answered(batch)) == ("completed", 20)
    assert len(await results(sdk, batch.output_file_id)) == 20
