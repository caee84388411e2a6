"""Converts exports of other tools into rows: model APIs, annotation, support desks and chat apps.

Each `Export` recognizes the first value of a file. Known formats: Anthropic's Messages and OpenAI's
Responses API, the data export of claude.ai, SQuAD, Label Studio's JSON, Argilla's records,
Zendesk's and Intercom's REST APIs, Slack's and Telegram's exports, DiscordChatExporter, and chat
messages of Microsoft Graph.

Messages of a chat app become a conversation until nobody writes for six hours. Who is the assistant
is known only of bots. Otherwise, `roles` of the format options names who is, and all others are
users.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from service.datasets.checks.issues import refuse
from service.datasets.formats.options import Record
from service.datasets.rows.lines import read_lines

Row = dict[str, Any]

_GAP_S: Final = 6 * 3600  # of silence, after which a new conversation begins
_HEAD_BYTES: Final = 64 * 1024
_TAG: Final = re.compile(r"<br\s*/?>|</p>|<[^>]{0,500}>")


class Post(NamedTuple):
    """A message in a chat app: who wrote it, when in seconds, and whether a program did."""

    author: str
    text: str
    at: float | None = None
    is_bot: bool = False
    thread: str | None = None


class Export(NamedTuple):
    """The export of a tool: whether a value is one, and the rows in it."""

    matches: Callable[[Row], bool]
    rows: Callable[[Row, Mapping[str, str]], Iterable[Row]]


def find_export(value: Any) -> Export | None:
    """Return the export of which a file's first value is a part, or None."""
    if not isinstance(value, dict):
        return None
    return next((export for export in _EXPORTS if export.matches(value)), None)


def conversations_of(posts: Iterable[Post], roles: Mapping[str, str]) -> Iterator[Row]:
    """Yield the conversations in the messages of a chat app.

    Raises DatasetError if it is unknown who is the assistant.
    """
    posts = [post for post in posts if post.text.strip()]
    named = {author for author, role in roles.items() if role == "assistant"}
    if not named and not any(post.is_bot for post in posts):
        raise refuse("no_assistant", count=len({post.author for post in posts}))
    threads: dict[str | None, list[Post]] = {}
    for post in posts:
        threads.setdefault(post.thread, []).append(post)
    for thread in threads.values():
        for talk in _at_silences(thread):
            turns: list[Row] = []
            for post in talk:
                is_assistant = post.author in named if named else post.is_bot
                speaker = "gpt" if is_assistant else "human"
                if turns and turns[-1]["from"] == speaker:
                    turns[-1]["value"] += "\n" + post.text
                else:
                    turns.append({"from": speaker, "value": post.text})
            while turns and turns[-1]["from"] == "human":
                turns.pop()
            if len(turns) > 1:
                yield {"conversations": turns}


def _at_silences(posts: list[Post]) -> Iterator[list[Post]]:
    talk: list[Post] = []
    for post in posts:
        last = talk[-1].at if talk else None
        if last is not None and post.at is not None and post.at - last > _GAP_S:
            yield talk
            talk = []
        talk.append(post)
    yield talk


def _seconds(written: Any) -> float | None:
    """Return a time as a number of seconds, from ISO 8601 or a number."""
    try:
        return datetime.fromisoformat(written).timestamp()
    except (TypeError, ValueError):
        pass
    try:
        return float(written)
    except (TypeError, ValueError):
        return None


def _plain(text: Any) -> str:
    """Return the text of HTML."""
    written = str(text or "")
    breaks = _TAG.sub(lambda tag: "" if tag.group()[1] not in "bB/" else "\n", written)
    return html.unescape(breaks).strip()


