"""What the cleaning does to the texts of one canonical row."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import ftfy

from service.datasets.conversation import Conversation, take_apart
from service.datasets.features import is_mojibake
from service.datasets.languages import UNKNOWN, detect
from service.datasets.redact import RedactMode, Redactor

UnicodeForm = Literal["keep", "NFC", "NFKC"]
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

_ROUNDS = 5

Row = dict[str, Any]


class TextChanges(NamedTuple):
    """A row after the cleaning, and how often each kind of change was made in it."""

    row: Row
    changes: dict[str, int]


class TextCleaner:
    """Drops control characters, mends encodings, composes Unicode, and redacts.

    Keeps the numbers of pseudonyms, so all rows of a file must go through one cleaner, in
    order.
    """

    def __init__(
        self,
        *,
        unicode_form: UnicodeForm,
        mend_mojibake: bool,
        drop_control: bool,
        personal_data: RedactMode,
    ) -> None:
        self._form = unicode_form
        self._mend = mend_mojibake
        self._drop_control = drop_control
        self._redactor = Redactor(personal_data)

    def clean(self, row: Row) -> TextChanges:
        """The row with clean texts; the same object where nothing changed."""
        counts: Counter[str] = Counter()
        language = _language(take_apart(row)) if self._redactor.mode != "keep" else UNKNOWN

        def change(text: str) -> str:
            return self._change(text, language, counts)

        changed = map_texts(row, change)
        return TextChanges(changed if counts else row, dict(sorted(counts.items())))

    def _change(self, text: str, language: str, counts: Counter[str]) -> str:
        # One change can bring out another (a control character that hid mojibake), and a
        # second cleaning must have nothing to do.
        for _ in range(_ROUNDS):
            before = text
            text = self._mended(text, counts)
            if text == before:
                break
        found: Counter[str] = Counter()
        text = self._redactor.redact(text, language, found)
        for kind, count in found.items():
            counts[f"redacted_{kind}"] += count
        return text

    def _mended(self, text: str, counts: Counter[str]) -> str:
        if self._drop_control and _CONTROL.search(text):
            text = _counted(text, _CONTROL.sub("", text), "dropped_control_characters", counts)
        if text.isascii():
            return text
        if self._mend and is_mojibake(text):
            text = _counted(text, ftfy.fix_encoding(text), "mended_encoding", counts)
        if self._form != "keep" and not unicodedata.is_normalized(self._form, text):
            new = unicodedata.normalize(self._form, text)
            text = _counted(text, new, "normalised_unicode", counts)
        return text


def _counted(old: str, new: str, code: str, counts: Counter[str]) -> str:
    if new != old:
        counts[code] += 1
    return new


def _language(talk: Conversation) -> str:
    """As in the report: the answer's, or the question's where that does not say."""
    last = talk.last_answer
    said = detect(talk.turns[last].text).code if last < len(talk.turns) else UNKNOWN
    if said != UNKNOWN:
        return said
    return detect("\n".join(turn.text for turn in talk.turns if turn.role == "user")).code


def map_texts(row: Row, change: Callable[[str], str]) -> Row:
    """A canonical row with each text that is trained on changed, arguments of calls too."""
    if "messages" in row:
        return row | {"messages": [_map_message(m, change) for m in row["messages"]]}
    given = row["input"]
    return row | {
        "input": given | {"messages": [_map_message(m, change) for m in given["messages"]]},
        "preferred_output": [_map_message(m, change) for m in row["preferred_output"]],
        "non_preferred_output": [_map_message(m, change) for m in row["non_preferred_output"]],
    }


def _map_message(message: Row, change: Callable[[str], str]) -> Row:
    new = dict(message)
    if isinstance(message.get("content"), str):
        new["content"] = change(message["content"])
    if message.get("tool_calls"):
        new["tool_calls"] = [_map_call(call, change) for call in message["tool_calls"]]
    return new


def _map_call(call: Row, change: Callable[[str], str]) -> Row:
    """Changes the values inside the arguments, so that they stay JSON."""
    written = call["function"]["arguments"]
    value = json.loads(written)
    changed = _map_json(value, change)
    if changed == value:
        return call
    arguments = json.dumps(changed, ensure_ascii=False)
    if not _is_unicode(arguments):
        arguments = json.dumps(changed)  # a lone surrogate stays an escape
    return call | {"function": call["function"] | {"arguments": arguments}}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _map_json(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, int) and not isinstance(value, bool):
        # A telephone number may be written as a number; its label is a string.
        new = change(str(value))
        return value if new == str(value) else new
    if isinstance(value, list):
        return [_map_json(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _map_json(item, change) for key, item in value.items()}
    return value
