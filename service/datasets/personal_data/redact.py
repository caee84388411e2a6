"""Replaces personal data with labels, one per kind or one per value."""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from service.datasets.personal_data.characters import decode_hidden, readings
from service.datasets.personal_data.detect import Found, find_all, may_hold_personal_data
from service.datasets.personal_data.kinds import CustomKinds, RedactMode
from service.datasets.personal_data.known_values import KnownFound, KnownValues, Value, keep_longest
from service.datasets.personal_data.marks import Mark, escape
from service.datasets.personal_data.names.parts import NamePart, NameParts, is_part
from service.datasets.rows.conversation import Conversation, split_row
from service.datasets.text.languages import UNKNOWN, detect

_ROUNDS = 3
_MAX_NAMES = 500  # per row


class Redactor:
    """Replaces every value that is confirmed to be personal data anywhere in the file.

    All texts must be learned before the first one is redacted, because a value may be
    confirmed in a later row than the one where it first appears.

    `mask` writes [EMAIL]. `pseudonym` writes [EMAIL_1], with one number per value throughout
    the file, so that statements about the same person remain linked. Numbers follow the order
    of first appearance. They contain nothing derived from the value, not even a digest that
    could be reversed by guessing.

    `possible` also replaces numbers that are only possibly personal data. `custom` has the
    recognizers of a project.
    """

    def __init__(
        self, mode: RedactMode, *, possible: bool = False, custom: CustomKinds | None = None
    ) -> None:
        self.mode = mode
        self.custom = custom
        self._possible = possible
        self._known = KnownValues()
        self._names: dict[str, Value] = {}
        self._parts: NameParts | None = None
        self._numbers: dict[Value, int] = {}
        self._used: Counter[str] = Counter()

    def learn(self, text: str, *languages: str, before: str = "") -> None:
        """Remember the personal data found in the text. `before` is the message before it.

        The search is repeated without the values already found, because they can hide
        adjacent values.
        """
        for reading in readings(text):
            left = reading
            for _ in range(_ROUNDS):
                certain, possible = find_all(left, *languages, before=before, custom=self.custom)
                places = sorted([*certain, *possible]) if self._possible else certain
                for found in places:
                    self._known.learn(found, left, *languages)
                if not places:
                    break
                left = _without(left, places)

    def begin_row(self, texts: Sequence[str]) -> None:
        """Remember the full names in a row. Until the next row, their parts count as names."""
        self._parts = None
        if not self._known.holds_names:
            return
        found = (
            (one.value.plain, one.value)
            for text in texts
            for one in self._known.find(text)
            if one.value.kind == "person_name"
        )
        values = dict(islice(found, _MAX_NAMES))
        whole = {
            name: next((other for other in values if is_part(name, other)), name) for name in values
        }
        self._names = {name: values[other] for name, other in whole.items()}
        self._parts = NameParts([*dict.fromkeys(whole.values())], texts) if values else None

    def redact(self, text: str, counts: Counter[str]) -> str:
        """Return the text with labels, and add the replacements by kind to `counts`."""
        return self._replace(text, "[{}]", counts)

    def redact_name(self, text: str, counts: Counter[str]) -> str:
        """Redact the name of a speaker or function, where brackets are not allowed."""
        return self._replace(text, "{}", counts)

    def redact_title(self, title: str) -> str:
        """Redact a title, which may be the name of a file such as `Ann_Lee.jsonl`."""
        spaced = title.replace("_", " ")
        self.learn(spaced)
        self.begin_row([spaced])
        masked = self.redact(spaced, Counter())
        return title if masked == spaced else masked

    def _replace(self, text: str, form: str, counts: Counter[str]) -> str:
        if not self._known:
            return text
        parts: list[str] = []
        end = 0
        for value, start, stop in self._find(text):
            parts += (text[end:start], form.format(self._label(value)))
            end = stop
            counts[value.kind] += 1
        return "".join((*parts, text[end:])) if parts else text

    def _find(self, text: str) -> list[KnownFound]:
        """Find known values, and parts of the row's names, which get the value of the full name."""
        found = self._known.find(text)
        if self._parts is None:
            return found
        parts = self._parts.find(text)
        for hidden in decode_hidden(text):
            of_reading = self._parts.find(hidden.text)
            parts += [NamePart(n, *hidden.locate(start, end)) for n, start, end in of_reading]
        found += (KnownFound(self._names[name], start, end) for name, start, end in parts)
        return [
            one._replace(value=self._names.get(one.value.plain, one.value))
            if one.value.kind == "person_name"
            else one
            for one in keep_longest(found)
        ]

    def _label(self, value: Value) -> str:
        label = value.kind.upper()
        if self.mode == "mask":
            return label
        if value not in self._numbers:
            self._used[value.kind] += 1
            self._numbers[value] = self._used[value.kind]
        return f"{label}_{self._numbers[value]}"


