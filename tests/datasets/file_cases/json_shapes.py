"""JSON as other tools write it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.datasets.file_cases.cases import (
    SHOP,
    Case,
    Row,
    chat,
    chats,
    jsonl,
    labeled,
    preferences,
)

PAIRS = [{"prompt": ask, "completion": answer} for ask, answer in SHOP]
TRIPLES = [(ask, answer, "I do not know.") for ask, answer in SHOP]
LABELS = [True, False, True, True]


def cases() -> Iterator[Case]:
    """Yield the cases: documents around rows, conversations, preferences, and labels."""
    for name, value in _documents():
        yield Case("json_shapes", name, json.dumps(value, indent=1).encode(), chats(SHOP))
    for name, rows in _conversations():
        yield Case("json_shapes", name, jsonl(rows), chats(SHOP))
    for name, rows in _preferences():
        yield Case("json_shapes", name, jsonl(rows), preferences(TRIPLES))
    for name, rows in _labels():
        yield Case("json_shapes", name, jsonl(rows), labeled(SHOP, LABELS))
    yield from _others()


def _documents() -> Iterator[tuple[str, Any]]:
    yield "array", PAIRS
    yield "data", {"data": PAIRS}
    yield "version and data", {"version": "1.0", "name": "shop", "data": PAIRS}
    yield "splits", {"train": PAIRS}
    yield "examples", {"examples": chats(SHOP), "count": len(SHOP)}
    yield (
        "dataset viewer",
        {"features": [], "rows": [{"row_idx": at, "row": row} for at, row in enumerate(PAIRS)]},
    )
    yield (
        "pandas columns",
        {
            name: {str(at): row[name] for at, row in enumerate(PAIRS)}
            for name in ("prompt", "completion")
        },
    )
    yield "lists of a column", {name: [row[name] for row in PAIRS] for name in PAIRS[0]}
    yield (
        "pandas split",
        {"columns": ["prompt", "completion"], "index": [0, 1, 2, 3], "data": [*map(list, SHOP)]},
    )
    yield "rows by id", {f"row-{at}": row for at, row in enumerate(PAIRS)}
    yield "arrays with a header", [["prompt", "completion"], *map(list, SHOP)]
    yield "array of conversations", [_turns(pair, "from", "value") for pair in SHOP]


def _turns(pair: tuple[str, str], role: str, text: str, *names: str) -> list[Row]:
    who = names or ("human", "gpt")
    return [{role: name, text: content} for name, content in zip(who, pair, strict=True)]


def _conversations() -> Iterator[tuple[str, list[Any]]]:
    yield "prompt and completion", list(PAIRS)
    yield (
        "TRL message lists",
        [
            {
                "prompt": [{"role": "user", "content": ask}],
                "completion": [{"role": "assistant", "content": answer}],
            }
            for ask, answer in SHOP
        ],
    )
    yield "ShareGPT", [{"conversations": _turns(pair, "from", "value")} for pair in SHOP]
    yield ("ShareGPT items", [{"id": "x", "items": _turns(pair, "from", "value")} for pair in SHOP])
    yield (
        "Gemini",
        [
            {
                "contents": [
                    {"role": role, "parts": [{"text": text}]}
                    for role, text in zip(("user", "model"), pair, strict=True)
                ]
            }
            for pair in SHOP
        ],
    )
    yield "PaLM", [{"input_text": ask, "output_text": answer} for ask, answer in SHOP]
    yield (
        "content blocks",
        [
            {
                "messages": [
                    {"role": role, "content": [{"text": text}]}
                    for role, text in zip(("user", "assistant"), pair, strict=True)
                ]
            }
            for pair in SHOP
        ],
    )
    yield (
        "capital roles",
        [{"messages": _turns(pair, "role", "content", "User", "Chatbot")} for pair in SHOP],
    )
    yield "roles of ShareGPT in messages", [{"messages": _turns(p, "from", "value")} for p in SHOP]
    yield "lists of texts", [{"conversations": list(pair)} for pair in SHOP]
    yield "dialog", [{"dialog": list(pair)} for pair in SHOP]
    yield "messages as text", [{"messages": json.dumps(row["messages"])} for row in chats(SHOP)]
    yield "only messages", [row["messages"] for row in chats(SHOP)]
    yield "Alpaca", [{"instruction": ask, "input": "", "output": a} for ask, a in SHOP]
    yield (
        "Dolly",
        [{"instruction": q, "context": "", "response": a, "category": "qa"} for q, a in SHOP],
    )
    yield "Firefly", [{"kind": "QA", "input": ask, "target": answer} for ask, answer in SHOP]
    yield "question and answer", [{"question": ask, "answer": answer} for ask, answer in SHOP]
    yield "query and response", [{"query": ask, "response": answer} for ask, answer in SHOP]
    yield (
        "Human and Assistant in a text",
        [{"text": f"\n\nHuman: {ask}\n\nAssistant: {answer}"} for ask, answer in SHOP],
    )
    yield "history", [{"query": q, "response": a, "history": []} for q, a in SHOP]
    yield (
        "ChatML in a text",
        [
            {
                "text": f"<|im_start|>user\n{ask}<|im_end|>\n"
                f"<|im_start|>assistant\n{answer}<|im_end|>\n"
            }
            for ask, answer in SHOP
        ],
    )


def _preferences() -> Iterator[tuple[str, list[Any]]]:
    yield "preference", [{"prompt": q, "chosen": a, "rejected": b} for q, a, b in TRIPLES]
    yield (
        "preference of messages",
        [
            {"prompt": _messages(q), "chosen": _messages(None, a), "rejected": _messages(None, b)}
            for q, a, b in TRIPLES
        ],
    )
    yield (
        "preference without a prompt",
        [{"chosen": _messages(q, a), "rejected": _messages(q, b)} for q, a, b in TRIPLES],
    )
    yield (
        "hh-rlhf",
        [
            {
                name: f"\n\nHuman: {q}\n\nAssistant: {answer}"
                for name, answer in (("chosen", a), ("rejected", b))
            }
            for q, a, b in TRIPLES
        ],
    )
    yield (
        "ShareGPT preference",
        [
            {
                "conversations": [{"from": "human", "value": q}],
                "chosen": {"from": "gpt", "value": a},
                "rejected": {"from": "gpt", "value": b},
            }
            for q, a, b in TRIPLES
        ],
    )
    yield (
        "UltraFeedback",
        [
            {
                "prompt": q,
                "chosen": _messages(q, a),
                "rejected": _messages(q, b),
                "score_chosen": 8.0,
                "score_rejected": 2.0,
            }
            for q, a, b in TRIPLES
        ],
    )
    yield "orca pairs", [{"question": q, "chosen": a, "rejected": b} for q, a, b in TRIPLES]


def _messages(ask: str | None, answer: str | None = None) -> list[Row]:
    both = (("user", ask), ("assistant", answer))
    return [{"role": role, "content": text} for role, text in both if text is not None]


def _labels() -> Iterator[tuple[str, list[Any]]]:
    judged = list(zip(SHOP, LABELS, strict=True))
    yield "KTO", [{"prompt": q, "completion": a, "label": good} for (q, a), good in judged]
    yield (
        "KTO of messages",
        [
            {"prompt": _messages(q), "completion": _messages(None, a), "label": good}
            for (q, a), good in judged
        ],
    )
    yield ("KTO tag", [{"messages": _messages(q, a), "kto_tag": good} for (q, a), good in judged])
    yield (
        "KTO of ShareGPT",
        [
            {"conversations": _turns(pair, "from", "value"), "kto_tag": good}
            for pair, good in judged
        ],
    )


def _others() -> Iterator[Case]:
    topic = "json_shapes"
    spoken = [
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}]},
            "contents": [
                {"role": "user", "parts": [{"text": ask}]},
                {"role": "model", "parts": [{"text": answer}]},
            ],
        }
        for ask, answer in SHOP
    ]
    kind = [chat(*pair, system="Be kind.") for pair in SHOP]
    yield Case(topic, "Gemini with a system instruction", jsonl(spoken), kind)
    blocks = [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": "Be kind."}],
            "messages": [
                {"role": "user", "content": [{"text": ask}]},
                {"role": "assistant", "content": [{"text": answer}]},
            ],
        }
        for ask, answer in SHOP
    ]
    yield Case(topic, "Bedrock", jsonl(blocks), kind)
    system = [{"system": "Be kind.", "messages": _messages(*pair)} for pair in SHOP]
    yield Case(topic, "system beside messages", jsonl(system), kind)
    long = [
        {
            "chosen": f"\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: {q}\n\nAssistant: {a}",
            "rejected": f"\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: {q}\n\nAssistant: {b}",
        }
        for q, a, b in TRIPLES
    ]
    truth = preferences(TRIPLES)
    for row in truth:
        given = row["input"]
        given["messages"] = [*_messages("Hi", "Hello."), *given["messages"]]
    yield Case(topic, "hh-rlhf of several turns", jsonl(long), truth)
    yield Case(topic, "ChatGPT export", json.dumps(list(_export())).encode(), chats(SHOP))
    texts = [{"text": f"{ask} {answer}"} for ask, answer in SHOP]
    yield Case(topic, "plain texts", jsonl(texts), texts)
    ranked = [{"prompt": ask, "responses": [a, b], "ranks": [1, 2]} for ask, a, b in TRIPLES]
    yield Case(
        topic, "ranked answers", jsonl(ranked), None, finding="unknown_columns", remedy="columns"
    )
    yield Case(
        topic, "concatenated", "".join(json.dumps(row) for row in PAIRS).encode(), chats(SHOP)
    )
    yield Case(topic, "commas between lines", jsonl(PAIRS).replace(b"}\n", b"},\n"), chats(SHOP))


def _export() -> Iterator[Row]:
    for ask, answer in SHOP:
        parts = (("user", ask), ("assistant", answer))
        mapping: Row = {"root": {"id": "root", "message": None, "parent": None, "children": ["0"]}}
        for at, (role, text) in enumerate(parts):
            mapping[str(at)] = {
                "id": str(at),
                "message": {
                    "author": {"role": role},
                    "content": {"content_type": "text", "parts": [text]},
                },
                "parent": str(at - 1) if at else "root",
                "children": [str(at + 1)] if at + 1 < len(parts) else [],
            }
        yield {"title": "Shop", "create_time": 1.0, "mapping": mapping, "current_node": "1"}
