"""Requests and answers as the gateway passes them on, for tests of stored chats."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from service.core import clock
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.files.stored_chats.redaction import RESPONSES, Recorded, Refused, StoredChat, redact

MODEL = "tiny-base"


def body(*messages: tuple[str, str], **fields: Any) -> bytes:
    """Return the body of a request with messages, each a role and a text."""
    said = [{"role": role, "content": content} for role, content in messages]
    return json.dumps({"model": MODEL, "messages": said, **fields}).encode()


def answer(
    text: str | None, *, chat: str = "1", finish_reason: str = "stop", **fields: Any
) -> bytes:
    """Return a whole answer as vLLM writes it."""
    message = {"role": "assistant", "content": text, "refusal": None, "tool_calls": [], **fields}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return json.dumps(
        _described(chat, object="chat.completion", choices=[choice], usage=usage)
    ).encode()


def stream(*deltas: dict[str, Any], chat: str = "1", is_complete: bool = True) -> list[bytes]:
    """Return the events of a stream as vLLM writes them, one for each delta."""
    events = [
        _event(chat, choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        for delta in ({"role": "assistant", "content": ""}, *deltas)
    ]
    if is_complete:
        end = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
        events += [_event(chat, choices=[end]), b"data: [DONE]\n\n"]
    return events


def response(
    *output: dict[str, Any], chat: str = "1", status: str = "completed", **fields: Any
) -> dict[str, Any]:
    """Return a response of `/v1/responses` as vLLM writes it, with some items as its output."""
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    found: dict[str, Any] = {"id": f"resp_{chat}", "created_at": 1_700_000_000}
    found |= {"model": MODEL, "status": status, "incomplete_details": None, "error": None}
    found |= {"output": list(output), "usage": usage, "instructions": None, "metadata": None}
    found |= {"object": "response", "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return found | fields


def said(text: str) -> dict[str, Any]:
    """Return an item of a response's output that has a text."""
    part: dict[str, Any] = {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": None,
    }
    message = {"type": "message", "role": "assistant", "status": "completed"}
    return {"id": "msg_1", **message, "content": [part]}


def response_stream(whole: dict[str, Any]) -> list[bytes]:
    """Return the main events of the stream of a response that has a text."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    item: dict[str, Any] = whole["output"][0]
    part: dict[str, Any] = item["content"][0]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    empty = {**item, "status": "in_progress", "content": []}
    events: tuple[tuple[str, dict[str, Any]], ...] = (
        ("response.created", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": empty}),
        ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**at, "delta": part["text"], "logprobs": []}),
        (f"response.{whole['status']}", {"response": whole}),
    )
    return [
        b"event: %b\ndata: %b\n\n"
        % (name.encode(), json.dumps({"type": name, "sequence_number": n, **fields}).encode())
        for n, (name, fields) in enumerate(events)
    ]


def _event(chat: str, **fields: Any) -> bytes:
    found = _described(chat, object="chat.completion.chunk", **fields)
    return b"data: " + json.dumps(found).encode() + b"\n\n"


def _described(chat: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"chatcmpl-{chat}", "created": 1_700_000_000, "model": MODEL, **fields}


async def store_chat(
    stored_chats: StoredChats,
    project_id: str,
    number: int,
    *,
    text: str = "Call ann@example.com.",
    finish_reason: str = "stop",
    created_at: int | None = None,
    model: str = MODEL,
    **more: Any,
) -> StoredChatRecord:
    """Store a chat as a process of the API does. `more` is in the body of its request."""
    request = body(("system", "Be brief."), ("user", f"Question {number}?"), **more)
    reply = answer(text, chat=str(number), finish_reason=finish_reason)
    chat = redact(Recorded(request, reply, "mask"))
    return await _add(stored_chats, project_id, chat, model=model, created_at=created_at)


async def store_response(
    stored_chats: StoredChats, project_id: str, number: int, **more: Any
) -> StoredChatRecord:
    """Store a response as a process of the API does. `more` is in the body of its request."""
    request = json.dumps({"model": MODEL, "input": f"Question {number}?", **more}).encode()
    reply = json.dumps(response(said("At nine."), chat=str(number))).encode()
    chat = redact(Recorded(request, reply, "mask", path=RESPONSES))
    return await _add(stored_chats, project_id, chat)


async def _add(
    stored_chats: StoredChats,
    project_id: str,
    chat: StoredChat | Refused,
    *,
    model: str = MODEL,
    created_at: int | None = None,
) -> StoredChatRecord:
    assert isinstance(chat, StoredChat)
    data = msgspec.json.encode(chat)
    record = StoredChatRecord(
        id=chat.id,
        project_id=project_id,
        created_at=clock.now_s() if created_at is None else created_at,
        model=model,
        finish_reason=chat.finish_reason,
        expires_at=clock.now_s() + 3600,
        bytes=len(data),
        metadata=chat.metadata,
    )
    assert await stored_chats.add(record, data)
    return record