def _without(text: str, places: list[Found]) -> str:
    parts: list[str] = []
    end = 0
    for found in places:
        parts += (text[end : found.start], f"[{found.kind}]")
        end = found.end
    return "".join((*parts, text[end:]))


Row = dict[str, Any]
Change = Callable[[str], str]


def learn_row(redactor: Redactor, row: Row) -> None:
    """Let the redactor learn each text of a row, with the languages of the conversation."""
    learn_conversation(redactor, split_row(row), _packed_texts(row))


def texts_of_row(row: Row) -> Iterator[str]:
    """Yield the texts that `learn_row` searches first, as they are searched."""
    for text in (*(turn.text for turn in split_row(row).every_turn), *_packed_texts(row)):
        yield from readings(text)


def learn_conversation(
    redactor: Redactor, conversation: Conversation, more: Iterable[str] = ()
) -> None:
    """Let the redactor learn each text of a conversation and of `more`, with the languages."""
    turn_texts = [turn.text for turn in conversation.every_turn]
    pairs = [*zip(["", *turn_texts], turn_texts, strict=False)]
    pairs += (("", text) for text in more)
    # Language detection is the slowest step here, so skip it if no text needs it.
    pairs = [pair for pair in pairs if redactor.custom or may_hold_personal_data(pair[1])]
    languages = languages_of(conversation) if pairs else []
    for before, text in pairs:
        redactor.learn(text, *languages, before=before)


def languages_of(conversation: Conversation) -> list[str]:
    """Return the languages of the last answer and of the questions, if detected."""
    last = conversation.last_answer
    answer = conversation.turns[last].text if last < len(conversation.turns) else ""
    question = "\n".join(turn.text for turn in conversation.turns if turn.role == "user")
    codes = dict.fromkeys((detect(answer).code, detect(question).code))
    return [code for code in codes if code != UNKNOWN]


def mask_turns(redactor: Redactor, conversation: Conversation) -> Conversation:
    """Return a conversation with labels in its turns and rejected turns."""
    counts = Counter[str]()
    redactor.begin_row([turn.text for turn in conversation.every_turn])
    turns, rejected = (
        [turn._replace(text=redactor.redact(turn.text, counts)) for turn in part]
        for part in (conversation.turns, conversation.rejected)
    )
    return conversation._replace(turns=turns, rejected=rejected)


def redact_row(redactor: Redactor, row: Row, counts: Counter[str]) -> Row:
    """Return the row with labels, and add the replacements by kind to `counts`."""
    turns = split_row(row).every_turn
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


def find_marks(row: Row, known: KnownValues) -> list[Mark]:
    """Return the positions of known values in a row, as `redact_row` would replace them.

    If there are too many, whole values are marked, or all of a field. Each mark has the path to its
    value, so the marks of a row with a long key could be thousands of times as large as the row.
    """
    marker = _Marker(known)
    marks: list[Mark] = []
    size = 0
    for mark in marker.compare(row, redact_row(marker, row, Counter()), ""):
        size += len(mark.pointer) + _MARK_CHARS
        if size > _MAX_MARKS_CHARS:
            break
        marks.append(mark)
    else:
        return marks
    whole: dict[str, Mark] = {}
    for mark in marker.compare(row, redact_row(marker, row, Counter()), ""):
        field = "/".join(mark.pointer.split("/", 2)[:2])
        whole.setdefault(field, Mark(field, 0, 0, mark.kind))
    return list(whole.values())


_MARK_CHARS: Final = 32  # of a mark without its pointer
_MAX_MARKS_CHARS: Final = 256 * 1024  # of a row

