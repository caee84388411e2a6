"""A scripted engine, evals of project acme, and runs that a worker of this process works on."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest
from aiohttp import web
from pydantic import SecretStr

from service.config import Settings
from service.core import clock
from tests.conftest import BASE_MODEL, Api
from tests.http_server import http_server

ENGINE_KEY = "inner-key"
DONE_S = 60
ENDED = ("completed", "failed", "canceled")
EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{ sample.output_text }}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
ITEM_SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question"],
}
EVAL: dict[str, Any] = {
    "name": "Opening hours",
    "metadata": {"team": "support"},
    "data_source_config": {
        "type": "custom",
        "item_schema": ITEM_SCHEMA,
        "include_sample_schema": True,
    },
    "testing_criteria": [EXACT],
}
TEMPLATE = {
    "type": "template",
    "template": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Q: {{item.question}}"},
    ],
}


def items(count: int, **more: Any) -> list[dict[str, Any]]:
    """Items that expect the answer of the engine, except every third item."""
    return [
        {"item": {"question": str(n), "answer": f"A{n}" if n % 3 else "?", **more}}
        for n in range(count)
    ]


def sampled(content: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A run that samples answers to items of the request."""
    data_source = {
        "type": "completions",
        "model": BASE_MODEL,
        "input_messages": TEMPLATE,
        "source": {"type": "file_content", "content": content},
        **more,
    }
    return {"name": "base", "data_source": data_source}


Reply = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Engine:
    """An HTTP server instead of vLLM: answers "A" and the last word of the prompt."""

    url: str = ""
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    reply: Reply | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def questions(self) -> list[str]:
        """The last word of each prompt, in the order in which they came."""
        return [_messages(body)[-1]["content"].split()[-1] for _, body in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        assert request.headers["authorization"] == f"Bearer {ENGINE_KEY}"
        body = await request.json()
        self.seen.append((request.path, body))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.go.wait()
            return await (self.reply or answered)(request, body)
        finally:
            self.in_flight -= 1


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    asked: Any = body.get("messages") or body["input"]
    return [{"content": asked}] if isinstance(asked, str) else asked


async def answered(request: web.Request, body: dict[str, Any]) -> web.Response:
    """An answer as vLLM gives it."""
    return says(request, body, "A" + _messages(body)[-1]["content"].split()[-1])


def says(
    request: web.Request, body: dict[str, Any], text: str | None, **message: Any
) -> web.Response:
    """An answer with this text."""
    if request.path == "/v1/responses":
        part = {"type": "output_text", "text": text}
        output = [{"type": "message", "role": "assistant", "content": [part]}]
        usage: dict[str, Any] = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        shown: dict[str, Any] = {"status": "completed", "output": output, "usage": usage}
        shown |= {"id": f"resp_{_id(request)}", "created_at": clock.now_s()}
    else:
        whole = {"role": "assistant", "content": text, **message}
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4},
        }
        choices = [{"index": 0, "message": whole, "finish_reason": "stop"}]
        shown = {"choices": choices, "usage": usage}
        shown |= {"id": f"chatcmpl-{_id(request)}", "created": clock.now_s()}
    return web.json_response({"model": body["model"], **shown})


def _id(request: web.Request) -> str:
    return request.headers.get("x-request-id") or "none"


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine that answers at once."""
    engine = Engine()
    engine.go.set()
    async with http_server(engine.handle, handler_cancellation=True) as engine.url:
        yield engine
        engine.go.set()


@pytest.fixture
def settings(settings: Settings, engine: Engine) -> Settings:
    """The engine serves the base model."""
    return settings.model_copy(
        update={
            "upstreams": {BASE_MODEL: engine.url},
            "upstream_api_key": SecretStr(ENGINE_KEY),
            "usage_flush_s": 0.1,
            "eval_requests_at_once": 16,  # fewer than a run's items, so that some wait
        }
    )


@pytest.fixture
async def eval_id(http: httpx.AsyncClient) -> str:
    """An eval with one grader."""
    return (await made(http, "/v1/evals", EVAL))["id"]


async def made(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The object that a request creates."""
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """The status and the error of a request."""
    answer = await http.post(path, json=body)
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()["error"]


async def ended(http: httpx.AsyncClient, run: dict[str, Any]) -> dict[str, Any]:
    """The run once it has a final status."""
    return await until(http, run, lambda run: run["status"] in ENDED)


async def until(
    http: httpx.AsyncClient, run: dict[str, Any], is_so: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The run once something is true of it."""
    async with asyncio.timeout(DONE_S):
        while True:
            answer = await http.get(f"/v1/evals/{run['eval_id']}/runs/{run['id']}")
            assert answer.status_code == 200, answer.text
            if is_so(answer.json()):
                return answer.json()
            await asyncio.sleep(0.05)


async def output_items(http: httpx.AsyncClient, run: dict[str, Any], **query: Any) -> list[Any]:
    """All output items of the run, page by page."""
    found: list[Any] = []
    while True:
        path = f"/v1/evals/{run['eval_id']}/runs/{run['id']}/output_items"
        answer = await http.get(path, params={"limit": 7, **query})
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        if not answer.json()["has_more"]:
            return found
        query["after"] = answer.json()["last_id"]


def strictly(model: type[openai.BaseModel], shown: dict[str, Any]) -> None:
    """Check that an object is of the SDK's type, with all fields and without conversions.

    The SDK declares `error` as an object. OpenAI answers null where there is none, as here, so
    that `if run.error` is false.
    """
    shown = copy.deepcopy(shown)
    for holder in (shown, shown.get("sample", {})):
        if "error" in holder and holder["error"] is None:
            holder["error"] = {"code": "", "message": ""}
    parsed = model.model_validate_json(json.dumps(shown), strict=True)
    missing = {f for f, info in model.model_fields.items() if info.is_required()}
    assert missing <= parsed.model_fields_set


@pytest.fixture
async def sdk(api: Api) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK."""
    async with openai.AsyncOpenAI(
        base_url=f"{api.base_url}/v1", api_key=await api.key(), max_retries=0
    ) as client:
        yield client
