"""Handlers of stored chats, and their storage by a process of the API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.files.stored_chats.records import StoredChats
from tests.faults.actor.base import Actor, answered, both, make, requests, send, works
from tests.faults.invariants import listed
from tests.faults.world import World
from tests.files.stored_chats.support import store_chat

_CHATS = "/v1/chat/completions"
_GRADER = {
    "type": "string_check",
    "name": "replaced",
    "input": "{{sample.output_text}}",
    "reference": "[EMAIL]",
    "operation": "like",
}
_ONE = f"{_CHATS}/chatcmpl-1"


def _stored_chats(world: World) -> StoredChats:
    stored_chats: StoredChats = world.app.state.stored_chats
    return stored_chats


async def _store(world: World) -> None:
    """Store a chat. One that cannot be stored is dropped."""
    with contextlib.suppress(*REDIS_ERRORS, StorageError, AssertionError):
        await store_chat(_stored_chats(world), world.notes["project"], 1)


async def _stored(world: World) -> None:
    await store_chat(_stored_chats(world), world.notes["project"], 1)


async def _chats(world: World) -> int:
    return len(await listed(world, _CHATS))


async def _each_can_be_read(world: World) -> AsyncIterator[str]:
    """A list leaves out chats whose bytes are missing."""
    records = await _stored_chats(world).list_all(world.notes["project"])
    if len(records) != await _chats(world):
        yield "a stored chat has not its bytes"


async def _update(world: World) -> None:
    await send(world, "POST", _ONE, json={"metadata": {"quality": "good"}})


async def _delete(world: World) -> None:
    await send(world, "DELETE", _ONE)


async def _delete_all(world: World) -> None:
    await send(world, "DELETE", _CHATS)


async def _gone(world: World) -> AsyncIterator[str]:
    if await _chats(world):
        yield "a deleted chat is listed"


async def _make_file(world: World) -> None:
    await send(world, "POST", "/v1/datasets/chat_completions", json={})


async def _files(world: World) -> int:
    return len(await listed(world, "/v1/files"))


async def _run_waits(world: World) -> None:
    """Create an eval of stored chats and a run on two of them."""
    for number in (1, 2):
        await store_chat(_stored_chats(world), world.notes["project"], number)
    body = {"data_source_config": {"type": "logs"}, "testing_criteria": [_GRADER]}
    await make(world, "/v1/evals", "eval", json=body)
    source = {"type": "completions", "source": {"type": "stored_completions"}}
    await make(world, f"/v1/evals/{world.notes['eval']}/runs", "run", json={"data_source": source})


async def _each_item_has_a_chat(world: World) -> AsyncIterator[str]:
    """A run counts the chats that were deleted before it read them."""
    path = f"/v1/evals/{world.notes['eval']}/runs/{world.notes['run']}"
    run = (await world.http.get(path)).json()
    items = await listed(world, f"{path}/output_items")
    if run["status"] != "completed" or len(items) + run["deleted_items"] != 2:
        yield f"a run on stored chats is {run['status']} with {len(items)} of 2 items"


STORED_CHATS = (
    Actor("store-chat", _store, again=_store, check=both(_each_can_be_read)),
    requests("updateChatCompletion", _update, arrange=_stored, acts={"delete": _delete}),
    requests(
        "deleteChatCompletion", _delete, arrange=_stored, check=both(_gone, answered(200, 404))
    ),
    requests("deleteChatCompletions", _delete_all, arrange=_stored, check=_gone),
    Actor(
        "run-eval-of-chats",
        works("evals"),
        _run_waits,
        acts={"delete": _delete},
        check=_each_item_has_a_chat,
    ),
    requests("createStoredChatFile", _make_file, arrange=_stored, check=_each_can_be_read),
)
