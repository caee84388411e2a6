"""Repairs, normalizes, and redacts the texts of a canonical row."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from service.datasets.contract.tasks import CleanOptions
from service.datasets.personal_data.redact import Redactor, dump_json, learn_row, redact_row
from service.datasets.row_features import is_mojibake

# An escape that begins a terminal sequence, such as a color, or a JIS code, is kept.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]|\x1b(?![\[\]()$])")
# Variant ideographs in names, Kelvin, and Angstrom, which normalization would replace.
_FORMS = re.compile("([\uf900-\ufaff\U0002f800-\U0002fa1f\u2126\u212a\u212b]+)")
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)
# Words of a text about encodings, where mojibake is intended.
_ABOUT_ENCODINGS = re.compile(
    r"mojibake|\b(?:en|de)cod(?:e|ed|ing|ings)\b|charset|code ?page|latin-?1|iso[- ]?8859|"
    r"utf-?8|unicode|windows-?125\d|cp125\d|ftfy|文字化け|文字コード|"
    r"乱码|亂碼|编码|編碼|깨진 글자|인코딩|кодировк",
    re.IGNORECASE,
)

_ROUNDS = 5

Row = dict[str, Any]


class TextChanges(NamedTuple):
    """A cleaned row, and the number of changes of each kind."""

    row: Row
    changes: dict[str, int]


class TextCleaner:
    """Drops control characters, repairs encodings, normalizes Unicode, and redacts.

    If it redacts, it must learn all rows of a file before it cleans the first one. It
    assigns pseudonym numbers, so pass all rows through one cleaner, in order.
    """

    def __init__(self, options: CleanOptions, redactor: Redactor) -> None:
        self._form = options.unicode
        self._mend = options.mend_mojibake
        self._drop_control = options.drop_control_characters
        self._redactor = redactor

    @property
    def learns(self) -> bool:
        """Whether all rows must be learned before any is cleaned."""
        return self._redactor.mode != "keep"

    def learn(self, row: Row) -> None:
        """Remember the personal data in a row."""
        learn_row(self._redactor, self._repair_row(row, Counter()))

    def clean(self, row: Row) -> TextChanges:
        """Return the row with cleaned texts, or the same object if nothing changed."""
        counts: Counter[str] = Counter()
        changed = self._repair_row(row, counts)
        if self.learns:
            found: Counter[str] = Counter()
            changed = redact_row(self._redactor, changed, found)
            counts.update({f"redacted_{kind}": count for kind, count in found.items()})
        return TextChanges(changed if counts else row, dict(sorted(counts.items())))

    def _repair_row(self, row: Row, counts: Counter[str]) -> Row:
        mend = self._mend and not _is_about_encodings(row)
        return map_texts(row, lambda text: self._repair_until_stable(text, counts, mend=mend))

    def _repair_until_stable(self, text: str, counts: Counter[str], *, mend: bool) -> str:
        # One change can reveal another (a control character that hid mojibake), and a second
        # cleaning must have nothing left to change.
        for _ in range(_ROUNDS):
            before = text
            text = self._repair_text(text, counts, mend=mend)
            if text == before:
                break
        return text

    def _repair_text(self, text: str, counts: Counter[str], *, mend: bool) -> str:
        if self._drop_control and _CONTROL.search(text):
            text = _counted(text, _CONTROL.sub("", text), "dropped_control_characters", counts)
        if text.isascii():
            return text
        if mend and is_mojibake(text):
            text = _counted(text, _mend(text), "mended_encoding", counts)
        if self._form != "keep" and not unicodedata.is_normalized(self._form, text):
            new = _normalize(text, self._form)
            text = _counted(text, new, "normalised_unicode", counts)
        return text


def _is_about_encodings(row: Row) -> bool:
    """Return whether a row is about encodings."""
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    map_texts(row, note)
    return any(map(_ABOUT_ENCODINGS.search, texts))


def _mend(text: str) -> str:
    """Repair mojibake outside code."""
    import ftfy  # most data sets need no repair

    parts = _CODE.split(text)
    parts[::2] = [ftfy.fix_encoding(part) if is_mojibake(part) else part for part in parts[::2]]
    return "".join(parts)


def _normalize(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """Normalize a text, except variant characters that normalization would replace."""
    parts = _FORMS.split(text)
    parts[::2] = [unicodedata.normalize(form, part) for part in parts[::2]]
    return "".join(parts)


def _counted(old: str, new: str, code: str, counts: Counter[str]) -> str:
    if new != old:
        counts[code] += 1
    return new


def map_texts(row: Row, change: Callable[[str], str]) -> Row:
    """Apply `change` to each text of a canonical row, including tool call arguments."""
    if "text" in row:
        return row | {"text": change(row["text"])}
    if "messages" in row:
        item = {"item": _map_json(row["item"], change)} if "item" in row else {}
        return row | {"messages": [_map_message(m, change) for m in row["messages"]]} | item
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
    """Change the values inside the arguments, so that they remain valid JSON."""
    written = call["function"]["arguments"]
    value = json.loads(written)
    changed = _map_json(value, change)
    if changed == value:
        return call
    return call | {"function": call["function"] | {"arguments": dump_json(changed)}}


def _map_json(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_json(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _map_json(item, change) for key, item in value.items()}
    return value
