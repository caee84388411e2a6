"""Exports of other tools, made from the documentation or the code named beside each.

No file that a tool really exported was at hand.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.datasets.file_cases.cases import SHOP, Case, Row, chat, chats, jsonl

SYSTEM = "Be kind."
ROLES = {"roles": {"Shop": "assistant"}}
TOPIC = "tool_exports"
START = 1_780_000_000


def cases() -> Iterator[Case]:
    """Yield the cases: model APIs, templates of models, annotation, support desks and chat apps."""
    yield from _model_chats()
    yield from _model_apis()
    yield from _templates()
    yield from _trees()
    yield from _questions()
    yield from _annotations()
    yield from _desks()
    yield from _chat_apps()
    yield Case(TOPIC, "one column of JSON", _column("messages", _messages), chats(SHOP))
    yield Case(TOPIC, "a column of JSON rows", _column("id,data", _wrapped), chats(SHOP))


def _json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False).encode()


def _messages(ask: str, answer: str) -> list[Row]:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]


def _wrapped(ask: str, answer: str) -> Row:
    return {"messages": _messages(ask, answer)}


def _column(head: str, make: Any) -> bytes:
    prefix = "7," if "," in head else ""
    cells = [json.dumps(make(*pair)).replace('"', '""') for pair in SHOP]
    return "\n".join((head, *(f'{prefix}"{cell}"' for cell in cells), "")).encode()


def _iso(at: int) -> str:
    return datetime.fromtimestamp(START + at, UTC).strftime("%Y-%m-%dT%H:%M:%S.832Z")


# Chats with models


def _model_chats() -> Iterator[Case]:
    # claude.ai's data export: schema/claude-json-schema.json of brandtcormorant/claude-json-schema;
    # parents, and the text in place of other blocks, as published programs that read it expect
    rows = [chat(SHOP[0][0], f"Let me look.\n\n{SHOP[0][1]}")]
    yield Case(TOPIC, "ChatGPT with a tool", _json([_chatgpt()]), rows)
    talks = [_claude(*pair) for pair in SHOP]
    empty = {"uuid": "0", "name": "", "account": {"uuid": "2"}, "chat_messages": []}
    yield Case(TOPIC, "claude.ai", _json([empty, *talks], 2), chats(SHOP))
    branched = [_claude(*pair) for pair in SHOP]
    for talk in branched:
        first, answer = talk["chat_messages"]
        root = "00000000-0000-4000-8000-000000000000"
        old = {**first, "uuid": "old", "content": [{"type": "text", "text": "Helo?"}]}
        lost = {**answer, "uuid": "lost", "parent_message_uuid": "old"}
        first["parent_message_uuid"] = old["parent_message_uuid"] = root
        answer["parent_message_uuid"] = first["uuid"]
        talk["chat_messages"] = [old, lost, first, answer]
    yield Case(TOPIC, "claude.ai with edited messages", _json(branched), chats(SHOP))
    pasted = _claude(*SHOP[0])
    pasted["chat_messages"][0]["attachments"] = [
        {
            "file_name": "hours.txt",
            "file_size": 18,
            "file_type": "txt",
            "extracted_content": "Mon closed",
        }
    ]
    rows = [chat(f"{SHOP[0][0]}\n\nMon closed", SHOP[0][1])]
    yield Case(TOPIC, "claude.ai with a pasted text", _json([pasted]), rows)


def _chatgpt() -> Row:
    """An answer that went on after a tool, and one that was written again."""
    said = [("user", SHOP[0][0]), ("assistant", "Let me look."), ("tool", "closed")]
    said += [("assistant", SHOP[0][1])]
    nodes: Row = {"root": {"id": "root", "message": None, "parent": None, "children": ["0"]}}
    for at, (role, text) in enumerate(said):
        content = {"content_type": "text", "parts": [text]}
        message = {"id": str(at), "author": {"role": role, "name": None}, "content": content}
        node = {"id": str(at), "message": message, "parent": str(at - 1) if at else "root"}
        nodes[str(at)] = node | {"children": []}
    nodes["old"] = {**nodes["1"], "id": "old"}
    return {"title": "Shop", "create_time": 1.0, "mapping": nodes, "current_node": "3"}


def _claude(ask: str, answer: str) -> Row:
    block = {"start_timestamp": _iso(0), "stop_timestamp": _iso(1), "citations": []}
    unsupported = "```\nThis block is not supported on your current device yet.\n```"
    call = {"type": "tool_use", "id": None, "name": "web_search", "input": {"query": "hours"}}
    found: Row = {"type": "tool_result", "tool_use_id": None, "name": "web_search", "content": []}
    made = {
        "human": (ask, [block | {"type": "text", "text": ask}]),
        "assistant": (
            f"{unsupported}\n\n{answer}",
            [
                block | {"type": "thinking", "thinking": "…", "summaries": []},
                block | call,
                block | found | {"is_error": False},
                block | {"type": "text", "text": answer},
            ],
        ),
    }
    messages = [
        {"uuid": who, "text": text, "content": content, "sender": who}
        | {"created_at": _iso(0), "updated_at": _iso(0), "attachments": [], "files": []}
        for who, (text, content) in made.items()
    ]
    head = {"uuid": "1", "name": "Shop", "summary": "", "created_at": _iso(0)}
    return head | {"updated_at": _iso(1), "account": {"uuid": "2"}, "chat_messages": messages}


# Model APIs

SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}}
ASKED = "Open on Monday?"


def _truth(text: str = "", call_id: str = "c1") -> Row:
    function = {"name": "hours", "arguments": '{"day": "Monday"}'}
    declared = {"name": "hours", "description": "", "parameters": SCHEMA}
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": ASKED},
            {
                "role": "assistant",
                "content": text,
                "tool_calls": [{"id": call_id, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": call_id, "content": "closed"},
            {"role": "assistant", "content": "No."},
        ],
        "tools": [{"type": "function", "function": declared}],
    }


def _model_apis() -> Iterator[Case]:
    # Anthropic's Messages API: anthropic 2.13, types/message_create_params.py and *_block_param.py
    anthropic = _anthropic()
    yield Case(TOPIC, "Anthropic's messages", jsonl([anthropic] * 2), [_truth()] * 2)
    plain = {"system": SYSTEM, "messages": _messages(*SHOP[0]), "model": "m", "max_tokens": 9}
    rows = [chat(*SHOP[0], system=SYSTEM), _truth("Let me look.")]
    late = _anthropic({"type": "text", "text": "Let me look."})
    yield Case(TOPIC, "Anthropic's tools in a later row", jsonl([plain, late]), rows)
    request, answer = anthropic["messages"][:-1], anthropic["messages"][-1]
    reply = {"id": "msg_1", "type": "message", "stop_reason": "end_turn", "usage": {}}
    logged = {**anthropic, "messages": request, **reply, **answer}
    yield Case(TOPIC, "Anthropic's request with its response", jsonl([logged]), [_truth()])
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    shown = {**anthropic, "messages": [{"role": "user", "content": [picture]}, answer]}
    yield Case(TOPIC, "Anthropic's picture", jsonl([shown]), None, {}, "unsupported_content")
    pieces = [{"type": "text", "text": text} for text in ("It opens ", "at nine", ".")]
    cited: Row = {
        "messages": [*_messages("When?", "")[:1], {"role": "assistant", "content": pieces}]
    }
    cited["messages"][1]["content"].insert(0, {"type": "thinking", "thinking": "…"})
    rows = [chat("When?", "It opens at nine.")]
    yield Case(TOPIC, "Anthropic's text in cited pieces", jsonl([cited]), rows)
    # OpenAI's Responses API: openai 3.57, types/responses/response_output_item.py,
    # response_input_item.py, function_tool.py
    responses = _responses()
    yield Case(TOPIC, "OpenAI's responses", jsonl([responses] * 2), [_truth()] * 2)
    said = {"type": "message", "role": "assistant", "id": "msg_0", "status": "completed"}
    told = said | {"content": [{"type": "output_text", "text": "Let me look.", "annotations": []}]}
    responses["output"].insert(1, told)
    asked = [{"type": "input_text", "text": ASKED}]
    responses["input"] = [{"type": "message", "role": "user", "content": asked}]
    rows = [_truth("Let me look.")]
    yield Case(TOPIC, "OpenAI's response with a text and a call", jsonl([responses]), rows)
    refused: Row = {"type": "message", "role": "assistant", "id": "msg_2", "status": "completed"}
    refused |= {"content": [{"type": "refusal", "refusal": "I cannot say."}]}
    rows = [chat("Who?", "I cannot say.")]
    yield Case(TOPIC, "OpenAI's refusal", jsonl([{"input": "Who?", "output": [refused]}]), rows)
    # A request with its response: openai 3.57, types/chat/chat_completion.py, and batch lines of
    # Gemini's API
    calls: list[Row] = [
        {"request": {"model": "m", "messages": said[:1]}, "response": {"choices": [choice]}}
        for said in (_messages(*pair) for pair in SHOP)
        for choice in [{"index": 0, "finish_reason": "stop", "message": said[1]}]
    ]
    yield Case(TOPIC, "logged calls", jsonl(calls), chats(SHOP))
    answered = [_gemini(*pair) for pair in SHOP]
    keys = ("systemInstruction", "contents")
    batch = [
        {"key": "1", "request": {key: line[key] for key in keys}, "response": line}
        for line in answered
    ]
    kind = [chat(*pair, system=SYSTEM) for pair in SHOP]
    yield Case(TOPIC, "Gemini's batches", jsonl(batch), kind)
    # Gemini's API: google/genai/types.py (Content, Part, FunctionCall, FunctionResponse, Tool) of
    # googleapis/python-genai
    yield Case(TOPIC, "Gemini", jsonl([_gemini(*pair) for pair in SHOP]), kind)
    yield Case(TOPIC, "Gemini's functions", jsonl([_gemini_call()]), [_truth(call_id="call_1")])
    # LLaMA-Factory: data/README.md (sharegpt), data/glaive_toolcall_en_demo.json,
    # data/v1_sft_demo.jsonl
    yield from _llama_factory()
    yield Case(
        TOPIC, "pairs", jsonl([{"conversation": [_pair(*pair)]} for pair in SHOP]), chats(SHOP)
    )


def _pair(
    ask: str, answer: str
) -> Row:  # InternLM/xtuner, docs/zh_cn/user_guides/dataset_format.md
    return {"system": "", "input": ask, "output": answer}


def _anthropic(*before: Row) -> Row:
    call = {"type": "tool_use", "id": "c1", "name": "hours", "input": {"day": "Monday"}}
    thought = {"type": "thinking", "thinking": "…", "signature": "s"}
    server = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    text = [{"type": "text", "text": "closed"}]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": text, "is_error": False}
    cached = {"cache_control": {"type": "ephemeral"}}
    return {
        "model": "m",
        "max_tokens": 1024,
        "system": [{"type": "text", "text": SYSTEM} | cached],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": ASKED}]},
            {"role": "assistant", "content": [thought, server, found, *before, call]},
            {"role": "user", "content": [result | cached]},
            {"role": "assistant", "content": [{"type": "text", "text": "No.", "citations": None}]},
        ],
        "tools": [
            {"name": "hours", "input_schema": SCHEMA},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        ],
    }


def _responses() -> Row:
    function = {"name": "hours", "arguments": '{"day": "Monday"}'}
    said = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "closed"}
    return {
        "id": "resp_1",
        "object": "response",
        "instructions": SYSTEM,
        "input": ASKED,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "status": "completed"}
            | function,
            output | {"id": "fco_1", "status": "completed"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            said | {"content": [{"type": "output_text", "text": "No.", "annotations": []}]},
        ],
        "tools": [
            {"type": "function", "name": "hours", "parameters": SCHEMA, "strict": True},
            {"type": "web_search"},
        ],
    }


def _gemini(ask: str, answer: str) -> Row:
    return {
        "systemInstruction": {"parts": [{"text": SYSTEM}]},
        "contents": [{"role": "user", "parts": [{"text": ask}]}],
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [{"text": "…", "thought": True}, {"text": answer}],
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
    }


def _gemini_call() -> Row:
    call = {"functionCall": {"name": "hours", "args": {"day": "Monday"}}, "thoughtSignature": "x"}
    answer = {"functionResponse": {"name": "hours", "response": {"output": "closed"}}}
    capitals = {"type": "OBJECT", "properties": {"day": {"type": "STRING"}}}
    return {
        "system_instruction": SYSTEM,
        "contents": [
            {"role": "user", "parts": [{"text": ASKED}]},
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [answer]},
            {"role": "model", "parts": [{"text": "No."}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "hours", "parameters": capitals}]}],
    }


def _llama_factory() -> Iterator[Case]:
    call = json.dumps({"name": "hours", "arguments": {"day": "Monday"}})
    said = [("human", ASKED), ("function_call", call), ("observation", "closed"), ("gpt", "No.")]
    shared: Row = {
        "conversations": [{"from": who, "value": text} for who, text in said],
        "system": SYSTEM,
        "tools": json.dumps([{"name": "hours", "description": "", "parameters": SCHEMA}]),
    }
    truth = _truth(call_id="call_1")
    truth["messages"][2].pop("content")
    yield Case(TOPIC, "ShareGPT with a function", jsonl([shared]), [truth])
    both = f"[{call}, {call.replace('Monday', 'Sunday')}]"
    shared["conversations"][1]["value"] = both
    shared["conversations"].insert(3, {"from": "observation", "value": "open"})
    truth = json.loads(json.dumps(truth))
    first = truth["messages"][2]["tool_calls"][0]
    function = {"name": "hours", "arguments": '{"day": "Sunday"}'}
    truth["messages"][2]["tool_calls"] = [first, {**first, "id": "call_2", "function": function}]
    truth["messages"].insert(4, {"role": "tool", "tool_call_id": "call_2", "content": "open"})
    yield Case(TOPIC, "ShareGPT with two functions", jsonl([shared]), [truth])
    newer = [
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "value": ask}], "loss_weight": 0.0},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "reasoning", "value": "…"},
                        {"type": "text", "value": answer},
                    ],
                    "loss_weight": 1.0,
                },
            ]
        }
        for ask, answer in SHOP
    ]
    rows = chats(SHOP)
    for row in rows:
        row["messages"][1]["weight"] = 1
    yield Case(TOPIC, "LLaMA-Factory's blocks", jsonl(newer), rows)


# Texts in the templates of models, with one turn of each side or with two: trl 1.16,
# chat_templates/*.jinja, except those that name another source.

TEMPLATES = {
    # phi3.jinja, gemma.jinja, gemma4.jinja, qwen3.jinja, llama3_1.jinja, glm4moe.jinja,
    # deepseekv3.jinja, cohere.jinja
    "Phi 3's": "<|system|>\nBe kind.<|end|>\n[<|user|>\n{}<|end|>\n<|assistant|>\n{}<|end|>\n]"
    "<|endoftext|>",
    "Gemma's": "<bos>[<start_of_turn>user\n{}<end_of_turn>\n"
    "<start_of_turn>model\n{}<end_of_turn>\n]",
    "Gemma 4's": "<bos><|turn>system\nBe kind.<turn|>\n"
    "[<|turn>user\n{}<turn|>\n<|turn>model\n{}<turn|>\n]",
    "Qwen's": "<|im_start|>system\nBe kind.<|im_end|>\n[<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n{}<|im_end|>\n]",
    "Llama 3's": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    "[<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>]",
    "Llama 3.1's": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
    "[<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>]",
    "GLM's": "[gMASK]<sop><|system|>\nBe kind.[<|user|>\n{}<|assistant|>\n<think></think>\n{}]",
    "DeepSeek's": "<｜begin▁of▁sentence｜>Be kind."
    "[<｜User｜>{}<｜Assistant｜>{}<｜end▁of▁sentence｜>]",
    "Cohere's": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be kind.<|END_OF_TURN_TOKEN|>"
    "[<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{}<|END_OF_TURN_TOKEN|>]",
    # zephyr, phi4, llama2 and alpaca: src/llamafactory/data/template.py of hiyouga/LLaMA-Factory
    "Zephyr's": "<|system|>\nBe kind.</s>\n[<|user|>\n{}</s>\n<|assistant|>\n{}</s>\n]",
    "Phi 4's": "<|im_start|>system<|im_sep|>Be kind.<|im_end|>"
    "[<|im_start|>user<|im_sep|>{}<|im_end|>"
    "<|im_start|>assistant<|im_sep|>{}<|im_end|>]",
    # mistral-common 1.13, tokens/tokenizers/instruct.py
    "Mistral's": "<s>[[INST] {} [/INST] {}</s>]",
    "Llama 2's": "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n[{} [/INST] {} </s>]",
    "Alpaca's": "Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n[### Instruction:\n{}\n\n### Response:\n{}]",
}


def _templates() -> Iterator[Case]:
    (ask, answer), (more, reply) = SHOP[:2]
    for name, template in TEMPLATES.items():
        head, turn, tail = _parts_of(template)
        system = SYSTEM if SYSTEM in template else None
        texts = [{"text": head + turn.format(*pair) + tail} for pair in SHOP]
        rows = [chat(*pair, system=system) for pair in SHOP]
        if name not in ("Llama 2's", "Alpaca's"):
            texts.append(
                {"text": head + turn.format(ask, answer) + turn.format(more, reply) + tail}
            )
            rows.append(chat(ask, answer, more, reply, system=system))
        yield Case(TOPIC, f"{name} template", jsonl(texts), rows)
    given = "Below is an instruction that describes a task, paired with an input that provides "
    given += "further context. Write a response that appropriately completes the request.\n\n"
    text = f"{given}### Instruction:\nTranslate.\n\n### Input:\nGuten Tag\n\n### Response:\nHello"
    rows = [chat("Translate.\n\nGuten Tag", "Hello")]
    yield Case(TOPIC, "Alpaca's template with an input", jsonl([{"text": text}]), rows)
    for name, template in TEMPLATES.items():
        if name in ("Phi 3's", "Gemma's", "Qwen's", "Llama 3's", "Zephyr's"):
            head, turn, _ = _parts_of(template)
            first, second, _ = turn.split("{}")
            ended = [
                (head + first + ask + second, answer + turn.split("{}")[2]) for ask, answer in SHOP
            ]
            pairs = [{"prompt": ask, "completion": answer} for ask, answer in ended]
            system = SYSTEM if SYSTEM in template else None
            rows = [chat(*pair, system=system) for pair in SHOP]
            yield Case(TOPIC, f"prompts in {name} template", jsonl(pairs), rows)
    tool = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>tool\nclosed<|im_end|>\n"
    kept = [{"text": tool + "<|im_start|>assistant\nNo.<|im_end|>"}]
    yield Case(TOPIC, "a template with a role that is not read", jsonl(kept), kept)


def _parts_of(template: str) -> tuple[str, str, str]:
    """Return what is before, in and after the brackets around the turns of a template."""
    start = next(at for at in range(len(template)) if template[at] == "[" and "{}" in template[at:]
                 and not template[at:].startswith(("[INST]", "[gMASK]")))  # fmt: skip
    end = template.rindex("]")
    return template[:start], template[start + 1 : end], template[end + 1 :]


# Trees of answers


def _trees() -> Iterator[Case]:
    # Open Assistant: oasst-data/README.md and oasst_data/schemas.py of LAION-AI/Open-Assistant
    (ask, answer), (more, reply), (other, last) = SHOP[:3]
    rows = [chat(ask, answer, more, reply), chat(ask, answer, other, last)]
    tree = _node(
        "1",
        ask,
        _node("2", "No idea.", rank=1),
        _node(
            "3",
            answer,
            _node("4", more, _node("5", reply, rank=0), _node("6", "?", rank=2)),
            _node("7", other, _node("8", last)),
            _node("9", "And?"),
            rank=0,
        ),
        _node("10", "Spam!", review_result=False, rank=None),
        _node("11", "Gone.", deleted=True, rank=None),
    )
    state = {"message_tree_id": "1", "tree_state": "ready_for_export"}
    yield Case(TOPIC, "Open Assistant's trees", jsonl([state | {"prompt": tree}]), rows)
    thread = [
        {
            "message_id": str(at),
            "text": text,
            "role": ("prompter", "assistant")[at % 2],
            "lang": "en",
        }
        for at, text in enumerate((ask, answer, more, reply))
    ]
    threads = [{"thread_id": "3", "thread": thread}]
    yield Case(TOPIC, "Open Assistant's threads", jsonl(threads), rows[:1])
    flat = [
        {**one, "message_tree_id": "1", "tree_state": "ready"} for one in _flattened(tree, None)
    ]
    yield Case(TOPIC, "Open Assistant's messages", jsonl(flat), rows)
    own = [
        {"conversation_id": at, "message_id": f"{at}-{turn['role']}", "role": turn["role"]}
        | {"text": turn["content"]}
        for at, pair in enumerate(SHOP)
        for turn in _messages(*pair)
    ]
    yield Case(TOPIC, "messages with an ID of the conversation", jsonl(own), chats(SHOP))


def _node(message_id: str, text: str, *replies: Row, **more: Any) -> Row:
    role = "prompter" if message_id in ("1", "4", "7", "9") else "assistant"
    found: Row = {"message_id": message_id, "text": text, "role": role, "lang": "en"}
    found |= {"review_count": 3, "review_result": True, "deleted": False, "synthetic": False}
    return found | {"emojis": {"+1": 1}, "labels": {}} | more | {"replies": list(replies)}


def _flattened(node: Row, parent: str | None) -> Iterator[Row]:
    yield {key: value for key, value in node.items() if key != "replies"} | {"parent_id": parent}
    for reply in node["replies"]:
        yield from _flattened(reply, node["message_id"])


# Questions

CONTEXT = "The shop opens at nine, every day but Monday."
SQUAD_ROWS = [
    chat(f"{ask}\n\n{CONTEXT}", answer)
    for ask, answer in (("When does it open?", "nine"), ("When is it closed?", "Monday"))
]


def _questions() -> Iterator[Case]:
    # SQuAD 2.0's JSON: transformers 5.19, data/processors/squad.py (SquadProcessor), which also
    # reads the flat rows of the data set on Hugging Face
    asked: list[Row] = [
        {"id": "1", "question": "When does it open?", "is_impossible": False}
        | {"answers": [{"text": "nine", "answer_start": 18}]},
        {"id": "2", "question": "When is it closed?", "is_impossible": False}
        | {"answers": [{"text": "Monday", "answer_start": 38}]},
    ]
    document = {
        "version": "v2.0",
        "data": [{"title": "Shop", "paragraphs": [{"context": CONTEXT, "qas": asked}]}],
    }
    yield Case(TOPIC, "SQuAD", _json(document), SQUAD_ROWS)
    flat = [
        {"id": one["id"], "title": "Shop", "context": CONTEXT, "question": one["question"]}
        | {"answers": {"text": [one["answers"][0]["text"]], "answer_start": [18]}}
        for one in asked
    ]
    yield Case(TOPIC, "SQuAD's rows", jsonl(flat), SQUAD_ROWS)


# Annotation


def _annotations() -> Iterator[Case]:
    # Label Studio: labelstud.io/guide/task_format, and src/label_studio_sdk/converter
    # (converter.py, utils.py, exports/csv2.py) of HumanSignal/label-studio-sdk
    tasks = [_label_studio(at, *pair) for at, pair in enumerate(SHOP)]
    yield Case(TOPIC, "Label Studio", _json(tasks), chats(SHOP))
    rated = [_label_studio(at, *pair, "choices") for at, pair in enumerate(SHOP)]
    yield Case(TOPIC, "Label Studio with a rating", _json(rated), chats(SHOP))
    spans = {"start": 0, "end": 4, "text": "When", "labels": ["Time"]}
    spanned = [{"id": 1, "data": {"text": "When?"}, "annotations": [_result("labels", spans)]}]
    yield Case(TOPIC, "Label Studio's spans", _json(spanned), None, {}, "empty_file")
    talk = _messages(*SHOP[0])
    said = {"chatmessage": {"role": "assistant", "content": SHOP[1][1], "createdAt": START}}
    asked = [*talk, {"role": "user", "content": SHOP[1][0]}]
    task = {"id": 1, "data": {"chat": asked}, "annotations": [_result("chatmessage", said)]}
    yield Case(TOPIC, "Label Studio's chats", _json([task]), [chat(*SHOP[0], *SHOP[1])])
    least = [
        {"text": ask, "id": at, "answer": answer, "quality": "Good", "annotator": 1}
        | {"annotation_id": at, "created_at": _iso(0), "updated_at": _iso(0), "lead_time": 4.2}
        for at, (ask, answer) in enumerate(SHOP)
    ]
    yield Case(TOPIC, "Label Studio's JSON-MIN", _json(least, 2), chats(SHOP))
    out = io.StringIO()
    table = [{key: row[key] for key in sorted(row) if key != "quality"} for row in least]
    named = [{("prompt" if k == "text" else k): v for k, v in row.items()} for row in table]
    writer = csv.DictWriter(out, sorted(named[0]), quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(named)
    yield Case(TOPIC, "Label Studio's CSV", out.getvalue().encode(), chats(SHOP))
    # Argilla 2: records/_resource.py (to_dict) and records/_io/_generic.py (to_list) of
    # argilla-io/argilla
    yield Case(TOPIC, "Argilla", _json([_argilla(*pair) for pair in SHOP]), chats(SHOP))
    flat = [_argilla_flat(*pair) for pair in SHOP]
    yield Case(TOPIC, "Argilla's flat records", _json(flat), chats(SHOP))


def _result(kind: str, value: Row, name: str = "answer") -> Row:
    one = {"id": "x", "type": kind, "from_name": name, "to_name": "text", "origin": "manual"}
    return {"id": 1, "completed_by": 1, "was_cancelled": False, "result": [one | {"value": value}]}


def _label_studio(at: int, ask: str, answer: str, *rated: str) -> Row:
    annotation = _result("textarea", {"text": [answer]})
    if rated:
        rating = _result("choices", {"choices": ["Good answer"]}, "rating")
        annotation["result"] = rating["result"] + annotation["result"]
    skipped = _result("textarea", {"text": ["wrong"]}) | {"was_cancelled": True}
    task = {"id": at, "data": {"prompt": ask}, "annotations": [skipped, annotation]}
    return task | {"predictions": [], "drafts": [], "meta": {}, "project": 1, "updated_by": 1}


def _argilla(ask: str, answer: str) -> Row:
    user = {"user_id": "35da5a37-0000-4000-8000-000000000000"}
    return {
        "id": "1",
        "fields": {"prompt": ask},
        "metadata": {},
        "suggestions": {"completion": {"value": "?", "score": None, "agent": None}},
        "responses": {
            "relevant": [{"value": "yes", **user}],
            "completion": [{"value": answer, **user}],
        },
        "vectors": {},
        "_server_id": None,
    }


def _argilla_flat(ask: str, answer: str) -> Row:
    return {
        "id": "1",
        "prompt": ask,
        "relevant.responses": ["yes"],
        "relevant.responses.users": ["35da5a37"],
        "relevant.responses.status": ["submitted"],
        "completion.responses": ["?", answer],
        "completion.responses.users": ["35da5a37", "46eb6b48"],
        "completion.responses.status": ["draft", "submitted"],
        "completion.suggestion": "?",
        "completion.suggestion.score": None,
        "completion.suggestion.agent": None,
        "_server_id": None,
    }


# Support desks


def _desks() -> Iterator[Case]:
    # Zendesk: developer.zendesk.com, Tickets and Ticket Comments (JSON format, sideloaded users)
    tickets = [_zendesk(*pair) for pair in SHOP]
    yield Case(TOPIC, "Zendesk", jsonl(tickets), chats(SHOP))
    (ask, answer), (more, reply) = SHOP[:2]
    copied = _zendesk(ask, answer)
    copied["email_cc_ids"] = [3]
    copied["comments"] += [_comment(3, more), _comment(2, reply)]
    yield Case(TOPIC, "Zendesk with a copy", jsonl([copied]), [chat(ask, answer, more, reply)])
    users = [
        {"id": 1, "role": "end-user"},
        {"id": 2, "role": "agent"},
        {"id": 9, "role": "end-user"},
    ]
    comments = [_comment(1, ask), _comment(9, more), _comment(2, answer)]
    listed = {"comments": comments, "users": users, "count": 3, "next_page": None}
    yield Case(TOPIC, "Zendesk's comments", _json(listed), [chat(f"{ask}\n{more}", answer)])
    # Intercom: descriptions/2.14/api.intercom.io.yaml of intercom/Intercom-OpenAPI
    talks = [_intercom(*pair) for pair in SHOP]
    yield Case(TOPIC, "Intercom", jsonl(talks), chats(SHOP))
    pages = {"type": "pages", "page": 1}
    listed = {"type": "conversation.list", "conversations": talks, "pages": pages}
    yield Case(TOPIC, "Intercom's list", _json(listed), chats(SHOP))
    again = _intercom(ask, answer)
    more_parts = [
        _part("open", f"<p>{more}</p>", "user"),
        _part("close", f"<p>{reply}</p>", "admin"),
    ]
    again["conversation_parts"]["conversation_parts"] += more_parts
    rows = [chat(ask, answer, more, reply)]
    yield Case(TOPIC, "Intercom reopened and closed with a text", jsonl([again]), rows)


def _comment(author: int, text: str, public: bool = True) -> Row:
    html = f'<div class="zd-comment" dir="auto">{text}</div>'
    comment = {"id": 1, "type": "Comment", "author_id": author, "body": text, "html_body": html}
    comment |= {"plain_body": text.replace("  ", "&nbsp; "), "public": public, "attachments": []}
    return comment | {
        "audit_id": 1,
        "via": {"channel": "web"},
        "created_at": "2026-05-01T09:00:00Z",
    }


def _zendesk(ask: str, answer: str) -> Row:
    note = _comment(2, "An internal note.", public=False)
    ticket = {"id": 1, "subject": "Hours", "description": ask, "status": "solved"}
    ticket |= {"requester_id": 1, "submitter_id": 1, "assignee_id": 2, "collaborator_ids": []}
    return ticket | {"comments": [_comment(1, ask), note, _comment(2, answer)]}


def _part(kind: str, body: str | None, author: str) -> Row:
    who = {"type": author, "id": author, "name": "Joe", "email": "joe@example.com"}
    part = {"type": "conversation_part", "id": "1", "part_type": kind, "body": body, "author": who}
    return part | {"created_at": START, "attachments": [], "redacted": False, "tags": []}


def _intercom(ask: str, answer: str) -> Row:
    parts = [
        _part("assignment", None, "bot"),
        _part("conversation_attribute_updated_by_admin", None, "bot"),
        _part("comment", f"<p>{answer}</p>", "admin"),
        _part("note", "<p>An internal note.</p>", "admin"),
    ]
    source: Row = {"type": "conversation", "id": "3", "delivered_as": "customer_initiated"}
    source |= {"subject": "", "body": f"<p>{ask}</p>", "attachments": [], "redacted": False}
    return {
        "type": "conversation",
        "id": "1",
        "source": source | {"author": {"type": "user", "id": "1", "name": "Ann"}},
        "conversation_parts": {
            "type": "conversation_part.list",
            "conversation_parts": parts,
            "total_count": len(parts),
        },
    }


# Chat apps


def _said() -> tuple[list[tuple[str, str, int]], list[Row]]:
    """Two questions with their answers, and one a day later: each author, text and second."""
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
    return said, [chat(ask, answer, more, reply), chat(late, last)]


def _chat_apps() -> Iterator[Case]:
    yield from _telegram()
    yield from _discord()
    yield from _slack()
    yield from _teams()
    yield from _whatsapp()


def _telegram() -> Iterator[Case]:
    # Telegram: SourceFiles/export/output/export_output_json.cpp of telegramdesktop/tdesktop
    said, rows = _said()
    bold = [{"type": "bold", "text": said[1][1][:6]}, said[1][1][6:]]
    messages = [_telegram_message(at, who, bold if at == 60 else text) for who, text, at in said]
    made = {"type": "service", "actor": "Ann", "actor_id": "user1", "action": "create_group"}
    note: Row = {"id": 1, "date": "2026-05-28T20:26:40", "date_unixtime": str(START)} | made
    photo = _telegram_message(30, "Ann", "") | {"photo": "(File not included.)", "width": 9}
    messages = [{"id": 7, "type": "unsupported"}, note, photo, *messages]
    talk = {"name": "Shop", "type": "personal_chat", "id": 4, "messages": messages}
    yield Case(TOPIC, "Telegram", _json(talk, 1), rows, ROLES)
    by_id = {"roles": {"userShop": "assistant"}}
    yield Case(TOPIC, "Telegram by an ID", _json(talk, 1), rows, by_id)
    account = {"about": "…", "chats": {"about": "…", "list": [talk, {**talk, "messages": []}]}}
    yield Case(TOPIC, "Telegram's chats", _json(account, 1), rows, ROLES)
    long = {
        **talk,
        "messages": [*messages, *(_telegram_message(90_121, "Ann", "x" * 2000),) * 2200],
    }
    yield Case(TOPIC, "a long chat of Telegram", _json(long, 1), rows, ROLES)


def _telegram_message(at: int, who: str, text: Any) -> Row:
    parts = text if isinstance(text, list) else [text] if text else []
    entities = [one if isinstance(one, dict) else {"type": "plain", "text": one} for one in parts]
    date: Row = {"date": _iso(at)[:19], "date_unixtime": str(START + at), "edited_unixtime": "0"}
    message: Row = {"id": at, "type": "message"} | date | {"from": who, "from_id": f"user{who}"}
    return message | {"text": text, "text_entities": entities}


def _discord() -> Iterator[Case]:
    # Discord: DiscordChatExporter.Core/Exporting/JsonMessageWriter.cs and
    # Discord/Data/MessageKind.cs of Tyrrrz/DiscordChatExporter
    said, rows = _said()
    messages = [_discord_message(at, who, text) for who, text, at in said]
    joined = _discord_message(0, "Bob", "Joined the server.") | {"type": "GuildMemberJoin"}
    embed: Row = {
        "title": "",
        "url": None,
        "timestamp": None,
        "description": said[1][1],
        "fields": [],
    }
    messages[1] |= {"content": "", "embeds": [embed]}
    head: Row = {
        "guild": {"id": "1", "name": "Shop"},
        "channel": {"id": "2", "type": "GuildTextChat"},
    }
    head |= {"dateRange": {"after": None, "before": None}, "exportedAt": _iso(0)}
    document = head | {"messages": [joined, *messages], "messageCount": 8}
    yield Case(TOPIC, "Discord", _json(document, 2), rows)
    nick = {"roles": {"Shop's nick": "assistant"}}
    yield Case(TOPIC, "Discord by a nickname", _json(document, 2), rows, nick)


def _discord_message(at: int, who: str, text: str) -> Row:
    author: Row = {"id": who, "name": who, "discriminator": "0000", "nickname": f"{who}'s nick"}
    author |= {"color": None, "isBot": who == "Shop", "roles": [], "avatarUrl": "a.png"}
    message: Row = {"id": str(at), "type": "Reply" if at else "Default", "timestamp": _iso(at)}
    message |= {"timestampEdited": None, "callEndedTimestamp": None, "isPinned": False}
    rest: Row = {"attachments": [], "embeds": [], "stickers": [], "reactions": [], "mentions": []}
    return message | {"content": text, "author": author} | rest


def _slack() -> Iterator[Case]:
    # Slack: docs.slack.dev (message event, formatting message text), and slackviewer/message.py of
    # hfaran/slack-export-viewer, which reads the export
    said, rows = _said()
    messages = [_slack_message(at, who, text) for who, text, at in said]
    joined = _slack_message(0, "Ann", "<@UAnn> has joined the channel") | {
        "subtype": "channel_join"
    }
    day = [joined, *messages]
    yield Case(TOPIC, "Slack", _json(day, 4), rows, ROLES)
    yield Case(TOPIC, "Slack by an ID", _json(day, 4), rows, {"roles": {"UShop": "assistant"}})
    history = {"ok": True, "messages": messages[::-1], "has_more": False}
    yield Case(TOPIC, "Slack's history", _json(history), rows, ROLES)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("help/2026-05-29.json", _json(messages[4:]))
        archive.writestr("help/2026-05-28.json", _json(day[:5]))
        archive.writestr("users.json", _json([{"id": "UAnn", "name": "ann"}]))
        archive.writestr("channels.json", _json([{"id": "C1", "name": "help"}]))
    yield Case(TOPIC, "Slack's folder of a channel", out.getvalue(), rows, ROLES)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("sales/2026-05-29.json", _json(messages))
    yield Case(
        TOPIC, "Slack's channels", out.getvalue(), None, ROLES, "several_channels", "one channel"
    )
    (ask, answer), (more, reply) = SHOP[:2]
    threads = [
        _slack_message(0, "Ann", ask) | {"thread_ts": f"{START}.0001", "reply_count": 1},
        _slack_message(60, "Ann", more) | {"thread_ts": f"{START + 60}.0001", "reply_count": 1},
        _slack_message(40_000, "Shop", f"{reply} &lt;3 <https://example.com|our page> <!here>")
        | {"thread_ts": f"{START + 60}.0001", "subtype": "thread_broadcast"},
        _slack_message(40_060, "Shop", answer) | {"thread_ts": f"{START}.0001"},
    ]
    shown = f"{reply} <3 our page (https://example.com) @here"
    rows = [chat(ask, answer), chat(more, shown)]
    yield Case(TOPIC, "Slack's threads", _json(threads), rows, ROLES)
    bot = _slack_message(60, "Shop", answer)
    bot |= {"subtype": "bot_message", "bot_id": "B1", "username": "Shop"}
    bot = {
        key: value for key, value in bot.items() if not key.startswith("user_") and key != "user"
    }
    found = [_slack_message(0, "Ann", ask), bot]
    yield Case(TOPIC, "Slack's bot", _json(found), [chat(ask, answer)])


def _slack_message(at: int, who: str, text: str) -> Row:
    profile = {
        "avatar_hash": "g",
        "first_name": who,
        "real_name": who,
        "display_name": "",
        "name": who,
    }
    message = {"client_msg_id": str(at), "type": "message", "text": text, "user": f"U{who}"}
    message |= {"ts": f"{START + at}.0001", "team": "T1", "user_team": "T1", "source_team": "T1"}
    return message | {"user_profile": profile, "blocks": [{"type": "rich_text", "elements": []}]}


def _teams() -> Iterator[Case]:
    # Microsoft Graph: api-reference/v1.0/api/chat-list-messages.md, channel-list-messages.md and
    # resources/chatmessage.md of microsoftgraph/microsoft-graph-docs-contrib
    said, rows = _said()
    context = "https://graph.microsoft.com/v1.0/$metadata#chats('19%3A2da%40thread.v2')/messages"
    head = {"@odata.context": context, "@odata.count": 9}
    messages = [_teams_message(at, who, text) for who, text, at in said]
    renamed = _teams_message(100, None, "<systemEventMessage/>") | {
        "messageType": "unknownFutureValue"
    }
    gone = _teams_message(110, "Shop", "") | {"deletedDateTime": _iso(111)}
    listed = [gone, renamed, *messages][::-1]
    yield Case(TOPIC, "Teams", _json(head | {"value": listed}, 4), rows[::-1], ROLES)
    (ask, answer), (more, reply) = SHOP[:2]
    place = {"chatId": None, "channelIdentity": {"teamId": "t", "channelId": "c"}}
    posted = []
    for at, (one, two) in enumerate(((more, reply), (ask, answer))):
        below = _teams_message(90_000, None, f"<div>{two}</div>", bot="Shop") | place
        below |= {"id": f"r{at}", "replyToId": f"m{at}"}
        root = _teams_message(60, "Ann", one) | place | {"id": f"m{at}", "replies": [below]}
        posted.append(root)
    rows = [chat(more, reply), chat(ask, answer)]
    yield Case(TOPIC, "Teams' channel with replies", _json(head | {"value": posted}), rows)
    marked = [
        _teams_message(0, "Ann", '<p><at id="0">Shop</at>, 1 &lt; 2?</p>'),
        _teams_message(9, "Shop", '<p>Yes <emoji id="smile" alt="🙂" title="Smile"></emoji></p>'),
        _teams_message(20, "Ann", "a < b\nc")
        | {"body": {"contentType": "text", "content": "a < b\nc"}},
        _teams_message(
            30, "Shop", "<p>First.</p>\n<p>Second.<br>Third.</p><attachment id='1'></attachment>"
        ),
    ]
    rows = [chat("Shop, 1 < 2?", "Yes 🙂", "a < b\nc", "First.\n\nSecond.\nThird.")]
    yield Case(TOPIC, "Teams' HTML", _json(head | {"value": marked}), rows, ROLES)


def _teams_message(at: int, who: str | None, text: str, bot: str | None = None) -> Row:
    user = {"id": f"u-{who}", "displayName": who, "userIdentityType": "aadUser"} if who else None
    app = {"id": "b", "displayName": bot, "applicationIdentityType": "bot"} if bot else None
    sender = {"application": app, "device": None, "user": user} if who or bot else None
    message = {"id": str(at), "replyToId": None, "etag": str(at), "messageType": "message"}
    message |= {"createdDateTime": _iso(at), "lastEditedDateTime": None, "deletedDateTime": None}
    message |= {"subject": None, "chatId": "19:2da@thread.v2", "channelIdentity": None}
    body = {"contentType": "html", "content": text if text.startswith("<") else f"<p>{text}</p>"}
    return message | {"from": sender, "body": body, "attachments": [], "mentions": []}


def _whatsapp() -> Iterator[Case]:
    # WhatsApp: the forms of lines in tests/parser.test.ts and src/parser.ts of
    # Pustur/whatsapp-chat-parser 4.0.2
    said, rows = _said()
    note = "01/05/2026, 09:00 - Messages and calls are end-to-end encrypted.\n"
    android = _lines(said, "{day:02}/05/2026, {hour:02}:{minute:02} - {who}: {text}\n")
    yield Case(TOPIC, "WhatsApp on Android", (note + android).encode(), rows, ROLES)
    yield Case(TOPIC, "two people", android.encode(), None, {}, "no_assistant", "roles")
    forms = {
        "on iOS": "[{day}/5/26, 9:{minute:02}:00\u202fAM] {who}: {text}\n",
        "on iOS with marks": "\u200e[{day:02}.05.26, 09:{minute:02}:15] ~\u202f{who}: {text}\n",
        "with p. m.": "{day}/5/26 9:{minute:02} p.\xa0m. - {who}: {text}\n",
        "in Finnish": "{day}.5.2026 klo 9.{minute:02} - {who}: {text}\n",
        "in Hungarian": "{day}. 5. 2026. 09:{minute:02}: {who}: {text}\n",
        "in Chinese": "2026/5/{day} 下午9:{minute:02} - {who}: {text}\n",
        "in Korean": "2026. 5. {day}. 오후 9:{minute:02} - {who}: {text}\n",
        "with the year first": "[2026/05/{day:02}, 09:{minute:02}:15] {who}: {text}\n",
    }
    for name, form in forms.items():
        yield Case(TOPIC, f"WhatsApp {name}", _lines(said, form).encode(), rows, ROLES)
    log = "2026-05-01 10:00:00 - INFO: started\n2026-05-01 10:00:01 - WARNING: slow\n"
    text = [{"text": log.strip()}]
    yield Case(TOPIC, "a log", log.encode(), text, {"container": "text"})
    notes = [
        ("Shop", "\u200eMessages and calls are end-to-end encrypted.", 0),
        ("Ann", "<Media omitted>", 0),
        ("Ann", "\u200eimage omitted", 0),
        ("Ann", "This message was deleted", 0),
        ("Ann", "IMG-20210428-WA0001.jpg (file attached)", 0),
        ("Ann", f"2015-08-04-PHOTO-1.jpg (file attached)\n{said[0][1]}", 0),
        ("Shop", f"{said[1][1]}\nSee you! \u200e<This message was edited>", 60),
    ]
    form = "{day:02}/05/2026, {hour:02}:{minute:02} - {who}: {text}\n"
    noted = _lines(notes, form).replace("\n", "\r\n").encode()
    truth = [chat(said[0][1], f"{said[1][1]}\nSee you!")]
    yield Case(TOPIC, "WhatsApp's notes", noted, truth, ROLES)


def _lines(said: list[tuple[str, str, int]], form: str) -> str:
    return "".join(
        form.format(day=1 + at // 86_400, hour=9, minute=at // 60 % 60, who=who, text=text)
        for who, text, at in said
    )
