"""Converts turns as other tools write them: field names, roles, content blocks, transcripts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from service.chat_content import join_texts
from service.datasets.checks.messages import TURN_MARKER

SPEAKERS = {
    "human": "user", "user": "user", "prompter": "user", "customer": "user",
    "gpt": "assistant", "assistant": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "model": "assistant", "bing": "assistant", "bard": "assistant", "chatbot": "assistant",
    "ai": "assistant", "gemini": "assistant", "api": "assistant",
    "client": "user", "visitor": "user", "requester": "user", "end-user": "user",
    "contact": "user", "consumer": "user", "lead": "user", "guest": "user", "caller": "user",
    "inbound": "user", "incoming": "user", "outbound": "assistant", "outgoing": "assistant",
    "agent": "assistant", "support": "assistant", "staff": "assistant", "operator": "assistant",
    "manager": "assistant", "claude": "assistant", "copilot": "assistant",
    "admin": "assistant", "representative": "assistant", "employee": "assistant",
    "用户": "user", "客户": "user", "顾客": "user", "客服": "assistant", "助手": "assistant",
    "ユーザー": "user", "お客様": "user", "オペレーター": "assistant", "アシスタント": "assistant",
    "사용자": "user", "고객": "user", "상담원": "assistant", "상담사": "assistant",
    "kunde": "user", "kundin": "user", "berater": "assistant", "usuario": "user",
    "cliente": "user", "agente": "assistant", "asistente": "assistant", "utilisateur": "user",
    "клиент": "user", "пользователь": "user", "оператор": "assistant", "ассистент": "assistant",
    "ลูกค้า": "user", "ผู้ใช้": "user", "แอดมิน": "assistant", "เจ้าหน้าที่": "assistant",
    "system": "system", "developer": "developer",
    "tool": "tool", "function": "function", "observation": "tool", "function_call": "function_call",
}  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")
_FILLERS = frozenset(
    (
        *("message", "msg", "reply", "response", "utterance", "input", "turn"),
        *("live", "virtual", "automated", "human", "end", "service"),
    )
)
_STAFF = frozenset(["agent", "bot", "assistant", "support", "staff", "representative", "service"])
_ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
_ROLE_FIELDS = ("role", "from", "speaker", "author")
_TEXT_FIELDS = ("content", "value", "text", "parts")
_DEEPSEEK = re.compile(r"<｜(User|Assistant)｜>")  # the system message is before the first marker
# Markers of turns within one text: hh-rlhf, Guanaco, and the templates of models: ChatML and Phi 4,
# Llama 3 and 4, Granite, Kimi, Harmony (gpt-oss), Gemma, Gemma 4, Cohere, DeepSeek, Zephyr, Phi 3
# and GLM, Mistral and Llama 2, Vicuna, and questions with answers.
_TRANSCRIPTS = (
    re.compile(r"(?:\A|\n\n)(Human|Assistant): ?"),
    re.compile(r"### (Human|Assistant): ?"),
    re.compile(r"(?:\A|\n)### (Human|User|Assistant|Instruction|Response): ?\n?"),
    re.compile(r"<\|im_start\|>(system|user|assistant)(?:\n|<\|im_sep\|>)"),
    re.compile(r"<\|start_header_id\|>(system|user|assistant)<\|end_header_id\|>\n*"),
    re.compile(r"<\|header_start\|>(system|user|assistant)<\|header_end\|>\n*"),
    re.compile(r"<\|start_of_role\|>(system|user|assistant)<\|end_of_role\|>"),
    re.compile(r"<\|im_(?:system|user|assistant)\|>(system|user|assistant)<\|im_middle\|>"),
    re.compile(r"<\|start\|>(system|developer|user|assistant)(?:<\|channel\|>(\w+))?<\|message\|>"),
    re.compile(r"<start_of_turn>(user|model)\n"),
    re.compile(r"<\|turn>(system|user|model)\n"),
    re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>"),
    _DEEPSEEK,
    re.compile(r"<\|(system|user|assistant)\|>\n?"),
    re.compile(r"\[(SYSTEM_PROMPT|/?INST)\] ?"),
    re.compile(r"(?:\A|\s|</s>)(USER|ASSISTANT): ?"),
    re.compile(r"(?:\A|\n)(Q|A|Question|Answer): ?"),
    re.compile(r"(?:\A|\n)<(human|bot)>: ?"),
)
# Names alone: a prompt can have them without being a conversation.
_NAMES = (re.compile(r"(?:\A|\n)(Human|User|Assistant|AI|Bot): ?"),)
_ENDINGS = re.compile(
    r"(?:<\|(?:im_end|eot|eot_id|end|endoftext|end_of_text|return|END_OF_TURN_TOKEN)\|>"
    r"|<end_of_turn>|<turn\|>|<｜end▁of▁sentence｜>|<eos>|</s>|<s>|\[/SYSTEM_PROMPT\]|\s)*\Z"
)
_BEGINNING = re.compile(
    r"(?:<\|begin_of_text\|>|<bos>|<s>|\[gMASK\]<sop>|<BOS_TOKEN>|<｜begin▁of▁sentence｜>"
    r"|Below is an instruction that describes a task[^#]{0,200}"
    r"|A chat between a curious (?:user|human) and an artificial intelligence assistant\.[^\n]*?"
    r"questions\.)"
)
# What templates add to turns by themselves: no reasoning, the dates of Llama 3.1, and Harmony's
# system message and heading.
_ADDED = re.compile(
    r"\A(?:<think>\s*</think>|Cutting Knowledge Date: [^\n]*\nToday Date: [^\n]*\n"
    r"|You are ChatGPT\b[\s\S]*\Z|# Instructions\n)\s*"
)
_INPUT = "\n\n### Input:\n"  # of Alpaca's template
_SPECIAL = re.compile(
    r"<\|(?:im_start|start_header_id|header_start|start_of_role|start|turn|START_OF_TURN_TOKEN)\b"
    r"|<start_of_turn>"
)
_SYSTEM = re.compile(r"<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)
_NEXT_TURN = re.compile(r"(?:\n\nHuman:|\n### (?:Human|User|Instruction):?|<\|im_end\|>)\s*\Z")
_MARKED = {
    "instruction": "user", "response": "assistant", "inst": "user", "/inst": "assistant",
    "system_prompt": "system", "developer": "system",
    "q": "user", "a": "assistant", "question": "user", "answer": "assistant",
}  # fmt: skip

_PYTHON = re.compile(r"\s*(?:\[\s*)?\{\s*'")

_LONGEST_QUESTION = 400
_ASKS = re.compile(
    r".*(?:[?？؟]|か。|吗|呢|(?:ไหม|มั้ย|อะไร|อย่างไร|ยังไง|เท่าไ\w+|ที่ไหน|เมื่อไ\w+|หรือไม่|หรือเปล่า"
    r"|บ้าง|ใคร|กี่\w{1,8})(?:ครับ|คะ|ค่ะ)?)[*_\s\"”)]*"
)

Row = dict[str, Any]


def is_question(line: str) -> bool:
    """Return whether a line is a question, by its end."""
    return len(line) <= _LONGEST_QUESTION and _ASKS.fullmatch(line) is not None


def parse_json_text(value: Any, marks: tuple[str, ...] = ("[", "{")) -> Any:
    """Parse a value that is stored as JSON text, as in text-only containers, if it can be.

    A program of Python may have written it, with single quotes.
    """
    if isinstance(value, str) and value.lstrip().startswith(marks):
        for parse in (json.loads, ast.literal_eval) if _PYTHON.match(value) else (json.loads,):
            try:
                return parse(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return value


def role_of(turn: Mapping[str, Any]) -> Any:
    """Return the role of a turn, from any of the usual fields."""
    return next((turn[name] for name in _ROLE_FIELDS if turn.get(name) is not None), None)


def content_of(turn: Mapping[str, Any]) -> Any:
    """Return the content of a turn, from any of the usual fields."""
    found = next((turn[name] for name in _TEXT_FIELDS if turn.get(name) is not None), None)
    return join_text_blocks(found)


def join_text_blocks(content: Any) -> Any:
    """Join blocks that contain only text, as Gemini and Bedrock write them. Keep other content."""
    if isinstance(content, dict) and "parts" in content:
        content = content["parts"]
    if isinstance(content, list) and content:
        texts = [block.get("text") for block in content if isinstance(block, dict)]
        only = all(isinstance(block, dict) and block.keys() <= {"text"} for block in content)
        if only and all(isinstance(text, str) for text in texts):
            return join_texts(map(str, texts))
    return content


def text_parts(content: Any) -> list[Row] | None:
    """Return the content parts of text blocks as Anthropic and OpenAI write them, or None."""
    if not isinstance(content, list):
        return None
    texts = [
        block.get("text")
        for block in content
        if isinstance(block, dict) and block.get("type", "text") == "text"
    ]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        return None
    return [{"type": "text", "text": text} for text in texts if str(text).strip()]


def as_message(turn: Any, roles: Mapping[str, str]) -> Any:
    """Return a turn as an OpenAI message. Anything else is returned unchanged, for the checks."""
    if not isinstance(turn, dict):
        return turn
    speaker = role_of(turn)
    role = standard_role(speaker, roles) if isinstance(speaker, str) else None
    message = turn if role is None else {**turn, "role": role}
    if "content" not in turn and "tool_calls" not in turn and content_of(turn) is not None:
        message = {key: value for key, value in message.items() if key not in _TEXT_FIELDS}
        message["content"] = content_of(turn)
    elif isinstance(turn.get("content"), list):
        message = {**message, "content": join_text_blocks(turn["content"])}
    if "role" in message:
        message = {k: v for k, v in message.items() if k == "role" or k not in _ROLE_FIELDS}
    return message


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name, such as `createdAt`, in lower case."""
    return tuple(word.casefold() for word in _WORD.findall(name))


