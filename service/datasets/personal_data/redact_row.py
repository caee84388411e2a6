"""Redaction of personal data in every string of a canonical row, not only in its messages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from service.datasets.personal_data.detect import may_hold_personal_data
from service.datasets.personal_data.redact import Redactor
from service.datasets.rows.conversation import Conversation, take_apart
from service.datasets.text.languages import UNKNOWN, detect

Row = dict[str, Any]
Change = Callable[[str], str]


def learn_row(redactor: Redactor, row: Row) -> None:
    """Pass each text of a row to the redactor, with the languages of the conversation."""
    learn_talk(redactor, take_apart(row), _packed_texts(row))


def learn_talk(redactor: Redactor, talk: Conversation, more: Iterable[str] = ()) -> None:
    """Pass each text of a conversation, and `more`, to the redactor, with the languages."""
    turn_texts = [turn.text for turn in talk.every_turn]
    pairs = [*zip(["", *turn_texts], turn_texts, strict=False)]
    pairs += (("", text) for text in more)
    # Language detection is the slowest step here, so skip it if no text needs it.
    pairs = [pair for pair in pairs if redactor.custom or may_hold_personal_data(pair[1])]
    languages = languages_of(talk) if pairs else []
    for before, text in pairs:
        redactor.learn(text, *languages, before=before)


def languages_of(talk: Conversation) -> list[str]:
    """Return the languages of the last answer and of the questions, if detected."""
    last = talk.last_answer
    answer = talk.turns[last].text if last < len(talk.turns) else ""
    question = "\n".join(turn.text for turn in talk.turns if turn.role == "user")
    codes = dict.fromkeys((detect(answer).code, detect(question).code))
    return [code for code in codes if code != UNKNOWN]


def mask_turns(redactor: Redactor, talk: Conversation) -> Conversation:
    """Return a conversation with labels in its turns and the rejected ones."""
    counts = Counter[str]()
    redactor.begin_row([turn.text for turn in talk.every_turn])
    turns, rejected = (
        [turn._replace(text=redactor.redact(turn.text, counts)) for turn in part]
        for part in (talk.turns, talk.rejected)
    )
    return talk._replace(turns=turns, rejected=rejected)


def redact_row(redactor: Redactor, row: Row, counts: Counter[str]) -> Row:
    """Return the row with labels, and add the replacements by kind to `counts`."""
    turns = take_apart(row).every_turn
    redactor.begin_row([*(turn.text for turn in turns), *_packed_texts(row)])
    redaction = _RowRedaction(redactor, counts)
    if "text" in row:
        return row | {"text": redaction.content(row["text"])}
    if "messages" in row:
        return redaction.context(row) | {"messages": redaction.messages(row["messages"])}
    given = row["input"]
    return row | {
        "input": redaction.context(given) | {"messages": redaction.messages(given["messages"])},
        "preferred_output": redaction.messages(row["preferred_output"]),
        "non_preferred_output": redaction.messages(row["non_preferred_output"]),
    }


class _RowRedaction:
    """Redaction of one row. Tool call IDs stay distinct, and still match their answers."""

    def __init__(self, redactor: Redactor, counts: Counter[str]) -> None:
        self._redactor = redactor
        self._counts = counts
        self._ids: dict[str, str] = {}
        self._used_ids: set[str] = set()

    def context(self, owner: Row) -> Row:
        """Redact what a chat row or a preference row's input has besides messages."""
        new = dict(owner)
        if owner.get("tools"):
            new["tools"] = [self._tool(tool) for tool in owner["tools"]]
        if owner.get("item"):
            new["item"] = self._json(owner["item"])
        return new

    def messages(self, messages: list[Row]) -> list[Row]:
        """Redact all strings of messages except their roles."""
        return [self._message(message) for message in messages]

    def _message(self, message: Row) -> Row:
        new = dict(message)
        if message.get("content"):
            new["content"] = self.content(message["content"])
        if message.get("name"):
            new["name"] = self._name(message["name"])
        if message.get("tool_calls"):
            new["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
        if message.get("tool_call_id"):
            new["tool_call_id"] = self._id(message["tool_call_id"])
        return new

    def content(self, text: str) -> str:
        """Redact a text, or the values inside if the text is JSON with escaped characters."""
        packed = _unpacked(text)
        if packed is not None:
            changed = self._json(packed)
            if changed != packed:
                return json.dumps(changed)
        return self._text(text)

    def _call(self, call: Row) -> Row:
        """Redact the values inside the arguments, so that they remain valid JSON."""
        function = call["function"]
        written = function["arguments"]
        value = json.loads(written)
        changed = self._json(value)
        if changed != value:
            written = dumped(changed)
        result = {"name": self._name(function["name"]), "arguments": written}
        return call | {"id": self._id(call["id"]), "function": function | result}

    def _tool(self, tool: Row) -> Row:
        function = tool["function"]
        result = self._json(function) | {"name": self._name(function["name"])}
        return tool | {"function": result}

    def _id(self, call_id: str) -> str:
        if call_id not in self._ids:
            new = base = self._name(call_id)
            number = 1
            while new in self._used_ids:
                number += 1
                new = f"{base}_{number}"
            self._ids[call_id] = new
            self._used_ids.add(new)
        return self._ids[call_id]

    def _text(self, text: str) -> str:
        return self._redactor.redact(text, self._counts)

    def _name(self, text: str) -> str:
        return self._redactor.redact_name(text, self._counts)

    def _json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            # A telephone number may be a JSON number. Its label is a string.
            written = _written(value)
            new = self._text(written)
            return value if new == written else new
        if isinstance(value, list):
            return [self._json(item) for item in value]
        return self._object(value) if isinstance(value, dict) else value

    def _object(self, value: Row) -> Row:
        result: Row = {}
        for key, item in value.items():
            new = base = self._text(key)
            number = 1
            while new in result:
                number += 1
                new = f"{base}_{number}"
            result[new] = self._json(item)
        return result


def _packed_texts(row: Row) -> Iterator[str]:
    """Yield JSON that is embedded in strings, decoded without its escapes."""
    if "text" in row:
        return
    parts = ("preferred_output", "non_preferred_output")
    owner = row if "messages" in row else row["input"]
    yield from _strings(row.get("item"))
    for message in (*owner["messages"], *(m for part in parts for m in row.get(part, ()))):
        for call in message.get("tool_calls") or ():
            value = json.loads(call["function"]["arguments"])
            yield json.dumps(value, ensure_ascii=False)
            yield from _strings(value)
        if (packed := _unpacked(message.get("content") or "")) is not None:
            yield json.dumps(packed, ensure_ascii=False)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float):
        yield _written(value)


def _written(value: float) -> str:
    """Format a number, without a fraction if it is a whole number."""
    return str(int(value)) if value == value // 1 else str(value)


def _unpacked(text: str) -> Any:
    """Return the value of a JSON text with escaped characters, or None if it is not one."""
    if "\\u" not in text or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def dumped(value: Any) -> str:
    """Serialize a value as JSON without escaping non-ASCII characters, if possible."""
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json.dumps(value)  # a lone surrogate must remain an escape
    return written
