"""Converts exports of other tools into rows: model APIs, chats with models, annotation, support.

Each `Export` recognizes single values of a file: Anthropic's Messages, OpenAI's Responses and
Gemini's API, the data exports of ChatGPT and claude.ai, Open Assistant's trees, SQuAD, Label
Studio, Argilla, and the REST APIs of Zendesk and Intercom. `chat_apps` has chats between people.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from service.datasets.formats.chat_apps import (
    Post,
    at_path,
    conversations_of,
    messages_inside,
    objects,
    read_chats,
    seconds,
)
from service.datasets.formats.options import Record
from service.datasets.passages import html_text

Row = dict[str, Any]

_MAX_PATH: Final = 10_000  # messages of a conversation, which a loop must not exceed


class Export(NamedTuple):
    """The export of a tool: whether a value is one, and the rows in it."""

    matches: Callable[[Row], bool]
    rows: Callable[[Row, Mapping[str, str]], Iterable[Row]]


def find_export(value: Any) -> Export | None:
    """Return the export that a value is a part of, or None."""
    if not isinstance(value, dict):
        return None
    return next((export for export in _EXPORTS if export.matches(value)), None)


def _joined(blocks: Any, *types: str) -> str:
    """Return the text of content blocks of some types, or of content that is a text."""
    if isinstance(blocks, str):
        return blocks
    texts = [block.get("text") for block in objects(blocks) if block.get("type") in types]
    return "\n".join(text for text in texts if isinstance(text, str))


def _spoken(blocks: Any, *types: str) -> str:
    """Return the text of a model's answer, whose sentences continue in the next block.

    Other blocks between them, such as calls, end a paragraph.
    """
    if isinstance(blocks, str):
        return blocks
    runs = [""]
    for block in objects(blocks):
        text = block.get("text", block.get("refusal"))
        if block.get("type") in types and isinstance(text, str):
            runs[-1] += text
        else:
            runs.append("")
    return "\n\n".join(run for run in runs if run.strip())


# Chats with models


def _path_to(leaf: Any, nodes: Mapping[Any, Row], parent: str) -> list[Row]:
    """Return the nodes from the root to a leaf. Nodes aside are edited or repeated messages."""
    path: list[Row] = []
    while (node := nodes.get(str(leaf))) is not None and len(path) < min(_MAX_PATH, len(nodes)):
        path.append(node)
        leaf = node.get(parent)
    return path[::-1]


def _chatgpt(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    nodes = {name: node for name, node in value["mapping"].items() if isinstance(node, dict)}
    turns: list[Row] = []
    for node in _path_to(value["current_node"], nodes, "parent"):
        role = at_path(node, "message", "author", "role")
        parts = at_path(node, "message", "content", "parts")
        if role in ("user", "assistant") and isinstance(parts, list):
            text = "".join(part for part in parts if isinstance(part, str))
            if text.strip() and role == "assistant" and turns and turns[-1]["role"] == role:
                turns[-1]["content"] += f"\n\n{text}"  # it went on after a tool
            elif text.strip():
                turns.append({"role": role, "content": text})
    yield {"conversations": turns}


def _claude(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    messages = objects(value["chat_messages"])
    if any(message.get("parent_message_uuid") for message in messages):
        nodes = {str(message.get("uuid")): message for message in messages}
        leaf = value.get("current_leaf_message_uuid") or messages[-1].get("uuid")
        messages = _path_to(leaf, nodes, "parent_message_uuid")
    turns = [{"from": one.get("sender"), "value": _claude_text(one)} for one in messages]
    if turns:
        yield {"conversations": turns}


def _claude_text(message: Row) -> str:
    # The field `text` has "This block is not supported" in place of blocks with tools.
    blocks = message.get("content")
    texts = [_spoken(blocks, "text") if blocks else message.get("text")]
    texts += [one.get("extracted_content") for one in objects(message.get("attachments"))]
    return "\n\n".join(text for text in texts if isinstance(text, str) and text.strip())


# Model APIs


def _call(call_id: Any, name: Any, arguments: Any) -> Row:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": written},
    }


def _add_calls(messages: list[Row], calls: list[Row]) -> None:
    """Add calls to the answer at the end of a conversation, or as an answer of their own."""
    if not messages or messages[-1].get("role") != "assistant":
        messages.append({"role": "assistant", "content": ""})
    messages[-1].setdefault("tool_calls", []).extend(calls)


_FUNCTIONS: Final = ("function", "custom")


def _with_tools(messages: list[Row], tools: Any, schema: str) -> Row:
    """Return a row with the functions among the tools, but not those that the provider runs."""
    declared = [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool.get("description") or "",
                "parameters": tool.get(schema) or {"type": "object", "properties": {}},
            },
        }
        for tool in objects(tools)
        if isinstance(tool.get("name"), str) and tool.get("type", "function") in _FUNCTIONS
    ]
    return {"messages": messages, **({"tools": declared} if declared else {})}


_ANTHROPIC: Final = ("tool_use", "tool_result", "thinking", "redacted_thinking")
# Reasoning, and calls of tools that the provider runs. Other blocks stay, for the checks.
_LEFT_OUT: Final = (*_ANTHROPIC, "server_tool_use")


def _is_anthropic(value: Row) -> bool:
    blocks = [
        block
        for message in objects(value.get("messages"))
        for block in objects(message.get("content"))
    ]
    return any(
        str(block.get("type")).startswith((*_ANTHROPIC, "server_tool")) for block in blocks
    ) or any("input_schema" in tool for tool in objects(value.get("tools")))


def _anthropic(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    messages: list[Row] = []
    if system := _joined(value.get("system"), "text"):
        messages.append({"role": "system", "content": system})
    said = objects(value.get("messages"))
    if value.get("role") == "assistant" and isinstance(value.get("content"), list):
        said = [*said, value]  # a request with its response
    for message in said:
        role, blocks = message.get("role"), message.get("content")
        for block in objects(blocks):
            if block.get("type") == "tool_result":
                answer = _joined(block.get("content"), "text")
                call = block.get("tool_use_id")
                messages.append({"role": "tool", "tool_call_id": call, "content": answer})
        content = _anthropic_content(blocks, _spoken if role == "assistant" else _joined)
        if content or isinstance(blocks, str):
            messages.append({"role": role, "content": content})
        calls = [
            _call(block.get("id"), block.get("name"), block.get("input"))
            for block in objects(blocks)
            if block.get("type") == "tool_use"
        ]
        if calls:
            _add_calls(messages, calls)
    yield _with_tools(messages, value.get("tools"), "input_schema")


def _anthropic_content(blocks: Any, join: Callable[..., str]) -> Any:
    """Return the text of blocks, or the blocks if one is neither text nor left out."""
    if isinstance(blocks, str):
        return blocks
    kept: list[Row] = []
    for block in objects(blocks):
        kind = str(block.get("type"))
        source = block.get("source")
        if kind == "document" and at_path(source, "type") == "text":
            kept.append({"type": "text", "text": at_path(source, "data")})
        elif kind not in _LEFT_OUT and not kind.endswith("_tool_result"):
            kept.append(block)
        elif kept:
            kept.append({"type": "left_out"})  # a new paragraph of the answer
    if any(block.get("type") not in ("text", "left_out") for block in kept):
        return [block for block in kept if block.get("type") != "left_out"]
    return join(kept, "text")


_RESPONSE_ITEMS: Final = frozenset(
    ("function_call", "function_call_output", "reasoning", "custom_tool_call")
)


_RESPONSE_TEXTS: Final = ("input_text", "output_text", "text", "refusal")


def _is_responses(value: Row) -> bool:
    items = [one for key in ("input", "items", "output") for one in objects(value.get(key))]
    kinds = {str(item.get("type")) for item in items}
    texts = {str(block.get("type")) for item in items for block in objects(item.get("content"))}
    return bool(kinds & _RESPONSE_ITEMS) or bool(texts & {"input_text", "output_text", "refusal"})


def _responses(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    messages: list[Row] = []
    if isinstance(value.get("instructions"), str):
        messages.append({"role": "system", "content": value["instructions"]})
    asked = value.get("input")
    if isinstance(asked, str):
        messages.append({"role": "user", "content": asked})
    for item in [*objects(asked), *objects(value.get("items")), *objects(value.get("output"))]:
        match item.get("type", "message"):
            case "message":
                messages.append({"role": item.get("role"), "content": _item_content(item)})
            case "function_call":
                call = _call(item.get("call_id"), item.get("name"), item.get("arguments"))
                _add_calls(messages, [call])
            case "custom_tool_call":
                given = {"input": item.get("input")}
                _add_calls(messages, [_call(item.get("call_id"), item.get("name"), given)])
            case "function_call_output" | "custom_tool_call_output":
                answer = _joined(item.get("output"), "input_text", "output_text")
                messages.append(
                    {"role": "tool", "tool_call_id": item.get("call_id"), "content": answer}
                )
    yield _with_tools(messages, value.get("tools"), "parameters")


def _item_content(item: Row) -> Any:
    """Return the text of a message, or its blocks if one is a picture or a file."""
    blocks = item.get("content")
    if all(block.get("type") in _RESPONSE_TEXTS for block in objects(blocks)):
        join = _spoken if item.get("role") == "assistant" else _joined
        return join(blocks, *_RESPONSE_TEXTS)
    return blocks


def _is_gemini(value: Row) -> bool:
    return any(isinstance(one.get("parts"), list) for one in objects(value.get("contents")))


def _gemini(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    config = value.get("config") or value.get("generationConfig")
    given = (
        at_path(place, key)
        for place in (value, config)
        for key in ("systemInstruction", "system_instruction")
    )
    messages: list[Row] = []
    system = next((one for one in given if one), None)
    parts = at_path(system, "parts") if isinstance(system, dict) else system
    text = parts if isinstance(parts, str) else _gemini_text(objects(parts or [system]))
    if text:
        messages.append({"role": "system", "content": text})
    answers = [at_path(one, "content") for one in objects(value.get("candidates"))[:1]]
    for turn in objects([*value["contents"], *answers]):
        _add_gemini(messages, turn)
    yield _with_tools(messages, _gemini_tools(value, config), "parameters")


def _gemini_text(parts: list[Row]) -> Any:
    """Return the text of parts without thoughts, or the parts if one is a picture or a file."""
    kept = [part for part in parts if not part.get("thought")]
    texts = [part.get("text") for part in kept]
    return "".join(map(str, texts)) if all(isinstance(one, str) for one in texts) else kept


def _add_gemini(messages: list[Row], turn: Row) -> None:
    calls: list[Row] = []
    rest: list[Row] = []
    for part in objects(turn.get("parts")):
        call = part.get("functionCall") or part.get("function_call")
        answer = part.get("functionResponse") or part.get("function_response")
        if isinstance(call, dict):
            name = call.get("name")
            count = len(calls) + sum(len(one.get("tool_calls") or ()) for one in messages)
            calls.append(_call(call.get("id") or f"call_{count + 1}", name, call.get("args")))
        elif isinstance(answer, dict):
            messages.append(_gemini_answer(messages, answer))
        else:
            rest.append(part)
    if content := _gemini_text(rest):
        role = "user" if turn.get("role", "user") == "user" else "assistant"
        messages.append({"role": role, "content": content})
    if calls:
        _add_calls(messages, calls)


def _gemini_answer(messages: list[Row], answer: Row) -> Row:
    """Return the result of a function for its call, which has no ID in most of Gemini's APIs."""
    done = {one.get("tool_call_id") for one in messages}
    calls = [call for one in messages for call in one.get("tool_calls") or ()]
    same = [call["id"] for call in calls if call["function"]["name"] == answer.get("name")]
    call_id = answer.get("id") or next((one for one in same if one not in done), None)
    result = answer.get("response")
    if isinstance(result, dict) and result.keys() == {"output"}:
        result = result["output"]
    content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _gemini_tools(value: Row, config: Any) -> list[Row]:
    tools = objects(value.get("tools") or at_path(config, "tools"))
    keys = ("functionDeclarations", "function_declarations")
    return [
        {**one, "parameters": _lower_types(one.get("parameters"))}
        for tool in tools
        for key in keys
        for one in objects(tool.get(key))
    ]