@lru_cache(maxsize=4096)
def role_named(value: str) -> str | None:
    """Return the role that a word names, such as “Agent”, “HumanMessage” or “outbound-api”."""
    if (role := SPEAKERS.get(value.strip().casefold())) is not None:
        return role
    words = words_of(value)
    roles = {SPEAKERS.get(word) for word in set(words) - _FILLERS}
    if None not in roles and words and words[-1] in _STAFF:  # such as “customer support”
        return "assistant"
    return roles.pop() if len(roles) == 1 else None


def standard_role(speaker: str, roles: Mapping[str, str]) -> str | None:
    """Return the role of a speaker, or None if it is unknown."""
    if speaker in roles:
        return roles[speaker]
    return speaker if speaker in _ROLES else role_named(speaker)


def has_openai_messages(row: Any) -> bool:
    """Return whether the messages of a row need no conversion to OpenAI's form."""
    messages = row.get("messages") if isinstance(row, dict) else None
    if isinstance(messages, str):
        return False
    if not isinstance(messages, list):
        return True
    return all(not isinstance(turn, dict) or as_message(turn, {}) == turn for turn in messages)


def are_turns(value: Any) -> bool:
    """Return whether a value is a list of turns."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and role_of(turn) is not None for turn in value)
    )


def are_plain(turns: Any) -> bool:
    """Return whether a list has turns with usual fields, or texts: it needs no other reader."""
    if isinstance(turns, list) and all(isinstance(turn, str) for turn in turns):
        return True
    if not are_turns(turns) or any("parts" in one and not _has_text(one) for one in turns):
        return False
    return any(content_of(one) is not None or "tool_calls" in one for one in turns)


def _has_text(turn: Mapping[str, Any]) -> bool:
    return isinstance(content_of(turn), str)


def parse_transcript(text: Any) -> list[Row] | None:
    """Return the turns of a text with markers between turns, or None."""
    found = [turns for before, turns in _split_at_markers(text, _NAMES) if not before]
    if any(_SPECIAL.search(turn["content"]) for turns in found for turn in turns):
        return None  # a turn of another role
    whole = (turns for turns in found if {"user", "assistant"} <= {one["role"] for one in turns})
    alone = (turns for turns in found if len(turns) == 1)
    return next(whole, None) or next(alone, None)


_SAID = re.compile(r"^(?:[\[(][\d:.]+[\])] ?)?([^\n:]{1,30}?) ?: +", re.MULTILINE)


def parse_roles(text: Any) -> list[Row] | None:
    """Return the turns of a text whose lines begin with roles such as “Customer:”, or None."""
    found = list(_SAID.finditer(text)) if isinstance(text, str) else []
    roles = [role_named(one.group(1)) for one in found]
    if {"user", "assistant"} != set(roles) or text[: found[0].start()].strip():
        return None
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [
        {"role": role, "content": text[one.end() : end].strip()}
        for role, one, end in zip(roles, found, ends, strict=True)
    ]


def parse_prompt(text: Any) -> list[Row] | None:
    """Return the turns of a prompt with markers between turns, or None.

    The prompt must end with a user turn, or with the marker of the answer. Text before the first
    turn becomes a system message. A prompt with markers of two kinds is not split.
    """
    for before, turns in _split_at_markers(text):
        is_open = turns[-1] == {"role": "assistant", "content": ""}
        asked = turns[:-1] if is_open else turns
        if not asked or asked[-1]["role"] != "user" or (before and not is_open):
            continue
        if not any(TURN_MARKER.search(turn["content"]) for turn in asked):
            return [{"role": "system", "content": before}, *asked] if before else asked
    return None


def strip_next_turn(text: str) -> str:
    """Return an answer without the marker of a next turn at its end."""
    return _ENDINGS.sub("", _NEXT_TURN.sub("", text)).strip()


def _split_at_markers(
    text: Any, more: tuple[re.Pattern[str], ...] = ()
) -> Iterator[tuple[str, list[Row]]]:
    """Yield the text before the first marker, and the turns, for each kind of marker in a text."""
    if not isinstance(text, str):
        return
    for markers in (*_TRANSCRIPTS, *more):
        found = list(markers.finditer(text))
        if not found:
            continue
        ends = [mark.start() for mark in found[1:]] + [len(text)]
        turns = []
        for mark, end in zip(found, ends, strict=True):
            name = mark.group(1).casefold()
            content = _ENDINGS.sub("", text[mark.end() : end]).strip()
            content = _ADDED.sub("", f"{content}\n").strip()
            role = _MARKED.get(name) or SPEAKERS[name]
            channel = mark.group(2) if markers.groups > 1 else None
            if channel not in (None, "final"):
                continue  # reasoning
            if role != "system" or content:
                turns.append({"role": role, "content": content.replace(_INPUT, "\n\n")})
        if not turns:
            continue
        if system := _SYSTEM.match(turns[0]["content"]):
            turns[0]["content"] = turns[0]["content"][system.end() :]
            turns.insert(0, {"role": "system", "content": system.group(1).strip()})
        before = _BEGINNING.sub("", text[: found[0].start()]).strip()
        if before and markers is _DEEPSEEK:
            turns.insert(0, {"role": "system", "content": before})
            before = ""
        yield before, turns
