"""Converts requests and answers of model APIs: Anthropic's, OpenAI's (Responses) and Gemini's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from service.datasets.formats.chat_apps import at_path, objects, seconds

Row = dict[str, Any]


def joined(blocks: Any, *types: str) -> str:
    """Return the text of content blocks of some types, or of content that is a text."""
    if isinstance(blocks, str):
        return blocks
    texts = [block.get("text") for block in objects(blocks) if block.get("type") in types]
    return "\n".join(text for text in texts if isinstance(text, str))


def spoken(blocks: Any, *types: str) -> str:
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


def is_anthropic(value: Row) -> bool:
    """Return whether a value has blocks or tools of Anthropic's API."""
    blocks = [
        block
        for message in objects(value.get("messages"))
        for block in objects(message.get("content"))
    ]
    return any(
        str(block.get("type")).startswith((*_ANTHROPIC, "server_tool")) for block in blocks
    ) or any("input_schema" in tool for tool in objects(value.get("tools")))


def anthropic(value: Row) -> Iterator[Row]:
    """Yield the conversation of a request of Anthropic's API, with its response."""
    messages: list[Row] = []
    if system := joined(value.get("system"), "text"):
        messages.append({"role": "system", "content": system})
    said = objects(value.get("messages"))
    if value.get("role") == "assistant" and isinstance(value.get("content"), list):
        said = [*said, value]  # a request with its response
    for message in said:
        role, blocks = message.get("role"), message.get("content")
        for block in objects(blocks):
            if block.get("type") == "tool_result":
                answer = joined(block.get("content"), "text")
                call = block.get("tool_use_id")
                messages.append({"role": "tool", "tool_call_id": call, "content": answer})
        content = _anthropic_content(blocks, spoken if role == "assistant" else joined)
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


def is_responses(value: Row) -> bool:
    """Return whether a value has items of OpenAI's Responses API."""
    items = [one for key in ("input", "items", "output") for one in objects(value.get(key))]
    kinds = {str(item.get("type")) for item in items}
    texts = {str(block.get("type")) for item in items for block in objects(item.get("content"))}
    return bool(kinds & _RESPONSE_ITEMS) or bool(texts & {"input_text", "output_text", "refusal"})


def responses(value: Row) -> Iterator[Row]:
    """Yield the conversation of a request of OpenAI's Responses API, with its response."""
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
                answer = joined(item.get("output"), "input_text", "output_text")
                messages.append(
                    {"role": "tool", "tool_call_id": item.get("call_id"), "content": answer}
                )
    yield _with_tools(messages, value.get("tools"), "parameters")


def _item_content(item: Row) -> Any:
    """Return the text of a message, or its blocks if one is a picture or a file."""
    blocks = item.get("content")
    if all(block.get("type") in _RESPONSE_TEXTS for block in objects(blocks)):
        join = spoken if item.get("role") == "assistant" else joined
        return join(blocks, *_RESPONSE_TEXTS)
    return blocks


def is_gemini(value: Row) -> bool:
    """Return whether a value has contents of Gemini's API."""
    return any(isinstance(one.get("parts"), list) for one in objects(value.get("contents")))


def gemini(value: Row) -> Iterator[Row]:
    """Yield the conversation of a request of Gemini's API, with its response."""
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
    scored = [
        (seconds(one.get("score")) or 0.0, at_path(one, "completion", "parts"))
        for one in objects(value.get("completions"))
    ]
    if len(scored) == 2:  # a preference
        (_, worse), (_, better) = sorted(scored, key=lambda one: one[0])
        chosen, rejected = (_gemini_text(objects(parts)) for parts in (better, worse))
        yield {"prompt": messages, "chosen": chosen, "rejected": rejected}
        return
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


def is_llama_factory(value: Row) -> bool:
    """Return whether a value has LLaMA-Factory's blocks of content."""
    return any(
        isinstance(block.get("value"), str) and "type" in block
        for message in objects(value.get("messages"))
        for block in objects(message.get("content"))
    )


def llama_factory(value: Row) -> Iterator[Row]:
    """Yield the conversation of a row of LLaMA-Factory."""
    messages: list[Row] = []
    for message in objects(value["messages"]):
        blocks = objects(message.get("content"))
        texts = [str(block.get("value")) for block in blocks if block.get("type") == "text"]
        turn = {"role": message.get("role"), "content": "\n".join(texts)}
        if turn["role"] == "assistant" and message.get("loss_weight") in (0, 1):
            turn["weight"] = int(message["loss_weight"])
        messages.append(turn)
    yield {"messages": messages}
