"""An engine that speaks vLLM's chat API over HTTP and answers from a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from service.inference.upstreams import Upstreams
from tests.http_server import http_server

BASE = "tiny-base"
TUNED = f"ft:{BASE}:acme::abc123def456"


@dataclass
class ScriptedEngine:
    """Tokens are words. The tuned model knows the answers, and the base model does not.

    `answers` maps a question to what the tuned model answers. `failures` are statuses of the next
    responses.
    """

    url: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    base_answer: str = "I do not know."
    failures: list[int] = field(default_factory=list)
    seen: list[dict] = field(default_factory=list)
    health: int = 200

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
        self.seen.append(body)
        messages = body["messages"]
        tokens = [word for message in messages for word in ("<role>", *message["content"].split())]
        if body.get("prompt_logprobs") is None:
            tokens.append("<assistant>")
        text = self._answer(body["model"], messages)
        answer = {
            "choices": [
                {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": len(tokens), "completion_tokens": len(text.split())},
        }
        if body.get("prompt_logprobs") is not None:
            known = body["model"] != BASE
            entry = {"logprob": -0.5 if known else -2.0, "rank": 1 if known else 7}
            answer["prompt_logprobs"] = [None, *({str(n): entry} for n in range(1, len(tokens)))]
        return web.json_response(answer)

    def _answer(self, model: str, messages: list[dict]) -> str:
        question = messages[-1]["content"]
        return self.base_answer if model == BASE else self.answers.get(question, "Aye.")


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    made = ScriptedEngine()
    async with http_server(made.handle) as made.url:
        yield made


@pytest.fixture
async def upstreams(engine: ScriptedEngine) -> AsyncIterator[Upstreams]:
    async with Upstreams({BASE: [engine.url]}, api_key="inner") as opened:
        yield opened
