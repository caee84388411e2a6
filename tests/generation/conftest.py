"""A scripted model, documents of project acme, and generations that a worker works on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr

from service.config import Settings
from tests.conftest import BASE_MODEL, upload
from tests.evals.conftest import ENGINE_KEY, Engine, engine

__all__ = ["engine"]

DONE_S = 60
AT_ONCE = 4
ENDED = ("completed", "failed", "cancelled")
INPUT_TOKENS, OUTPUT_TOKENS = 10, 2
_OPENS = re.compile(r"room (\d+) opens at (\d+) o'clock")
_FILLER = "Ask the porter for a key, and bring it back before you leave the house. " * 9


def section(room: int) -> str:
    """A passage that says when a room opens."""
    return f"## Keys\n\nThe door of room {room} opens at {room % 12 + 1} o'clock. {_FILLER}\n\n"


def handbook(*rooms: int) -> str:
    """A document with a passage for each room."""
    return "# House rules\n\n" + "".join(section(room) for room in rooms)


def pair(prompt: str) -> dict[str, str]:
    """The question and the answer that the passage in a prompt states."""
    found = _OPENS.search(prompt)
    assert found is not None
    room, hour = found.groups()
    return {
        "question": f"When does the door of room {room} open?",
        "answer": f"It opens at {hour} o'clock.",
    }


@dataclass
class Model:
    """What the model answers to each kind of request. A text is sent as it is."""

    rows: Callable[[str], Any] = lambda prompt: {"rows": [pair(prompt)]}
    rewrite: Callable[[str], Any] = lambda prompt: {
        "question": f"At what time can I enter {re.findall('room [0-9]+', prompt)[-1]}?"
    }
    refusal: Callable[[str], Any] = lambda prompt: {
        "question": f"Who paints the walls of {re.findall('room [0-9]+', prompt)[-1]}?",
        "answer": "I am sorry, that information is not available.",
    }
    verdict: Callable[[str], Any] = lambda prompt: {
        "verdict": "no" if prompt.startswith("Does the text answer") else "yes"
    }
    wait: Callable[[str], Any] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def reply(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        name = body["response_format"]["json_schema"]["name"]
        prompt = body["messages"][-1]["content"]
        self.asked.append((name, prompt))
        if self.wait is not None:
            await self.wait(name)
        said = getattr(self, name)(prompt)
        content = said if isinstance(said, str) else json.dumps(said)
        message = {"role": "assistant", "content": content}
        return web.json_response(
            {
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS},
            }
        )

    def rooms(self, name: str) -> list[str]:
        """The rooms that requests of a kind were about."""
        found = [_OPENS.search(prompt) for kind, prompt in self.asked if kind == name]
        return [one.group(1) for one in found if one is not None]


@pytest.fixture
def model(engine: Engine) -> Model:
    """A model that writes good rows."""
    made = Model()
    engine.reply = made.reply
    return made


@pytest.fixture
def settings(settings: Settings, engine: Engine) -> Settings:
    """The engine serves the base model."""
    return settings.model_copy(
        update={
            "upstreams": {BASE_MODEL: engine.url},
            "upstream_api_key": SecretStr(ENGINE_KEY),
            "usage_flush_s": 0.1,
            "generation_requests_at_once": AT_ONCE,
        }
    )


async def document(http: httpx.AsyncClient, text: str | bytes, name: str = "rules.md") -> str:
    """The ID of a new document."""
    data = text.encode() if isinstance(text, str) else text
    answer = await upload(http, data, "user_data", name=name)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def created(http: httpx.AsyncClient, *documents: str, **fields: Any) -> dict[str, Any]:
    """A generation from documents."""
    body = {"document_ids": documents, "model": BASE_MODEL, **fields}
    answer = await http.post("/v1/dataset_generations", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(http: httpx.AsyncClient, *documents: str, **fields: Any) -> tuple[int, Any]:
    """The status and the error of a request for a generation."""
    body = {"document_ids": documents, "model": BASE_MODEL, **fields}
    answer = await http.post("/v1/dataset_generations", json=body)
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()["error"]


async def until(
    http: httpx.AsyncClient, made: dict[str, Any], is_so: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The generation once something is true of it."""
    async with asyncio.timeout(DONE_S):
        while True:
            answer = await http.get(f"/v1/dataset_generations/{made['id']}")
            assert answer.status_code == 200, answer.text
            if is_so(answer.json()):
                return answer.json()
            await asyncio.sleep(0.05)


async def ended(http: httpx.AsyncClient, made: dict[str, Any]) -> dict[str, Any]:
    """The generation once it has a final status."""
    return await until(http, made, lambda one: one["status"] in ENDED)


async def rows_of(http: httpx.AsyncClient, made: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the file of a generation. No two have the same ID."""
    if made["result"]["output_file_id"] is None:
        return []
    content = await http.get(f"/v1/files/{made['result']['output_file_id']}/content")
    rows = [json.loads(line) for line in content.text.splitlines()]
    assert len({row["generated"]["id"] for row in rows}) == len(rows)
    return rows
