"""Stored chats: listed, read, labeled, made a training file of, and deleted."""

from __future__ import annotations

from functools import partial

from service.files.stored_chats.records import StoredChats
from tests.files.stored_chats.support import store_chat
from tests.openapi.scenario.data import NO_CHAT
from tests.openapi.world import World

_GET, _MESSAGES = "getChatCompletion", "listChatCompletionMessages"
_UPDATE, _DELETE, _FILE = "updateChatCompletion", "deleteChatCompletion", "createStoredChatFile"


async def all_of(world: World, stored_chats: StoredChats, project_id: str, model: str) -> None:
    """Do everything with chats that a process of the API stored."""
    for number in range(3):
        metadata = {"channel": "web" if number else "phone"}
        await store_chat(stored_chats, project_id, number, model=model, metadata=metadata)
    await world.call(
        "listChatCompletions",
        "web",
        "Stored chats of one channel",
        query={"metadata[channel]": "web", "limit": 1},
    )
    await world.call("listChatCompletions", expect=400, query={"after": NO_CHAT})
    one = {"completion_id": "chatcmpl-1"}
    await world.call(_GET, "one", path=one)
    await world.call(_MESSAGES, "one", path=one)
    await world.call(_MESSAGES, expect=400, path=one, query={"after": "chatcmpl-2-0"})
    good = {"metadata": {"quality": "good"}}
    await world.call(_UPDATE, "good", "Mark a good answer", path=one, json=good)
    await world.call(_UPDATE, expect=400, path=one, json={"metadata": {"quality": 1}})
    await world.call(
        _FILE,
        "good",
        "Training file of the good answers",
        json={"model": model, "metadata": good["metadata"], "filename": "good.jsonl"},
    )
    await world.call(_FILE, expect=400, json={"model": "unknown"})
    await _evaluate(world)
    await world.call(_DELETE, "one", path=one)
    for operation in (_GET, _MESSAGES, _DELETE):
        await world.call(operation, expect=404, path={"completion_id": NO_CHAT})
    await world.call(_UPDATE, expect=404, path={"completion_id": NO_CHAT}, json=good)
    delete_all = partial(world.call, "deleteChatCompletions", key="project_admin")
    await delete_all(expect=400, query={"model": "m" * 513})
    await delete_all("all")


async def _evaluate(world: World) -> None:
    """Create an eval of stored chats and a run of it, and delete both."""
    grader = {
        "type": "string_check",
        "name": "has no address",
        "input": "{{sample.output_text}}",
        "reference": "[EMAIL]",
        "operation": "ne",
    }
    body = {
        "name": "Stored chats",
        "data_source_config": {"type": "logs", "metadata": {"channel": "web"}},
        "testing_criteria": [grader],
    }
    made = await world.call("createEval", "logs", "Grade stored chats", json=body)
    path = {"eval_id": made.json()["id"]}
    source = {"type": "stored_completions", "limit": 100, "personal_data": "mask"}
    run = {"name": "last chats", "data_source": {"type": "completions", "source": source}}
    await world.call(
        "createEvalRun", "stored", "Stored answers are graded, masked", path=path, json=run
    )
    source = {"type": "stored_completions", "metadata": {"channel": "phone"}}
    run = {"data_source": {"type": "completions", "source": source}}
    await world.call("createEvalRun", expect=400, path=path, json=run)
    await world.call("deleteEval", path=path)