# No text contains the token, which each process draws.
_TOKEN: Final = secrets.token_hex(16)
_MARKED: Final = re.compile(rf"{_TOKEN}(\d+)_(.*?){_TOKEN}", re.DOTALL)


_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _unescaped(text: str) -> str:
    """Return a part of a JSON document without the escapes in its strings."""
    plain = _ESCAPE.sub(
        lambda one: chr(int(one[1], 16)) if one[1] else _CONTROLS.get(one[2], one[2]), text
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins pairs


class _Marker(Redactor):
    """Encloses values in tokens instead of replacing them, to find their positions."""

    def __init__(self, known: KnownValues) -> None:
        super().__init__("mask")
        self._known = known
        self._kinds: list[str] = []

    def _replace(self, text: str, form: str, counts: Counter[str]) -> str:
        parts: list[str] = []
        end = 0
        for value, start, stop in self._find(text):
            if value.kind not in self._kinds:
                self._kinds.append(value.kind)
            kind = self._kinds.index(value.kind)
            parts += (text[end:start], f"{_TOKEN}{kind}_{text[start:stop]}{_TOKEN}")
            end = stop
        return "".join((*parts, text[end:]))

    def compare(self, before: Any, after: Any, pointer: str) -> Iterator[Mark]:
        """Yield the marks in a value, given the value with tokens."""
        if isinstance(after, str):
            yield from self._in_text(before, after, pointer)
        elif isinstance(after, list):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from self.compare(one, other, f"{pointer}/{index}")
        elif isinstance(after, dict):
            if found := _MARKED.search("\n".join(after)):  # a key cannot be masked alone
                yield self._whole(found, pointer)
                return
            for key, value in after.items():
                yield from self.compare(before[key], value, f"{pointer}/{escape(key)}")

    def _in_text(self, before: Any, after: str, pointer: str) -> Iterator[Mark]:
        """Yield the marks in a text, given the text with tokens."""
        found = list(_MARKED.finditer(after))
        if not found:
            return
        if not isinstance(before, str):
            yield self._whole(found[0], pointer)
        elif _MARKED.sub(lambda one: one[2], after) == before:
            start = end = 0
            for one in found:
                start += one.start() - end
                yield Mark(pointer, start, start + len(one[2]), self._kind(one))
                start, end = start + len(one[2]), one.end()
        else:
            yield from self._everywhere(before, found, pointer)

    def _everywhere(
        self, before: str, found: Sequence[re.Match[str]], pointer: str
    ) -> Iterator[Mark]:
        """Yield each place of the values in JSON that is written differently with tokens.

        If some are not found, because they have escapes, the whole text is marked.
        """
        kinds = {one[2]: self._kind(one) for one in found}
        longest_first = sorted(kinds, key=len, reverse=True)
        any_of = re.compile("|".join(map(re.escape, longest_first)))
        places = list(any_of.finditer(before))
        # A value may also be in a text where it is not personal data, so a count does not suffice.
        rest = _unescaped(any_of.sub(_TOKEN, before))
        if len(places) < len(found) or any(_unescaped(value) in rest for value in kinds):
            yield Mark(pointer, 0, len(before), self._kind(found[0]))
        else:
            yield from (Mark(pointer, *place.span(), kinds[place[0]]) for place in places)

    def _whole(self, found: re.Match[str], pointer: str) -> Mark:
        return Mark(pointer, 0, 0, self._kind(found))

    def _kind(self, found: re.Match[str]) -> str:
        return self._kinds[int(found[1])]


class _RowRedaction:
    """Redaction of one row. Tool call IDs stay distinct, and still match their answers."""

    def __init__(self, redactor: Redactor, counts: Counter[str]) -> None:
        self._redactor = redactor
        self._counts = counts
        self._ids: dict[str, str] = {}
        self._used_ids: set[str] = set()

    def context(self, owner: Row) -> Row:
        """Redact the tools and the item of a chat row or of a preference row's input."""
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
            written = dump_json(changed)
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


def dump_json(value: Any) -> str:
    """Serialize a value as JSON without escaping non-ASCII characters, if possible."""
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json.dumps(value)  # a lone surrogate must remain an escape
    return written
