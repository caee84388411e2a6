"""Exports of rated answers, made from the code named beside each.

No file that a tool really exported was at hand.
"""

from __future__ import annotations

import csv
import io
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

TOPIC = "feedback"
START = 1_780_000_000
THOUGHT = (
    '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>'
    "\n&gt; They ask when.\n</details>\n"
)
UP_AND_DOWN = [True, False, True, True]
# The same question was answered twice.
TWICE = [SHOP[0], (SHOP[0][0], "No idea."), SHOP[1], SHOP[2]]
PAIR = preferences([(SHOP[0][0], SHOP[0][1], "No idea.")])


def cases() -> Iterator[Case]:
    """Yield the cases."""
    yield from _open_webui_cases()
    yield from _langfuse_cases()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


# Open WebUI: open_webui/models/feedbacks.py (FeedbackModel), the route feedbacks/all/export of
# open_webui/routers/evaluations.py, feedbackHandler of ResponseMessage.svelte (the annotation, meta
# and snapshot), and open_webui/models/chats.py (ChatResponse) of open-webui/open-webui.


def _open_webui_cases() -> Iterator[Case]:
    rows = [_rated(at, *SHOP[at], 1 if UP_AND_DOWN[at] else -1) for at in range(len(SHOP))]
    unrated = _rated(9, "Hello?", "Hi.", None)
    draw = _rated(10, "Hello?", "Hi.", 0)
    texts = [_rated(at, *SHOP[at], str(1)) for at in range(len(SHOP))]
    ups = [pair for pair, up in zip(SHOP, UP_AND_DOWN, strict=True) if up]
    judged = labeled(SHOP, UP_AND_DOWN)
    yield Case(TOPIC, "Open WebUI", _json([*rows, unrated, draw]), judged, {}, "rated_answers")
    yield Case(TOPIC, "Open WebUI, liked answers", _json(rows), chats(ups), {"shape": "chat"})
    yield Case(TOPIC, "Open WebUI without dislikes", _json(texts), chats(SHOP))
    twice = [_rated(at, *TWICE[at], 1 if UP_AND_DOWN[at] else -1) for at in range(len(TWICE))]
    yield Case(TOPIC, "Open WebUI, pairs", _json(twice), PAIR, {"shape": "preference"})
    single = {"shape": "preference"}
    yield Case(TOPIC, "Open WebUI without pairs", _json(rows), None, single, "no_rated_pairs")
    none = [unrated, draw]
    yield Case(TOPIC, "Open WebUI without ratings", _json(none), None, {}, "no_ratings")
    bare = [{**row, "snapshot": None} for row in rows]
    code = "ratings_without_answers"
    yield Case(TOPIC, "Open WebUI without snapshots", _json(bare), None, {}, code, "snapshot")
    # The rated answer is neither the last one of its thread nor in the thread that is shown.
    history = _history(
        [
            ("u1", None, "user", "Hello."),
            ("a1", "u1", "assistant", "Hi!"),
            ("u2", "a1", "user", SHOP[0][0]),
            ("a2", "u2", "assistant", THOUGHT + SHOP[0][1]),
            ("u3", "a2", "user", "Thanks."),
            ("a3", "u2", "assistant", "No idea."),
        ]
    )
    inner = _rated(1, "", "", 1)
    inner["meta"]["message_id"] = "a2"
    inner["snapshot"]["chat"]["chat"] |= {"history": history, "params": {"system": "Be kind."}}
    expected = chat("Hello.", "Hi!", *SHOP[0], system="Be kind.")
    yield Case(TOPIC, "Open WebUI, inside a thread", _json([inner]), [expected])


def _rated(at: int, ask: str, answer: str, rating: Any) -> Row:
    history = _history([("u", None, "user", ask), ("a", "u", "assistant", answer)])
    annotation = {"rating": rating, "tags": ["shop"], "reason": "accurate_information"}
    shown = {"title": "Shop", "models": ["shop"], "params": {}, "history": history, "tags": []}
    return {
        "id": f"feedback-{at}",
        "user_id": "user-1",
        "version": 0,
        "type": "rating",
        "data": {**annotation, "model_id": "shop", "comment": "", "details": {"rating": 9}},
        "meta": {
            "arena": False,
            "model_id": "shop",
            "message_id": "a",
            "message_index": 2,
            "chat_id": f"chat-{at}",
            "base_models": {"shop": None},
        },
        "snapshot": {
            "chat": {
                "id": f"chat-{at}",
                "user_id": "user-1",
                "title": "Shop",
                "chat": shown,
                "created_at": START,
                "updated_at": START + 1,
                "archived": False,
                "meta": {},
            }
        },
        "created_at": START + at,
        "updated_at": START + at,
    }


def _history(messages: list[tuple[str, str | None, str, str]]) -> Row:
    nodes = {
        name: {
            "id": name,
            "parentId": parent,
            "role": role,
            "content": content,
            "childrenIds": [one[0] for one in messages if one[1] == name],
            "timestamp": START,
        }
        for name, parent, role, content in messages
    }
    return {"messages": nodes, "currentId": messages[-1][0]}


# Langfuse: trace-stream.ts, observation-stream.ts and getDatabaseReadStream.ts (scores as columns)
# of worker/src/features/database-read-stream, and packages/shared/src/server/utils/transforms, of
# langfuse/langfuse.


