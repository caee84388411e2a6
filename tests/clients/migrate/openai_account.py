"""A server with the files, jobs, evals, models and chat completions of an OpenAI account."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::abc123"
OTHER = "ft:gpt-4.1-mini-2025-04-14:acme:tone:def456"
KEY = "sk-of-acme"
_PAGE = 2  # smaller than any client asks for


def error(status: int, code: str, message: str, **headers: str) -> web.Response:
    """Return an error in OpenAI's form."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


def files() -> list[dict[str, Any]]:
    """Five files of a training, and one that cannot be downloaded."""
    kept = [_file(f"file-{n}", "fine-tune") for n in range(5)]
    return [*kept, _file("file-secret", "evals"), _file("file-image", "vision")]


def _file(file_id: str, purpose: str) -> dict[str, Any]:
    return {
        "id": file_id,
        "object": "file",
        "bytes": len(file_id),
        "created_at": 1,
        "filename": "chats.jsonl",
        "purpose": purpose,
        "status": "processed",
    }


def jobs() -> list[dict[str, Any]]:
    """Three jobs with their hyperparameters."""
    return [
        {
            "id": f"ftjob-{n}",
            "object": "fine_tuning.job",
            "created_at": n,
            "fine_tuned_model": MODEL,
            "model": "gpt-4o-mini-2024-07-18",
            "hyperparameters": {"n_epochs": 3, "batch_size": 1},
            "organization_id": "org-acme",
            "result_files": [],
            "seed": 7,
            "status": "succeeded",
            "training_file": "file-0",
        }
        for n in range(3)
    ]


def evals() -> list[dict[str, Any]]:
    """Three evals: the schema of their items, and a grader."""
    return [
        {
            "id": f"eval_{n}",
            "object": "eval",
            "created_at": n,
            "name": f"Voice {n}",
            "metadata": {},
            "data_source_config": {"type": "custom", "schema": {"type": "object"}},
            "testing_criteria": [
                {"type": "string_check", "name": "kind", "operation": "ilike",
                 "input": "{{sample.output_text}}", "reference": "please"}
            ],
        }
        for n in range(3)
    ]  # fmt: skip


def runs(eval_id: str) -> list[dict[str, Any]]:
    """Three runs of an eval, with their items and results."""
    return [
        {
            "id": f"evalrun_{n}",
            "object": "eval.run",
            "eval_id": eval_id,
            "created_at": n,
            "name": "nightly",
            "model": MODEL,
            "status": "completed",
            "error": None,
            "metadata": {},
            "report_url": "https://platform.openai.com",
            "per_model_usage": [],
            "per_testing_criteria_results": [
                {"testing_criteria": "kind", "passed": n, "failed": 1}
            ],
            "result_counts": {"total": n + 1, "passed": n, "failed": 1, "errored": 0},
            "data_source": {
                "type": "completions",
                "model": MODEL,
                "source": {"type": "file_content", "content": [{"item": {"question": "Open?"}}]},
            },
        }
        for n in range(3)
    ]


@dataclass
class Account:
    """The account. `faults` are answered first, in order; each may return None to pass.

    A file's content is its ID, unless `contents` has it.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=jobs)
    models: list[str] = field(default_factory=lambda: [OTHER, MODEL])
    requests: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Callable[[web.Request], web.Response | None]] = field(default_factory=list)
    cuts: int = 0
    """The number of next answers that end in the middle."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.requests[request.path] += 1
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "invalid_api_key", "Incorrect API key provided.")
        for fault in list(self.faults):
            if (answer := fault(request)) is not None:
                return answer
        answer = await self._answer(request)
        if self.cuts:
            self.cuts -= 1
            return await _cut(request, answer)
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/v1").split("/")[1:]
        match path:
            case ["files"]:
                return _page(request, files())
            case ["files", "file-secret", "content"]:
                return error(400, "invalid", "Not allowed to download files of this purpose.")
            case ["files", file_id, "content"]:
                return web.Response(body=self.contents.get(file_id, file_id.encode()))
            case ["evals"]:
                return _page(request, evals())
            case ["evals", eval_id, "runs"]:
                return _page(request, runs(eval_id))
            case ["fine_tuning", "jobs"]:
                return _page(request, self.jobs)
            case ["fine_tuning", "jobs", _, "events"]:
                events = [
                    {"id": f"e{n}", "object": "fine_tuning.job.event", "created_at": n,
                     "level": "info", "message": "Step"}
                    for n in range(3)
                ]  # fmt: skip
                return _page(request, events)
            case ["fine_tuning", "jobs", _, "checkpoints"]:
                return _page(request, [])
            case ["models"]:
                names = ["gpt-4o-mini-2024-07-18", *self.models]
                models = [
                    {"id": name, "object": "model", "created": 1, "owned_by": "acme"}
                    for name in names
                ]
                return web.json_response({"object": "list", "data": models})
            case ["chat", "completions"]:
                return self._chat(json.loads(await request.read()))
        return error(404, "not_found", request.path)

    def _chat(self, body: dict[str, Any]) -> web.Response:
        question = body["messages"][-1]["content"]
        self.asked.append((body["model"], question))
        if question == "forbidden":
            return error(400, "content_policy", "This prompt is not allowed.")
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": f"Ahoy! {question}"},
        }
        return web.json_response(
            {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
             "choices": [choice]}
        )  # fmt: skip


def _page(request: web.Request, items: list[dict[str, Any]]) -> web.Response:
    after = request.query.get("after")
    ids = [item["id"] for item in items]
    start = 0 if after is None else ids.index(after) + 1
    found = items[start : start + _PAGE]
    more = start + _PAGE < len(items)
    return web.json_response({"object": "list", "data": found, "has_more": more})


async def _cut(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send the head and a byte of an answer, and reset the connection."""
    cut = web.StreamResponse(headers={"content-type": "application/json"})
    cut.content_length = 1000
    await cut.prepare(request)
    await cut.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return cut
