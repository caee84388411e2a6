"""Exports of other tools. No file that a tool really exported was at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.datasets.file_cases.cases import SHOP, Case, Row, chat, chats, jsonl

SYSTEM = "Be kind."
ROLES = {"roles": {"Shop": "assistant"}}
TOPIC = "tool_exports"


def cases() -> Iterator[Case]:
    """Yield the cases: model APIs, templates of models, annotation, support desks and chat apps."""
    kind = [chat(*pair, system=SYSTEM) for pair in SHOP]
    for name, rows in _plain():
        yield Case(TOPIC, name, jsonl(rows), chats(SHOP))
    for name, template in TEMPLATES.items():
        texts = [{"text": template.format(ask=ask, answer=answer)} for ask, answer in SHOP]
        yield Case(TOPIC, name, jsonl(texts), kind if SYSTEM in template else chats(SHOP))
    yield Case(TOPIC, "Gemini", jsonl([_gemini(*pair) for pair in SHOP]), kind)
    yield Case(TOPIC, "SQuAD", _json(_squad()), SQUAD_ROWS)
    yield Case(TOPIC, "one column of JSON", _column("messages", _messages), chats(SHOP))
    yield Case(TOPIC, "a column of JSON rows", _column("id,data", _wrapped), chats(SHOP))
    yield from _with_tools()
    yield from _chat_apps()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _messages(ask: str, answer: str) -> list[Row]:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]


def _wrapped(ask: str, answer: str) -> Row:
    return {"messages": _messages(ask, answer)}


def _column(head: str, make: Any) -> bytes:
    prefix = "7," if "," in head else ""
    cells = [json.dumps(make(*pair)).replace('"', '""') for pair in SHOP]
    return "\n".join((head, *(f'{prefix}"{cell}"' for cell in cells), "")).encode()


def _plain() -> Iterator[tuple[str, list[Any]]]:
    yield "claude.ai", [_claude(*pair) for pair in SHOP]
    yield "Label Studio", [_label_studio(*pair) for pair in SHOP]
    yield "Argilla", [_argilla(*pair) for pair in SHOP]
    yield "Zendesk", [_zendesk(*pair) for pair in SHOP]
    yield "Intercom", [_intercom(*pair) for pair in SHOP]
    yield "pairs", [{"conversation": [{"input": ask, "output": answer}]} for ask, answer in SHOP]


def _claude(ask: str, answer: str) -> Row:
    said = (("human", ask), ("assistant", answer))
    messages = [
        {
            "uuid": who,
            "sender": who,
            "text": text,
            "content": [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": text}],
        }
        for who, text in said
    ]
    return {"uuid": "1", "name": "", "account": {"uuid": "2"}, "chat_messages": messages}


def _label_studio(ask: str, answer: str) -> Row:
    result = {"type": "textarea", "from_name": "answer", "value": {"text": [answer]}}
    skipped = {"was_cancelled": True, "result": [{"value": {"text": ["wrong"]}}]}
    return {"id": 1, "data": {"prompt": ask}, "annotations": [skipped, {"result": [result]}]}


def _argilla(ask: str, answer: str) -> Row:
    answers = [{"value": "?", "status": "draft"}, {"value": answer, "status": "submitted"}]
    return {"id": "1", "fields": {"prompt": ask}, "responses": {"completion": answers}}


def _zendesk(ask: str, answer: str) -> Row:
    comments = [
        {"author_id": 1, "public": True, "plain_body": ask},
        {"author_id": 2, "public": False, "plain_body": "An internal note."},
        {"author_id": 2, "public": True, "plain_body": answer},
    ]
    return {"id": 1, "subject": "Hours", "requester_id": 1, "comments": comments}


def _intercom(ask: str, answer: str) -> Row:
    parts = [
        {"part_type": "assignment", "body": None, "author": {"type": "admin", "id": "2"}},
        {"part_type": "comment", "body": f"<p>{answer}</p>", "author": {"type": "admin"}},
    ]
    return {
        "type": "conversation",
        "source": {"body": f"<p>{ask}</p>", "author": {"type": "user", "id": "1"}},
        "conversation_parts": {"conversation_parts": parts},
    }


def _gemini(ask: str, answer: str) -> Row:
    return {
        "systemInstruction": {"parts": [{"text": SYSTEM}]},
        "contents": [
            {"role": "user", "parts": [{"text": ask}]},
            {"role": "model", "parts": [{"text": answer}]},
        ],
    }


TEMPLATES = {
    "Llama 3's template": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind."
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{ask}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{answer}<|eot_id|>",
    "Gemma's template": "<bos><start_of_turn>user\n{ask}<end_of_turn>\n"
    "<start_of_turn>model\n{answer}<end_of_turn>\n",
    "Zephyr's template": "<|system|>\nBe kind.</s>\n<|user|>\n{ask}</s>\n"
    "<|assistant|>\n{answer}</s>\n",
    "Phi's template": "<|user|>\n{ask}<|end|>\n<|assistant|>\n{answer}<|end|>\n",
    "Mistral's template": "<s>[INST] {ask} [/INST] {answer}</s>",
    "Llama 2's template": "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n{ask} [/INST] {answer} </s>",
    "Alpaca's template": "Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n### Instruction:\n{ask}\n\n### Response:\n{answer}",
}

CONTEXT = "The shop opens at nine, every day but Monday."
SQUAD_ROWS = [
    chat(f"{ask}\n\n{CONTEXT}", answer)
    for ask, answer in (("When does it open?", "nine"), ("When is it closed?", "Monday"))
]


def _squad() -> Row:
    asked = [
        {"id": "1", "question": "When does it open?", "answers": [{"text": "nine"}]},
        {"id": "2", "question": "When is it closed?", "answers": [{"text": "Monday"}]},
    ]
    paragraph = {"context": CONTEXT, "qas": asked}
    return {"version": "2.0", "data": [{"title": "Shop", "paragraphs": [paragraph]}]}


def _with_tools() -> Iterator[Case]:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}
    function = {"name": "hours", "arguments": '{"day": "Monday"}'}
    declared = {"name": "hours", "description": "", "parameters": schema}
    truth = {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "Open on Monday?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "closed"},
            {"role": "assistant", "content": "No."},
        ],
        "tools": [{"type": "function", "function": declared}],
    }
    call = {"type": "tool_use", "id": "c1", "name": "hours", "input": {"day": "Monday"}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "closed"}
    anthropic = {
        "system": SYSTEM,
        "messages": [
            {"role": "user", "content": "Open on Monday?"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "…"}, call]},
            {"role": "user", "content": [result]},
            {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
        ],
        "tools": [{"name": "hours", "input_schema": schema}],
    }
    yield Case(TOPIC, "Anthropic's messages", jsonl([anthropic] * 2), [truth] * 2)
    said = {"type": "message", "role": "assistant"}
    responses = {
        "instructions": SYSTEM,
        "input": "Open on Monday?",
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c1", **function},
            {"type": "function_call_output", "call_id": "c1", "output": "closed"},
            said | {"content": [{"type": "output_text", "text": "No.", "annotations": []}]},
        ],
        "tools": [{"type": "function", "name": "hours", "parameters": schema}],
    }
    yield Case(TOPIC, "OpenAI's responses", jsonl([responses] * 2), [truth] * 2)


def _chat_apps() -> Iterator[Case]:
    """Yield a chat of each app: two questions with their answers, and one a day later."""
    (ask, answer), (more, reply), (late, last) = SHOP[:3]
    said = [
        ("Ann", ask, 0),
        ("Shop", answer, 60),
        ("Ann", more, 120),
        ("Shop", reply, 180),
        ("Ann", late, 90_000),
        ("Shop", last, 90_060),
        ("Ann", "Thanks!", 90_120),
    ]
    rows = [chat(ask, answer, more, reply), chat(late, last)]
    start = 1_780_000_000
    telegram = [
        {"type": "message", "date": "", "date_unixtime": str(start + at)}
        | {"from": who, "from_id": who}
        | {"text": [text] if at else [{"type": "plain", "text": text}]}
        for who, text, at in said
    ]
    discord = [
        {"timestamp": f"2026-05-{1 + at // 86_400:02}T09:{at // 60 % 60:02}:00+00:00"}
        | {"content": text, "author": {"name": who, "isBot": who == "Shop"}}
        for who, text, at in said
    ]
    slack = [
        {"type": "message", "ts": f"{start + at}.0001", "text": text}
        | {"user": who, "user_profile": {"real_name": who}}
        for who, text, at in said
    ]
    teams = [
        {"messageType": "message", "from": {"user": {"displayName": who}}}
        | {"replyToId": str(at > 999), "body": {"contentType": "html", "content": f"<p>{text}</p>"}}
        for who, text, at in said
    ]
    android = "".join(
        f"{1 + at // 86_400:02}/05/2026, 09:{at // 60 % 60:02} - {who}: {text}\n"
        for who, text, at in said
    )
    apple = "".join(
        f"[{1 + at // 86_400}/5/26, 9:{at // 60 % 60:02}:00\u202fAM] {who}: {text}\n"
        for who, text, at in said
    )
    note = "01/05/2026, 09:00 - Messages and calls are end-to-end encrypted.\n"
    yield Case(TOPIC, "Telegram", _json({"messages": telegram}), rows, ROLES)
    yield Case(TOPIC, "Discord", _json({"messages": discord}), rows)
    yield Case(TOPIC, "Slack", _json(slack), rows, ROLES)
    yield Case(TOPIC, "Teams", _json({"value": teams[::-1]}), rows, ROLES)
    yield Case(TOPIC, "WhatsApp on Android", (note + android).encode(), rows, ROLES)
    yield Case(TOPIC, "WhatsApp on iOS", apple.encode(), rows, ROLES)
    yield Case(TOPIC, "two people", android.encode(), None, {}, "no_assistant", "roles")