def _objects(value: Any) -> list[Row]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _of(value: Any, *path: str) -> Any:
    """Return the value at a path of keys, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


# Model APIs


def _joined(blocks: Any, *types: str) -> str:
    if isinstance(blocks, str):
        return blocks
    texts = [block.get("text") for block in _objects(blocks) if block.get("type") in types]
    return "\n".join(text for text in texts if isinstance(text, str))


def _claude_chat(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    turns = [
        {
            "from": message.get("sender"),
            "value": _joined(message.get("content"), "text") or message.get("text") or "",
        }
        for message in _objects(value["chat_messages"])
    ]
    yield {"conversations": turns}


_BLOCKS: Final = frozenset(("tool_use", "tool_result", "thinking", "redacted_thinking"))


def _is_anthropic(value: Row) -> bool:
    blocks = [
        block
        for message in _objects(value.get("messages"))
        for block in _objects(message.get("content"))
    ]
    tools = _objects(value.get("tools"))
    return any(block.get("type") in _BLOCKS for block in blocks) or any(
        "input_schema" in tool for tool in tools
    )


def _anthropic(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    messages: list[Row] = []
    if system := _joined(value.get("system"), "text"):
        messages.append({"role": "system", "content": system})
    for message in _objects(value["messages"]):
        content = message.get("content")
        for block in _objects(content):
            if block.get("type") == "tool_result":
                answer = _joined(block.get("content"), "text")
                call = block.get("tool_use_id")
                messages.append({"role": "tool", "tool_call_id": call, "content": answer})
        turn: Row = {"role": message.get("role"), "content": _joined(content, "text")}
        calls = [
            _call(block.get("id"), block.get("name"), block.get("input"))
            for block in _objects(content)
            if block.get("type") == "tool_use"
        ]
        if calls:
            turn["tool_calls"] = calls
        if calls or turn["content"] or isinstance(content, str):
            messages.append(turn)
    yield _with_tools(messages, value.get("tools"), "input_schema")


def _call(call_id: Any, name: Any, arguments: Any) -> Row:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": written},
    }


def _with_tools(messages: list[Row], tools: Any, schema: str) -> Row:
    declared = [
        {
            "type": "function",
            "function": {
                "name": tool.get("name"),
                "description": tool.get("description") or "",
                "parameters": tool.get(schema) or {"type": "object", "properties": {}},
            },
        }
        for tool in _objects(tools)
    ]
    return {"messages": messages, **({"tools": declared} if declared else {})}


def _is_responses(value: Row) -> bool:
    items = [*_objects(value.get("input")), *_objects(value.get("output"))]
    items += _objects(value.get("items"))
    kinds = {item.get("type") for item in items}
    texts = {block.get("type") for item in items for block in _objects(item.get("content"))}
    return bool(kinds & {"function_call", "function_call_output", "reasoning"}) or bool(
        texts & {"input_text", "output_text"}
    )


def _responses(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    messages: list[Row] = []
    if isinstance(value.get("instructions"), str):
        messages.append({"role": "system", "content": value["instructions"]})
    asked = value.get("input")
    if isinstance(asked, str):
        messages.append({"role": "user", "content": asked})
    for item in [*_objects(asked), *_objects(value.get("items")), *_objects(value.get("output"))]:
        match item.get("type", "message"):
            case "message":
                text = _joined(item.get("content"), "input_text", "output_text", "text")
                messages.append({"role": item.get("role"), "content": text})
            case "function_call":
                call = _call(item.get("call_id"), item.get("name"), item.get("arguments"))
                if messages and messages[-1].get("tool_calls"):
                    messages[-1]["tool_calls"].append(call)
                else:
                    messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            case "function_call_output":
                answer = _joined(item.get("output"), "input_text", "output_text")
                messages.append(
                    {"role": "tool", "tool_call_id": item.get("call_id"), "content": answer}
                )
    yield _with_tools(messages, value.get("tools"), "parameters")


def _pairs(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    turns: list[Row] = []
    for pair in _objects(value["conversation"]):
        turns.append({"from": "human", "value": pair.get("input")})
        turns.append({"from": "gpt", "value": pair.get("output")})
    yield {"conversations": turns, "system": _objects(value["conversation"])[0].get("system")}


# Questions and annotations


def _squad(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    for paragraph in _objects(value.get("paragraphs")) or [value]:
        for asked in _objects(paragraph.get("qas")) or [paragraph]:
            answers = asked.get("answers")
            texts = answers.get("text") if isinstance(answers, dict) else None
            if not isinstance(texts, list):
                texts = [answer.get("text") for answer in _objects(answers)]
            yield {
                "context": paragraph.get("context"),
                "prompt": asked.get("question"),
                "completion": next((text for text in texts if isinstance(text, str)), ""),
            }


def _is_squad(value: Row) -> bool:
    if _objects(value.get("paragraphs")) or ("context" in value and _objects(value.get("qas"))):
        return True
    answers = value.get("answers")
    flat = isinstance(answers, dict) and isinstance(answers.get("text"), list)
    return flat and isinstance(value.get("question"), str)


_PROMPTS: Final = ("prompt", "question", "instruction", "text", "input", "query")


def _main_text(fields: Any) -> str:
    """Return the field that was shown to the annotator."""
    if not isinstance(fields, dict):
        return ""
    texts = {name: text for name, text in fields.items() if isinstance(text, str)}
    return next((texts[name] for name in _PROMPTS if name in texts), "".join(texts.values()))


def _label_studio(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    for annotation in _objects(value["annotations"]):
        if annotation.get("was_cancelled"):
            continue
        for result in _objects(annotation.get("result")):
            given = result.get("value")
            found = _of(given, "text") or _of(given, "choices")
            if isinstance(found, list) and all(isinstance(one, str) for one in found):
                yield {"prompt": _main_text(value["data"]), "completion": "\n".join(found)}


def _argilla(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    for answers in value["responses"].values():
        given = [
            one["value"]
            for one in _objects(answers)
            if one.get("status", "submitted") == "submitted" and isinstance(one.get("value"), str)
        ]
        if given:
            yield {"prompt": _main_text(value["fields"]), "completion": given[0]}
            return


# Support desks


def _zendesk(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    customer = value.get("requester_id")
    posts = [
        Post(
            str(comment.get("author_id")),
            str(comment.get("plain_body") or _plain(comment.get("body"))),
            is_bot=comment.get("author_id") != customer,
        )
        for comment in _objects(value["comments"])
        if comment.get("public", True)
    ]
    yield from conversations_of(posts, {}) if any(post.is_bot for post in posts) else ()


def _intercom(value: Row, _roles: Mapping[str, str]) -> Iterator[Row]:
    parts = _of(value, "conversation_parts", "conversation_parts")
    said = [value["source"], *(p for p in _objects(parts) if p.get("part_type") == "comment")]
    posts = [
        Post(
            str(_of(part, "author", "id")),
            _plain(part.get("body")),
            is_bot=_of(part, "author", "type") in ("admin", "bot", "team"),
        )
        for part in said
    ]
    yield from conversations_of(posts, {}) if any(post.is_bot for post in posts) else ()


# Chat apps


def _telegram(value: Row, roles: Mapping[str, str]) -> Iterator[Row]:
    def text(written: Any) -> str:
        parts = written if isinstance(written, list) else [written]
        return "".join(
            str(part.get("text", "") if isinstance(part, dict) else part) for part in parts
        )

    yield from conversations_of(
        (
            Post(
                str(one.get("from")),
                text(one.get("text", "")),
                _seconds(one.get("date_unixtime") or one.get("date")),
            )
            for one in _objects(value["messages"])
            if one.get("type") == "message"
        ),
        roles,
    )


def _discord(value: Row, roles: Mapping[str, str]) -> Iterator[Row]:
    yield from conversations_of(
        (
            Post(
                str(_of(one, "author", "name")),
                str(one.get("content") or ""),
                _seconds(one.get("timestamp")),
                is_bot=bool(_of(one, "author", "isBot")),
            )
            for one in _objects(value["messages"])
        ),
        roles,
    )


def is_slack_message(value: Row) -> bool:
    """Return whether a value is a message of a Slack channel."""
    return "ts" in value and "text" in value and bool({"user", "bot_id"} & value.keys())


def slack_posts(messages: Iterable[Row]) -> Iterator[Post]:
    """Yield the messages of a day of a Slack channel."""
    for one in messages:
        if one.get("type", "message") == "message" and one.get("subtype") in (None, "bot_message"):
            yield Post(
                str(
                    _of(one, "user_profile", "real_name") or one.get("user") or one.get("username")
                ),
                str(one.get("text") or ""),
                _seconds(one.get("ts")),
                is_bot="bot_id" in one,
                thread=one.get("thread_ts"),
            )


def _teams(value: Row, roles: Mapping[str, str]) -> Iterator[Row]:
    yield from conversations_of(
        (
            Post(
                str(
                    _of(one, "from", "user", "displayName") or _of(one, "from", "application", "id")
                ),
                _plain(_of(one, "body", "content")),
                _seconds(one.get("createdDateTime")),
                is_bot=_of(one, "from", "application") is not None,
                thread=one.get("replyToId") or one.get("id"),
            )
            for one in reversed(_objects(value["value"]))  # the API gives the newest first
            if one.get("messageType", "message") == "message"
        ),
        roles,
    )


def _messages_with(value: Row, *names: str) -> bool:
    first = _objects(value.get("messages"))[:1]
    return bool(first) and all(name in first[0] for name in names)


_EXPORTS: Final = (
    Export(lambda v: bool(_objects(v.get("chat_messages"))), _claude_chat),
    Export(_is_anthropic, _anthropic),
    Export(_is_responses, _responses),
    Export(
        lambda v: any({"input", "output"} <= one.keys() for one in _objects(v.get("conversation"))),
        _pairs,
    ),
    Export(_is_squad, _squad),
    Export(
        lambda v: isinstance(v.get("annotations"), list) and isinstance(v.get("data"), dict),
        _label_studio,
    ),
    Export(
        lambda v: isinstance(v.get("fields"), dict) and isinstance(v.get("responses"), dict),
        _argilla,
    ),
    Export(lambda v: "requester_id" in v and isinstance(v.get("comments"), list), _zendesk),
    Export(lambda v: "conversation_parts" in v and isinstance(v.get("source"), dict), _intercom),
    Export(lambda v: _messages_with(v, "from_id", "date"), _telegram),
    Export(lambda v: _messages_with(v, "author", "timestamp", "content"), _discord),
    Export(
        lambda v: any("messageType" in one and "body" in one for one in _objects(v.get("value"))),
        _teams,
    ),
)

# "12/05/2026, 09:12 - Ann: Hello" on Android, "[12/05/2026, 09:12:33] Ann: Hello" on iOS
_WHATSAPP: Final = re.compile(
    r"^\u200e?\[?(\d{1,4}[./-]\d{1,2}[./-]\d{2,4}),? (\d{1,2})[:.](\d{2})(?:[:.]\d{2})?"
    r"(?:[\s\u202f]?([AaPp])\.?[Mm]\.?)?(?:\]| -) ?(.*)$"
)


def is_whatsapp(path: Path) -> bool:
    """Return whether a text is a chat that WhatsApp exported."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    return sum(_WHATSAPP.match(line) is not None for line in head.split("\n")[:5]) >= 2


def read_whatsapp(path: Path, roles: Mapping[str, str]) -> Iterator[Record]:
    """Yield the conversations of a chat that WhatsApp exported."""
    lines = (line.decode("utf-8", "replace") for _, line in read_lines(path) if line is not None)
    for row in conversations_of(_whatsapp_posts(lines), roles):
        yield Record(1, row)


def _whatsapp_posts(lines: Iterable[str]) -> Iterator[Post]:
    post: Post | None = None
    for line in map(str.rstrip, lines):
        found = _WHATSAPP.match(line)
        if found is None:
            if post is not None:
                post = post._replace(text=f"{post.text}\n{line}")
            continue
        if post is not None:
            yield post
        author, colon, text = found.group(5).partition(": ")
        hour = int(found.group(2))
        if found.group(4):
            hour = hour % 12 + 12 * (found.group(4) in "Pp")
        at = hour * 3600.0 + int(found.group(3)) * 60
        # Lines without an author are notes of the app. The order of day and month is unknown, so
        # each date begins a conversation.
        name = author.strip("\u200e ")
        post = Post(name, text, at, thread=found.group(1)) if colon else None
    if post is not None:
        yield post