def _lower_types(schema: Any) -> Any:
    """Return a schema of Gemini, whose types are in capital letters, as JSON Schema."""
    if isinstance(schema, list):
        return [_lower_types(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: one.lower() if key == "type" and isinstance(one, str) else _lower_types(one)
        for key, one in schema.items()
    }


def _logged(value: Row, roles: Mapping[str, str]) -> Iterator[Row]:
    """Yield the row of a request with its response, in a log or in the result of a batch."""
    call: Row = {}
    for key in ("request", "response"):
        body = value[key].get("body")
        call |= body if isinstance(body, dict) else value[key]
    if choices := objects(call.get("choices")):
        messages = [*objects(call.get("messages")), choices[0].get("message")]
        tools = {"tools": call["tools"]} if call.get("tools") else {}
        yield {"messages": messages, **tools}
    elif (export := find_export(call)) is not None:
        yield from export.rows(call, roles)


def _is_llama_factory(value: Row) -> bool:
    return any(
        isinstance(block.get("value"), str) and "type" in block
        for message in objects(value.get("messages"))
        for block in objects(message.get("content"))
    )


def _llama_factory(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    messages: list[Row] = []
    for message in objects(value["messages"]):
        blocks = objects(message.get("content"))
        texts = [str(block.get("value")) for block in blocks if block.get("type") == "text"]
        turn = {"role": message.get("role"), "content": "\n".join(texts)}
        if turn["role"] == "assistant" and message.get("loss_weight") in (0, 1):
            turn["weight"] = int(message["loss_weight"])
        messages.append(turn)
    yield {"messages": messages}


def _pairs(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    turns: list[Row] = []
    pairs = objects(value["conversation"])
    for pair in pairs:
        turns.append({"from": "human", "value": pair.get("input")})
        turns.append({"from": "gpt", "value": pair.get("output")})
    yield {"conversations": turns, "system": pairs[0].get("system")}


# Trees of answers

_MAX_DEPTH: Final = 60  # of a thread


def is_tree_message(value: Any) -> bool:
    """Return whether a value is a single message of Open Assistant."""
    if not isinstance(value, dict) or not {"message_id", "text"} <= value.keys():
        return False
    role = value.get("role")
    return role == "prompter" or (role == "assistant" and "parent_id" in value)


def join_trees(records: Iterable[Record]) -> Iterator[Record]:
    """Yield the conversations in single messages of Open Assistant, which name their parents.

    Each is at the line of its tree's first message. Unreadable records are yielded, too.
    """
    replies: dict[str, list[Row]] = {}
    roots: list[Record] = []
    seen: set[str] = set()
    for record in records:
        message = record.value
        if not is_tree_message(message):
            if record.issue is not None:
                yield record
            continue
        parent, name = message.get("parent_id"), str(message["message_id"])
        if name not in seen:  # or a tree could have loops
            seen.add(name)
            if parent is None:
                roots.append(record)
            else:
                replies.setdefault(str(parent), []).append(message)
    for root in roots:
        for row in _threads([], root.value, lambda node: replies.get(str(node["message_id"]), [])):
            yield root._replace(value=row)


def _tree(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    yield from _threads([], value["prompt"], lambda node: objects(node.get("replies")))


def _threads(before: list[Row], node: Row, replies: Callable[[Row], list[Row]]) -> Iterator[Row]:
    """Yield the threads below a message that end with an answer, all of them the best ranked."""
    turns = [*before, {"from": node.get("role"), "value": node.get("text")}]
    good = [one for one in replies(node) if not one.get("deleted")]
    good = [one for one in good if one.get("review_result") is not False]
    good = good if len(turns) < _MAX_DEPTH else []
    if node.get("role") == "prompter":
        good = sorted(good, key=_rank)[:1]
    elif not good:
        yield {"conversations": turns}
        return
    found = [row for one in good for row in _threads(turns, one, replies)]
    if found or node.get("role") == "prompter":
        yield from found
    else:  # nobody answered the questions that follow
        yield {"conversations": turns}


def _rank(message: Row) -> float:
    rank = seconds(message.get("rank"))  # pandas writes NaN for no rank
    return math.inf if rank is None or math.isnan(rank) else rank


def _thread(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    said = objects(value["thread"])
    turns = [{"from": one.get("role"), "value": one.get("text")} for one in said]
    yield {"conversations": turns}


# Questions and annotations


def _squad(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    for paragraph in objects(value.get("paragraphs")) or [value]:
        for asked in objects(paragraph.get("qas")) or [paragraph]:
            answers = asked.get("answers")
            texts = answers.get("text") if isinstance(answers, dict) else None
            if not isinstance(texts, list):
                texts = [answer.get("text") for answer in objects(answers)]
            yield {
                "context": paragraph.get("context"),
                "prompt": asked.get("question"),
                "completion": next((text for text in texts if isinstance(text, str)), ""),
            }


def _is_squad(value: Row) -> bool:
    if objects(value.get("paragraphs")) or ("context" in value and objects(value.get("qas"))):
        return True
    answers = value.get("answers")
    flat = isinstance(answers, dict) and isinstance(answers.get("text"), list)
    return flat and isinstance(value.get("question"), str)


_PROMPTS: Final = ("prompt", "question", "instruction", "text", "input", "query")
_ANSWERS: Final = ("answer", "completion", "response", "output", "reply", "corrected", "edited")


def _asked(fields: Any) -> Any:
    """Return the field that was shown to the annotator: a text or a list of messages."""
    if not isinstance(fields, dict):
        return ""
    chats = [one for one in fields.values() if objects(one) and "role" in objects(one)[0]]
    texts = {name: text for name, text in fields.items() if isinstance(text, str)}
    named = next((texts[name] for name in _PROMPTS if name in texts), "\n\n".join(texts.values()))
    return chats[0] if chats else named


def _answer_of(answers: Mapping[str, str]) -> str | None:
    """Return the answer among an annotator's texts by question, or the first one."""
    names = (name for word in _ANSWERS for name in answers if word in name.casefold())
    return next((answers[name] for name in names), next(iter(answers.values()), None))


def _label_studio(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    asked = _asked(value["data"])
    for annotation in objects(value.get("annotations") or value.get("completions")):
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        found: dict[str, dict[str, str]] = {"text": {}, "choices": {}}
        said: list[Row] = []
        for result in objects(annotation.get("result")):
            given, name = result.get("value"), str(result.get("from_name"))
            if isinstance(message := at_path(given, "chatmessage"), dict):
                said.append({key: message.get(key) for key in ("role", "content")})
            for kind, texts in found.items():
                one = at_path(given, kind)
                if isinstance(one, list) and all(isinstance(text, str) for text in one):
                    texts[name] = "\n".join(filter(None, (texts.get(name), *one)))
        if said:
            yield _annotated([*objects(asked), *said][:-1], said[-1]["content"])
        elif (answer := _answer_of(found["text"] or found["choices"])) is not None:
            yield _annotated(asked, answer)


def _annotated(asked: Any, answer: Any) -> Row:
    turns = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    kept = [{key: turn.get(key) for key in ("role", "content")} for turn in objects(turns)]
    return {"messages": [*kept, {"role": "assistant", "content": answer}]}


_JSON_MIN: Final = frozenset(
    ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
)


def _label_studio_min(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    fields = {name: one for name, one in value.items() if name not in _JSON_MIN}
    chats = [name for name, one in fields.items() if objects(one) and "role" in objects(one)[0]]
    if chats:
        turns = [turn for name in chats for turn in objects(fields[name])]
        yield _annotated(turns[:-1], turns[-1].get("content"))
        return
    texts = {
        name: "\n".join(at_path(one, "text") or at_path(one, "choices") or [])
        if isinstance(one, dict)
        else one
        for name, one in fields.items()
    }
    asked = next((name for name in _PROMPTS if isinstance(texts.get(name), str)), None)
    others = {name: one for name, one in texts.items() if name != asked and isinstance(one, str)}
    if asked is not None and (answer := _answer_of(others)) is not None:
        yield _annotated(texts[asked], answer)


def _argilla(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    given = {
        question: [one for one in objects(answers) if one.get("status") in (None, "submitted")]
        for question, answers in value["responses"].items()
    }
    texts = {
        question: answers[0]["value"]
        for question, answers in given.items()
        if answers and isinstance(answers[0].get("value"), str)
    }
    if (answer := _answer_of(texts)) is not None:
        yield _annotated(_asked(value["fields"]), answer)


_FLAT: Final = ".responses"


def _argilla_flat(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    """Convert a record of `to_list(flatten=True)`, whose questions are columns."""
    responses: dict[str, list[Row]] = {}
    for column, values in value.items():
        if column.endswith(_FLAT):
            states = value.get(f"{column}.status")
            if isinstance(values, list) and isinstance(states, list):
                responses[column.removesuffix(_FLAT)] = [
                    {"value": one, "status": status} for one, status in zip_longest(values, states)
                ]
    fields = {
        name: one
        for name, one in value.items()
        if "." not in name and name not in ("id", "status", "_server_id")
    }
    return _argilla({"fields": fields, "responses": responses}, _roles)


# Support desks


def _desk(posts: Iterable[Post]) -> Iterator[Row]:
    """Yield the conversation of a ticket that a member of the staff has answered."""
    listed = list(posts)
    if any(post.is_bot and post.text.strip() for post in listed):
        for record in conversations_of(listed, {}):
            yield record.value


def _zendesk(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    ticket = value["ticket"] if isinstance(value.get("ticket"), dict) else value
    people = {str(user.get("id")): user.get("role") for user in objects(value.get("users"))}
    copied = [ticket.get(key) for key in ("collaborator_ids", "email_cc_ids", "follower_ids")]
    customers = {str(one) for ids in copied if isinstance(ids, list) for one in ids}
    customers -= {str(ticket.get("assignee_id"))}
    customers |= {str(ticket.get("requester_id")), str(at_path(ticket, "requester", "id"))}

    def is_staff(author: str) -> bool:
        role = people.get(author)
        return role in ("agent", "admin") if role else author not in customers

    return _desk(
        Post(
            (str(comment.get("author_id")),),
            str(comment.get("plain_body") or comment.get("body") or "").replace("&nbsp;", " ")
            or html_text(str(comment.get("html_body") or "")),
            seconds(comment.get("created_at")),
            is_bot=is_staff(str(comment.get("author_id"))),
            thread="",
        )
        for comment in objects(value.get("comments") or ticket.get("comments"))
        if comment.get("public", True)
    )


def _is_zendesk(value: Row) -> bool:
    ticket = value["ticket"] if isinstance(value.get("ticket"), dict) else value
    comments = objects(value.get("comments") or ticket.get("comments"))
    known = bool({"requester_id", "requester"} & ticket.keys()) or bool(objects(value.get("users")))
    return known and any("author_id" in comment for comment in comments)


# Parts that only assign, close or reopen have no body, and others are notes of the staff.
_NOTES: Final = ("note", "note_and_reopen", "quick_reply")


def _intercom(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    parts = at_path(value, "conversation_parts", "conversation_parts")
    said = [value["source"], *objects(parts)]
    return _desk(
        Post(
            (str(at_path(part, "author", "id")),),
            html_text(str(part.get("body") or "")),
            is_bot=at_path(part, "author", "type") in ("admin", "bot", "team"),
            thread="",
        )
        for part in said
        if part.get("part_type") not in _NOTES and not part.get("redacted")
    )


def _chats_inside(value: Row, roles: Mapping[str, str]) -> Iterator[Row]:
    for chat in messages_inside(value):
        yield from read_chats(chat, roles)


_EXPORTS: Final = (
    Export(lambda v: isinstance(v.get("chat_messages"), list), _claude),
    Export(lambda v: "current_node" in v and isinstance(v.get("mapping"), dict), _chatgpt),
    Export(lambda v: bool(messages_inside(v)), _chats_inside),
    Export(
        lambda v: isinstance(v.get("request"), dict) and isinstance(v.get("response"), dict),
        _logged,
    ),
    Export(_is_anthropic, _anthropic),
    Export(_is_responses, _responses),
    Export(_is_gemini, _gemini),
    Export(_is_llama_factory, _llama_factory),
    Export(
        lambda v: any({"input", "output"} <= one.keys() for one in objects(v.get("conversation"))),
        _pairs,
    ),
    Export(lambda v: "message_tree_id" in v and isinstance(v.get("prompt"), dict), _tree),
    Export(lambda v: bool(objects(v.get("thread"))) and "thread_id" in v, _thread),
    Export(_is_squad, _squad),
    Export(
        lambda v: (
            isinstance(v.get("annotations") or v.get("completions"), list)
            and isinstance(v.get("data"), dict)
        ),
        _label_studio,
    ),
    Export(lambda v: {"annotator", "annotation_id", "lead_time"} <= v.keys(), _label_studio_min),
    Export(
        lambda v: isinstance(v.get("fields"), dict) and isinstance(v.get("responses"), dict),
        _argilla,
    ),
    Export(lambda v: any(name.endswith(_FLAT) for name in v), _argilla_flat),
    Export(_is_zendesk, _zendesk),
    Export(lambda v: "conversation_parts" in v and isinstance(v.get("source"), dict), _intercom),
)