def _langfuse_cases() -> Iterator[Case]:
    judged = labeled(SHOP, UP_AND_DOWN)
    thumbs = [[1] if up else [0] for up in UP_AND_DOWN]
    traces = [_trace(at, *SHOP[at], thumbs[at]) for at in range(len(SHOP))]
    unrated = [_trace(8, "Hello?", "Hi.", None), _trace(9, "Hello?", "Hi.", [0, 1])]
    finding = "rated_answers"
    yield Case(TOPIC, "Langfuse traces", jsonl([*traces, *unrated]), judged, {}, finding)
    yield Case(TOPIC, "Langfuse traces as a list", _json(traces), judged)
    yield Case(TOPIC, "Langfuse traces as a table", _csv(traces), judged)
    words = [["thumbs-up"] if up else ["thumbs-down"] for up in UP_AND_DOWN]
    named = [_trace(at, *SHOP[at], words[at]) for at in range(len(SHOP))]
    yield Case(TOPIC, "Langfuse categories", jsonl(named), judged)
    twice = [_trace(at, *TWICE[at], thumbs[at]) for at in range(len(TWICE))]
    yield Case(TOPIC, "Langfuse pairs", jsonl(twice), PAIR, {"shape": "preference"})
    ups = [pair for pair, up in zip(SHOP, UP_AND_DOWN, strict=True) if up]
    yield Case(TOPIC, "Langfuse liked answers", _csv(traces), chats(ups), {"shape": "chat"})
    generations = [_generation(at, *SHOP[at], thumbs[at]) for at in range(len(SHOP))]
    span = {**_generation(9, "Hello?", "Hi.", [1]), "type": "SPAN"}
    observed = [chat(*pair, system="Be kind.") for pair in SHOP]
    observed = [row | {"label": up} for row, up in zip(observed, UP_AND_DOWN, strict=True)]
    yield Case(TOPIC, "Langfuse observations", jsonl([*generations, span]), observed)
    yield Case(TOPIC, "Langfuse observations as a table", _csv(generations), observed)
    signed = [_trace(at, *SHOP[at], [1] if up else [-1]) for at, up in enumerate(UP_AND_DOWN)]
    neutral = _trace(9, "Hello?", "Hi.", [0])
    yield Case(TOPIC, "Langfuse, minus one is bad", jsonl([*signed, neutral]), judged)
    both = [{**row, "thumbs": [1]} for row in traces]
    yield Case(TOPIC, "Langfuse, two ratings", jsonl(both), None, {}, "several_ratings")
    chosen = {"columns": {"label": "user-feedback"}}
    yield Case(TOPIC, "Langfuse, the rating is named", jsonl(both), judged, chosen)
    # A judge's score, which may be of something bad.
    others = [{k: v for k, v in row.items() if k != "user-feedback"} for row in traces]
    yield Case(TOPIC, "Langfuse without feedback", jsonl(others), chats(SHOP))
    scores = [_score(at) for at in range(4)]
    code = "ratings_without_answers"
    yield Case(TOPIC, "Langfuse scores", jsonl(scores), None, {}, code, "traces")
    # Functions with the decorator `observe`: sdk/python, langfuse/_client/observe.py
    called = json.dumps({"args": [SHOP[0][0]], "kwargs": {}})
    decorated = [{**_trace(0, *SHOP[0], [1]), "input": called}]
    yield Case(TOPIC, "Langfuse, a decorated function", jsonl(decorated), chats(SHOP[:1]))


def _trace(at: int, ask: str, answer: str, feedback: Any) -> Row:
    return {
        "id": f"trace-{at}",
        "timestamp": "2026-05-01T09:00:00.000Z",
        "name": "chat",
        "userId": "u1",
        "sessionId": None,
        "release": None,
        "version": None,
        "environment": "default",
        "tags": ["shop"],
        "bookmarked": False,
        "public": False,
        "input": ask,
        "output": answer,
        "metadata": {},
        "comments": [],
        "hallucination": [1],
        "user-feedback": feedback,
    }


def _generation(at: int, ask: str, answer: str, feedback: Any) -> Row:
    asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": ask}]
    return {
        "id": f"o-{at}",
        "traceId": f"trace-{at}",
        "type": "GENERATION",
        "name": "OpenAI",
        "startTime": "2026-05-01T09:00:00.000Z",
        "endTime": "2026-05-01T09:00:01.000Z",
        "level": "DEFAULT",
        "model": "shop",
        "modelParameters": {"temperature": 0},
        "input": asked,
        "output": {"role": "assistant", "content": answer},
        "metadata": {},
        "usageDetails": {"input": 9},
        "latency": 812,
        "traceName": "chat",
        "traceTags": [],
        "comments": [],
        "user-feedback": feedback,
    }


def _score(at: int) -> Row:
    return {
        "id": f"s-{at}",
        "timestamp": "2026-05-01T09:00:00.000Z",
        "source": "API",
        "name": "user-feedback",
        "dataType": "BOOLEAN",
        "value": 1,
        "stringValue": "True",
        "comment": None,
        "traceId": f"trace-{at}",
        "observationId": None,
        "traceName": "chat",
    }


def _csv(rows: list[Row]) -> bytes:
    """As transformStreamToCsv writes it: every field is quoted, texts are not JSON."""

    def cell(value: Any) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return out.getvalue().encode()
