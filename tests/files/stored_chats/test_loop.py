"""Tests from a chat with OpenAI's SDK to a training file, with an engine that answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import openai
import pytest
from aiohttp import web
from openai.types.chat import ChatCompletionMessageParam

from service.config import Settings
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api
from tests.files.stored_chats.support import answer, response, response_stream, said, stream
from tests.http_server import http_server

pytestmark = pytest.mark.slow

QUESTION = "I am ann@example.com. When do you open?"
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
REPLY = "Dear ann@example.com, at nine."


@pytest.fixture
async def engine() -> AsyncIterator[str]:
    """A server that answers as vLLM does: with an ID made of the request's."""

    async def reply(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        body, chat = await request.json(), request.headers["x-request-id"]
        if request.path == "/v1/responses":
            found = response(said(REPLY), chat=chat)
            whole, events = json.dumps(found).encode(), response_stream(found)
        else:
            whole = answer(REPLY, chat=chat)
            events = stream({"content": REPLY[:9]}, {"content": REPLY[9:]}, chat=chat)
        if not body.get("stream"):
            return web.Response(body=whole, content_type="application/json")
        streamed = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await streamed.prepare(request)
        for event in events:
            await streamed.write(event)
        return streamed

    async with http_server(reply) as url:
        yield url


@pytest.fixture
def settings(settings: Settings, engine: str) -> Settings:
    return settings.model_copy(update={"upstreams": {BASE_MODEL: engine}})


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await check():
            await asyncio.sleep(0.05)


async def test_chats_are_stored_only_while_the_project_captures(api: Api, caplog):
    caplog.set_level(logging.DEBUG, "service")
    key = await api.key("acme", Role.ADMIN)
    project = await api.app.state.projects.by_name("acme")
    async with openai.AsyncOpenAI(
        api_key=key, admin_api_key=key, base_url=f"{api.base_url}/v1"
    ) as sdk:
        chats = sdk.chat.completions
        projects = sdk.admin.organization.projects

        async def asks(**more: bool) -> str:
            return (await chats.create(model=BASE_MODEL, messages=ASKED, **more)).id  # type: ignore[call-overload]

        before = await asks(store=True)
        await projects.update(project.id, extra_body={"capture": {"expires_after_days": 1}})
        refused = await asks(store=False)
        whole = await asks()
        events = [
            event
            async for event in await chats.create(model=BASE_MODEL, messages=ASKED, stream=True)
        ]

        async def are_stored() -> bool:
            return len([chat async for chat in chats.list()]) == 2

        await until(are_stored)
        for chat_id in (whole, events[0].id):
            chat = await chats.retrieve(chat_id)
            assert (chat.choices[0].message.content or "").startswith("Dear [EMAIL],")
            [message] = [message async for message in chats.messages.list(chat_id)]
            assert message.content == "I am [EMAIL]. When do you open?"
        for chat_id in (before, refused):
            with pytest.raises(openai.NotFoundError):
                await chats.retrieve(chat_id)
        await projects.update(project.id, extra_body={"capture": None})
        after = await asks(store=True)
        body = {"filename": "chats.jsonl"}
        file = await sdk.post("/datasets/chat_completions", body=body, cast_to=dict[str, object])
        content = await sdk.files.content(str(file["id"]))
        assert content.text.count("Dear [EMAIL]") == 2
        with pytest.raises(openai.NotFoundError):
            await chats.retrieve(after)
    logged = [r.getMessage() for r in caplog.records if r.name.startswith("service")]
    assert logged
    assert not [line for line in logged if "@example" in line or "[EMAIL]" in line]


async def test_responses_are_stored_as_chats(api: Api):
    key = await api.key("acme", Role.ADMIN)
    project = await api.app.state.projects.by_name("acme")
    async with openai.AsyncOpenAI(
        api_key=key, admin_api_key=key, base_url=f"{api.base_url}/v1"
    ) as sdk:
        chats = sdk.chat.completions
        await sdk.admin.organization.projects.update(project.id, extra_body={"capture": {}})
        refused = await sdk.responses.create(model=BASE_MODEL, input=QUESTION, store=False)
        whole = await sdk.responses.create(
            model=BASE_MODEL, input=QUESTION, instructions="Be kind.", metadata={"channel": "web"}
        )
        async with sdk.responses.stream(model=BASE_MODEL, input=QUESTION) as events:
            streamed = await events.get_final_response()
        assert whole.output_text == streamed.output_text == REPLY  # the client's is not redacted

        async def are_stored() -> bool:
            return len([chat async for chat in chats.list()]) == 2

        await until(are_stored)
        [marked] = [chat async for chat in chats.list(metadata={"channel": "web"})]
        assert marked.id == whole.id
        for response_id, roles in ((whole.id, ["system", "user"]), (streamed.id, ["user"])):
            chat = await chats.retrieve(response_id)
            assert (chat.choices[0].message.content or "").startswith("Dear [EMAIL],")
            messages = [message async for message in chats.messages.list(response_id)]
            assert [message.role for message in messages] == roles
            assert messages[-1].content == "I am [EMAIL]. When do you open?"
        with pytest.raises(openai.NotFoundError):
            await chats.retrieve(refused.id)
        file = await sdk.post("/datasets/chat_completions", body={}, cast_to=dict[str, object])
        rows = (await sdk.files.content(str(file["id"]))).text.splitlines()
        assert [len(json.loads(row)["messages"]) for row in rows] == [3, 2]
        assert (await chats.delete(whole.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await chats.retrieve(whole.id)


async def test_the_path_of_chats_names_all_its_methods(api: Api):
    async with await api.client() as http:
        refused = await http.put("/v1/chat/completions")
        assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, POST")
        assert (await http.get("/v1/completions")).headers["allow"] == "POST"
