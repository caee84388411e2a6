"""An engine that speaks vLLM's chat API over HTTP and answers from a table."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from service.core import clock, ids
from service.inference.background.calls import EngineAccess
from service.inference.upstreams import Upstreams
from service.jobs.evaluation.engine import EvaluationEngine
from service.models.records import ModelRecord
from service.usage.meter import Meter
from tests.conftest import Api
from tests.http_server import http_server

BASE = "tiny-base"
TUNED = f"ft:{BASE}:acme::abc123def456"


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class ScriptedEngine:
    """Tokens are words. The tuned model knows the answers, and the base model does not.

    `answers` maps a question to what models answer that are not `ignorant`, and `calls` to the tool
    that they call if the question comes with tools. Without a `tool_parser`, calls stay in the text
    as `call_format` has them. If it `thinks`, all that it writes is taken for a thought, unless a
    request switches thoughts off. `judge` says which of two answers is better. `failures` are
    statuses of the next responses. Requests wait until `go` is set.
    """

    url: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    base_answer: str = "I do not know."
    ignorant: set[str] = field(default_factory=lambda: {BASE})
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    tool_parser: bool = True
    call_format: str = '<tool_call> {{"name": "{name}", "arguments": {arguments}}} </tool_call>'
    thinks: bool = False
    judge: Callable[[str, str, str], str] = lambda question, first, second: "tie"
    failures: list[int] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    health: int = 200
    waiting: int = 0
    go: asyncio.Event = field(default_factory=_set_event)

    @property
    def continuations(self) -> int:
        """Number of requests to continue a given beginning."""
        return sum(bool(body.get("continue_final_message")) for body in self.seen)

    @property
    def asked(self) -> Counter[str]:
        """Number of questions by model, without scoring requests."""
        return Counter(body["model"] for body in self.seen if body["max_tokens"] > 1)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response(status=self.health)
        body = await request.json()
        if self.failures:
            error = {"message": "no", "code": "context_length_exceeded"}
            return web.json_response({"error": error}, status=self.failures.pop(0))
        self.waiting += 1
        await self.go.wait()
        self.waiting -= 1
        self.seen.append(body)
        messages = body["messages"]
        if body.get("tools") and not self.tool_parser and body.get("tool_choice") != "none":
            refused = {"message": '"auto" tool choice requires a parser', "code": 400}
            return web.json_response({"error": refused}, status=400)
        tokens = [word for m in messages for word in ("<role>", *self._written(m).split())]
        if body.get("prompt_logprobs") is None:
            tokens.append("<assistant>")
        message = self._message(body)
        text = self._written(message)
        answer: dict[str, Any] = {
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": len(tokens), "completion_tokens": len(text.split())},
        }
        if body.get("prompt_logprobs") is not None:
            known = body["model"] not in self.ignorant
            entry = {"logprob": -0.5 if known else -2.0, "rank": 1 if known else 7}
            entries = [{**entry, "decoded_token": f"{word} "} for word in tokens[1:]]
            answer["prompt_logprobs"] = [None, *({str(n): one} for n, one in enumerate(entries))]
        return web.json_response(answer)

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer as vLLM gives it, with or without a parser of tool calls."""
        question = body["messages"][-1]["content"]
        if "response_format" in body:
            result = self.judge(*question.split("\n\n")[:3])
            return {"role": "assistant", "content": json.dumps({"result": result})}
        knows = body["model"] not in self.ignorant and body.get("tools")
        call = self.calls.get(question) if knows else None
        if call is None:
            said = self._answer(body["model"], body["messages"])
            if self.thinks and "chat_template_kwargs" not in body:
                return {"role": "assistant", "content": None, "reasoning": said}
            return {"role": "assistant", "content": said}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        if body.get("tool_choice") == "none":
            return {"role": "assistant", "content": self._written(message)}
        return message

    def _written(self, message: dict[str, Any]) -> str:
        """A message as the chat template writes it."""
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        calls = [self.call_format.format(**function) for function in functions]
        return " ".join(filter(None, [message.get("content"), *calls]))

    def _answer(self, model: str, messages: list[dict[str, Any]]) -> str:
        question = messages[-1]["content"]
        return self.base_answer if model in self.ignorant else self.answers.get(question, "Aye.")


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    made = ScriptedEngine()
    async with http_server(made.handle) as made.url:
        yield made


@pytest.fixture
async def open_engine(
    engine: ScriptedEngine, api: Api
) -> AsyncIterator[Callable[..., EvaluationEngine]]:
    """Opens the engine on behalf of project acme, which has the tuned model."""
    state = api.app.state
    project = await state.projects.create("acme")
    await state.registry.register(tuned_model(project.id))

    def make(patience_s: float = 60, **options: Any) -> EvaluationEngine:
        access = EngineAccess(
            projects=state.projects,
            registry=state.registry,
            upstreams=upstreams,
            meter=meter,
            settings=api.settings.model_copy(update={"eval_engine_patience_s": patience_s}),
        )
        return EvaluationEngine(access.calls(project.id, "key_a"), BASE, **options)

    async with (
        Upstreams({BASE: [engine.url]}, api_key="inner") as upstreams,
        Meter(state.redis) as meter,
    ):
        yield make


def tuned_model(project_id: str, **fields: Any) -> ModelRecord:
    """The record of the tuned model, which no job trained."""
    made = ModelRecord(
        id=TUNED,
        project_id=project_id,
        created_at=clock.now_s(),
        base_model=BASE,
        job_id=ids.new(ids.JOB),
        artifact=f"{project_id}/jobs/a1/adapter",
        digest="0" * 64,
        step=1,
    )
    return made.model_copy(update=fields)
