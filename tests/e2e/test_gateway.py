"""Tests that the gateway returns the same bytes as vLLM, except for what it adds."""

from __future__ import annotations

import concurrent.futures
import json
import re
import time
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack, wait_for

pytestmark = pytest.mark.e2e

# Clear to the model: how it rounds depends on the engine's other requests, and changes nothing.
MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "Complete the sentence: The capital of France is"}
]
CHAT = {"model": DEMO_MODEL, "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
PROMPT = {
    "model": DEMO_MODEL,
    "prompt": "One, two, three, four, five,",
    "max_tokens": 6,
    "temperature": 0,
}
# Values that vLLM creates for each request.
_NEW = re.compile(rb'"(id|response_id|item_id|created|created_at|completed_at)":("[^"]*"|[0-9.]+)')


BATCH_DONE_S = 240


@pytest.fixture(scope="module")
def engine(stack: Stack):
    """The address of vLLM itself."""
    key = (stack.data_dir / ".engine-key").read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{stack.engine_port()}"
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def gateway(stack: Stack):
    """The address of the api."""
    headers = {"authorization": f"Bearer {stack.key}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        yield client


def same(body: bytes) -> bytes:
    return _NEW.sub(rb'"\1":0', body)


def said(body: bytes) -> list[Any]:
    """Return the merged content of a stream.

    vLLM may join tokens into one event, so two streams of the same answer may be divided
    differently. tests/inference/gateway tests that the gateway passes events on byte for byte.
    """
    events: list[Any] = []
    for line in same(body).split(b"\n\n")[:-1]:
        assert line.startswith(b"data: ")
        event = {} if line == b"data: [DONE]" else json.loads(line.removeprefix(b"data: "))
        before, choices = (events[-1] if events else None), event.get("choices")
        if choices and before and before.get("choices"):
            _join(before["choices"][0], choices[0])
        else:
            events.append(event)
    return events


def _join(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Append the text of `after` to `before`. All other values come from the last event."""
    delta = {**before.get("delta", {}), **after.get("delta", {})}
    text = {
        name: old.get(name, "") + new.get(name, "")
        for old, new, name in [
            (before.get("delta", {}), after.get("delta", {}), "content"),
            (before, after, "text"),
        ]
    }
    tokens = [
        token
        for choice in (before, after)
        for token in (choice.get("logprobs") or {}).get("content", [])
    ]
    before.update(after, delta={**delta, "content": text["content"]}, text=text["text"])
    before["logprobs"] = {"content": tokens}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", {**CHAT, "stream": True}),
        (
            "/v1/chat/completions",
            {**CHAT, "stream": True, "stream_options": {"include_usage": True}},
        ),
        ("/v1/chat/completions", {**CHAT, "stream": True, "logprobs": True, "top_logprobs": 2}),
        ("/v1/completions", PROMPT),
        ("/v1/completions", {**PROMPT, "stream": True}),
        (
            "/v1/responses",
            {"model": DEMO_MODEL, "input": "Hi", "max_output_tokens": 5, "temperature": 0},
        ),
    ],
)
def test_the_same_bytes_as_from_the_engine(gateway, engine, path, body):
    direct, ours = engine.post(path, json=body), gateway.post(path, json=body)
    assert (direct.status_code, ours.status_code) == (200, 200)
    if body.get("stream"):
        assert said(ours.content) == said(direct.content)
    else:
        assert same(ours.content) == same(direct.content)
    assert ours.headers["content-type"] == direct.headers["content-type"]


def test_a_streamed_response_that_reaches_its_limit_ends_incomplete(sdk: openai.OpenAI):
    with sdk.responses.create(
        model=DEMO_MODEL, input="Count to twenty.", max_output_tokens=3, stream=True
    ) as stream:
        *_, last = stream
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


def test_a_caller_may_use_a_request_id_twice_at_the_same_time(gateway):
    def ask(_: int) -> httpx.Response:
        return gateway.post(
            "/v1/chat/completions",
            json={**CHAT, "max_tokens": 40, "ignore_eos": True},
            headers={"x-request-id": "mine-1"},
        )

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert [a.status_code for a in answers] == [200] * 4
    assert {a.headers["x-request-id"] for a in answers} == {"mine-1"}
    assert [a.json()["usage"]["completion_tokens"] for a in answers] == [40] * 4


def test_tokens_of_streams_and_answers_are_accounted_alike(stack: Stack, gateway, engine):
    told = engine.post("/v1/chat/completions", json=CHAT).json()["usage"]
    projects = "/v1/organization/projects"
    project = gateway.post(projects, json={"name": "metered"}).json()["id"]
    key = gateway.post(f"{projects}/{project}/api_keys", json={"name": "k"}).json()["value"]
    headers = {"authorization": f"Bearer {key}"}
    gateway.post("/v1/chat/completions", json=CHAT, headers=headers)
    gateway.post("/v1/chat/completions", json={**CHAT, "stream": True}, headers=headers)

    def usage() -> dict[str, int]:
        with stack.client() as sdk:
            page = sdk.get(
                f"/organization/usage/completions?start_time={int(time.time()) - 86_400}"
                f"&bucket_width=1d&limit=3&project_ids[]={project}",
                cast_to=httpx.Response,
            ).json()
        rows = [row for bucket in page["data"] for row in bucket["results"]]
        names = ("input_tokens", "output_tokens", "num_model_requests")
        return {name: sum(row[name] for row in rows) for name in names}

    wait_for(lambda: usage()["num_model_requests"] == 2, 60, "accounting")
    assert usage()["input_tokens"] == 2 * told["prompt_tokens"]
    assert usage()["output_tokens"] == 2 * told["completion_tokens"]


def test_a_program_moves_over_by_its_base_url_alone(stack: Stack, sdk: openai.OpenAI):
    name = "gpt-4o-mini"
    sdk.put(f"/aliases/{name}", body={"model": DEMO_MODEL}, cast_to=object)
    try:
        answer = sdk.chat.completions.create(model=name, messages=MESSAGES, max_tokens=8)
        assert answer.choices[0].message.content
        assert answer.model == DEMO_MODEL
        with sdk.chat.completions.create(
            model=name, messages=MESSAGES, max_tokens=8, stream=True
        ) as stream:
            assert all(chunk.choices for chunk in stream)  # no event that was not requested
        assert sdk.models.retrieve(name).id == name
    finally:
        sdk.delete(f"/aliases/{name}", cast_to=object)
    with pytest.raises(openai.NotFoundError):
        sdk.chat.completions.create(model=name, messages=MESSAGES)


_LONG = "word " * 3000


@pytest.mark.parametrize(
    ("path", "fields", "param", "code"),
    [
        ("chat/completions", {"max_tokens": 10**6}, "max_tokens", "invalid_value"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": _LONG}]},
            "messages",
            "context_length_exceeded",
        ),
        ("completions", {"prompt": _LONG}, "prompt", "context_length_exceeded"),
        ("responses", {"input": _LONG}, "input", "context_length_exceeded"),
        ("chat/completions", {"seed": "x"}, "seed", "invalid_type"),
        ("chat/completions", {"stop": 5}, "stop", "invalid_type"),
        ("chat/completions", {"user": 5}, "user", "invalid_type"),
        ("chat/completions", {"logit_bias": [1]}, "logit_bias", "invalid_type"),
        ("chat/completions", {"response_format": {"type": "xml"}}, "response_format", None),
        (
            "chat/completions",
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
        ),
    ],
)
def test_the_engines_own_errors_are_told_in_openais_words(gateway, path, fields, param, code):
    needed = {"chat/completions": {"messages": MESSAGES}}.get(path, {})
    answer = gateway.post(f"/v1/{path}", json={"model": DEMO_MODEL, **needed, **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error"), error
    assert error["param"].startswith(param)
    assert code is None or error["code"] == code
    for word in ("Input should be", "max_model_len", "validation error", "constrained", "body."):
        assert word not in error["message"]


def test_a_batch_has_the_answers_of_the_gateway(sdk: openai.OpenAI, gateway: httpx.Client):
    chat = {**CHAT, "max_tokens": 4}
    bodies = {
        "first": chat,
        "second": {**chat, "n": 2, "temperature": 1},
        "refused": {**chat, "temperature": 9},
    }
    url = "/v1/chat/completions"
    rows = [
        {"custom_id": name, "method": "POST", "url": url, "body": body}
        for name, body in bodies.items()
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    file = sdk.files.create(file=("requests.jsonl", content.encode()), purpose="batch")
    batch = sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    deadline = time.monotonic() + BATCH_DONE_S
    while batch.status in ("validating", "in_progress", "finalizing"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)
        batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "completed", batch
    assert batch.output_file_id
    assert batch.error_file_id
    found = {}
    for file_id in (batch.output_file_id, batch.error_file_id):
        for line in sdk.files.content(file_id).text.splitlines():
            result = json.loads(line)
            found[result["custom_id"]] = result["response"]
    assert found.keys() == bodies.keys()
    answer = gateway.post(url, json=bodies["first"])
    assert found["first"]["status_code"] == 200
    assert found["first"]["body"]["choices"] == answer.json()["choices"]
    answer = gateway.post(url, json=bodies["refused"])
    assert (found["refused"]["status_code"], found["refused"]["body"]) == (400, answer.json())
    assert len(found["second"]["body"]["choices"]) == 2


def test_the_demo_model_writes_rows_from_a_document(sdk: openai.OpenAI, gateway: httpx.Client):
    """Such a small model rarely passes its own check: only the structure is certain."""
    text = (
        "# Opening hours\n\nThe library opens at 9 o'clock and closes at 17 o'clock. It is closed "
        "on Sundays. Readers can borrow up to 5 books for 30 days.\n"
    )
    document = sdk.files.create(file=("hours.md", text.encode()), purpose="user_data")
    body = {
        "document_ids": [document.id],
        "model": CHAT["model"],
        "kinds": ["questions", "refusals"],
        "n": 1,
    }
    answer = gateway.post("/v1/dataset_generations", json=body)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    deadline = time.monotonic() + BATCH_DONE_S
    while made["status"] in ("queued", "in_progress"):
        assert time.monotonic() < deadline, made
        time.sleep(0.1)
        made = gateway.get(f"/v1/dataset_generations/{made['id']}").json()
    assert (made["status"], made["error"]) == ("completed", None)
    counts, usage = made["counts"], made["usage"]
    assert (counts["passages"], counts["asked"]) == (1, 1)
    assert counts["kept"] + sum(counts["dropped"].values()) >= 2
    assert "engine_error" not in counts["dropped"]
    assert 0 < usage["output_tokens"] < usage["total_tokens"]
    output_file_id = made["result"]["output_file_id"]
    assert (output_file_id is not None) == (counts["kept"] > 0)
    if output_file_id:
        lines = sdk.files.content(output_file_id).text.splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == counts["kept"]
        assert {row["generated"]["passage"] for row in rows} == {text.strip()}
