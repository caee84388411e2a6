"""A scripted engine, and batches of project acme that a worker of this process works on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import openai
import pytest
from aiohttp import web
from openai.types import Batch
from pydantic import SecretStr

from service.config import Settings
from tests.conftest import BASE_MODEL
from tests.evals.conftest import ENGINE_KEY, Engine, engine, sdk

__all__ = ["engine", "sdk"]

DONE_S = 60
AT_ONCE = 8
ENDED = ("completed", "failed", "expired", "cancelled")
CHAT = "/v1/chat/completions"


def request(number: int, url: str = CHAT, **more: Any) -> dict[str, Any]:
    """A request of a batch, which the engine answers with its number."""
    asked: dict[str, dict[str, Any]] = {
        CHAT: {"messages": [{"role": "user", "content": f"Question {number}"}]},
        "/v1/completions": {"prompt": f"Question {number}"},
        "/v1/responses": {"input": [{"role": "user", "content": f"Question {number}"}]},
        "/v1/embeddings": {"input": f"Question {number}"},
    }
    body = {"model": BASE_MODEL, **asked[url], **more}
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body}


def requests(count: int) -> list[dict[str, Any]]:
    """Several requests."""
    return [request(number) for number in range(count)]


def jsonl(rows: Iterable[Any]) -> bytes:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


async def created(sdk: openai.AsyncOpenAI, rows: Iterable[dict[str, Any]], **more: Any) -> Batch:
    """A batch of requests, created as programs do it."""
    file = await sdk.files.create(file=("requests.jsonl", jsonl(rows)), purpose="batch")
    body: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h", **more}
    return await sdk.batches.create(input_file_id=file.id, **body)


async def ended(sdk: openai.AsyncOpenAI, batch: Batch) -> Batch:
    """The batch once it has a final status."""
    return await until(sdk, batch, lambda batch: batch.status in ENDED)


async def until(sdk: openai.AsyncOpenAI, batch: Batch, is_so: Callable[[Batch], object]) -> Batch:
    """The batch once something is true of it."""
    async with asyncio.timeout(DONE_S):
        while True:
            found = await sdk.batches.retrieve(batch.id)
            if is_so(found):
                return found
            await asyncio.sleep(0.05)


def shown(batch: Batch) -> dict[str, Any]:
    """The batch as JSON."""
    return batch.model_dump(mode="json")


def answered(batch: Batch) -> int:
    """The number of requests that were answered."""
    assert batch.request_counts is not None
    return batch.request_counts.completed


async def results(sdk: openai.AsyncOpenAI, file_id: str | None) -> dict[str, dict[str, Any]]:
    """The lines of a file of results, by the ID of the request. None is there twice."""
    if file_id is None:
        return {}
    content = await sdk.files.content(file_id)
    lines = [json.loads(line) for line in content.text.splitlines()]
    assert all(set(line) == {"id", "custom_id", "response", "error"} for line in lines)
    assert all(line["id"].startswith("batch_req_") for line in lines)
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines) == len({line["id"] for line in lines})
    return found


async def replies(http_request: web.Request, body: dict[str, Any]) -> web.Response:
    """Answer on each route as vLLM does, with the last word of the prompt."""
    usage: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    match http_request.path:
        case "/v1/chat/completions":
            text = body["messages"][-1]["content"].split()[-1]
            message = {"role": "assistant", "content": text}
            answer: dict[str, Any] = {"choices": [{"index": 0, "message": message}]}
            usage |= {"prompt_tokens_details": {"cached_tokens": 4}}
        case "/v1/completions":
            answer = {"choices": [{"index": 0, "text": body["prompt"].split()[-1]}]}
        case "/v1/responses":
            text = body["input"][-1]["content"].split()[-1]
            content = [{"type": "output_text", "text": text}]
            answer = {"output": [{"type": "message", "content": content}]}
            usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        case _:
            answer = {"data": [{"index": 0, "embedding": [0.5]}]}
            usage = {"prompt_tokens": 10, "total_tokens": 10}
    return web.json_response({"model": body["model"], **answer, "usage": usage})


@pytest.fixture
def settings(settings: Settings, engine: Engine) -> Settings:
    """The engine serves the base model."""
    engine.reply = replies
    return settings.model_copy(
        update={
            "upstreams": {BASE_MODEL: engine.url},
            "upstream_api_key": SecretStr(ENGINE_KEY),
            "usage_flush_s": 0.1,
            "batch_requests_at_once": AT_ONCE,
        }
    )
