"""Texts that a repair could damage, and files whose encoding is only a guess."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from service.datasets.contract.tasks import CleanOptions
from tests.datasets.file_cases.cases import Case, Pairs, Row, chats, jsonl
from tests.datasets.file_cases.encodings import TEXTS
from tests.datasets.support import clean

KEPT: dict[str, Pairs] = {
    "name forms": [("社長のお名前は？", "\ufa19谷\ufa1a雄と、渡\ufa50と書きます。")],
    "decomposed letters": [
        ("Where is it?", "In the Cafe\u0301 Zoe\u0308, and in ガの".replace("ガ", "カ\u3099"))
    ],
    "Angstrom and Kelvin": [("Which units?", "We measure in \u212b and \u212a; a mu is \u00b5.")],
    "escape sequences": [("Print red.", 'echo "\x1b[31mred\x1b[0m" and ring \x07')],
    "escape of a Japanese code": [
        ("What is ESC $ B?", "\x1b$B starts JIS X 0208, \x1b(B ends it.")
    ],
    "lesson about mojibake": [
        ("Why do I see cafÃ© in my mail?", "The UTF-8 bytes of é were read as Latin-1: Ã©."),
        ("What is â€™?", "The apostrophe ’ in UTF-8, read as Windows-1252: â€™."),
    ],
    "lesson about Japanese mojibake": [
        ("æ–‡å­—とは？", "「文字」のUTF-8をLatin-1で読むとæ–‡å­—です。")
    ],
    "full width": [("型番は？", "ＡＢＣ－１２３です。")],
    "line ends in code": [("Write two lines.", "print('a')\r\nprint('b')\r")],
    "zero width": [("نامه‌ها کجاست؟", "می‌روم؛ family: 👨‍👩‍👧")],
}


def cases() -> Iterator[Case]:
    """Yield the cases: texts that are kept, repairs that are asked for, and fallbacks that warn."""
    for name, pairs in KEPT.items():
        rows = [{"prompt": ask, "completion": answer} for ask, answer in pairs]
        yield Case("repairs", f"{name}, as read", jsonl(rows), chats(pairs))
        yield Case("repairs", f"{name}, cleaned", jsonl(rows), chats(pairs), {"clean": {}})
    yield from _repaired()
    yield from _fallbacks()
    yield from _not_text()


def _repaired() -> Iterator[Case]:
    broken = [("Is there coffee?", "Oui, Ã  lâ€™Ã©tage, au cafÃ© dâ€™Ã  cÃ´tÃ©.")]
    whole = [("Is there coffee?", "Oui, à l’étage, au café d’à côté.")]
    options: dict[str, Any] = {"clean": {"mend_mojibake": True}}
    yield Case("repairs", "mojibake repaired", jsonl(chats(broken)), chats(whole), options)
    lesson = KEPT["lesson about mojibake"]
    yield Case("repairs", "lesson kept by the repair", jsonl(chats(lesson)), chats(lesson), options)
    code = [("Fix it.", "Use `text.replace('Ã©', 'é')`:\n\n```py\nx = 'cafÃ© Ã '\n```")]
    yield Case("repairs", "code kept by the repair", jsonl(chats(code)), chats(code), options)
    options = {"clean": {"unicode": "NFC"}}
    names = KEPT["name forms"]
    yield Case("repairs", "name forms kept by NFC", jsonl(chats(names)), chats(names), options)
    apart = [("Where?", "Cafe\u0301 Zoe\u0308")]
    yield Case(
        "repairs", "letters composed", jsonl(chats(apart)), chats([("Where?", "Café Zoë")]), options
    )
    options = {"clean": {"drop_control_characters": True}}
    bell = [("Say it.", "It is\x07 here.")]
    yield Case(
        "repairs", "bell dropped", jsonl(chats(bell)), chats([("Say it.", "It is here.")]), options
    )
    colors = KEPT["escape sequences"][0][0], 'echo "\x1b[31mred\x1b[0m"'
    yield Case("repairs", "colors kept", jsonl(chats([colors])), chats([colors]), options)


def _fallbacks() -> Iterator[Case]:
    for language, codec in (("fr", "cp1252"), ("th", "cp874"), ("ru", "cp1251"), ("pl", "cp1250")):
        text = jsonl(chats(TEXTS[language])).decode().encode(codec)
        yield Case(
            "repairs",
            f"{codec} warns",
            text,
            chats(TEXTS[language]),
            finding="one_byte_encoding",
            remedy="encoding",
        )
    for name, junk in (
        ("scattered bytes", bytes(range(0x80, 0x100))),
        ("Thai vowels alone", b"\xd1\xd4\xd5\xd6\xd7\xe7\xe8\xe9\xea"),
        ("boxes", b"\xc9\xcd\xcd\xbb\xba\xba\xc8\xbc\xdb\xb2\xb1"),
    ):
        data = b'{"prompt": "a", "completion": "' + junk + b'"}\n'
        yield Case("repairs", f"{name} are no text", data, None, finding="invalid_utf8")


def _not_text() -> Iterator[Case]:
    picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8
    random = bytes((at * 197 + at * at * 31) % 256 for at in range(4096))
    for name, data, code in (
        ("picture", picture, "document"),
        ("random bytes", random, "unknown_format"),
        ("SQLite", b"SQLite format 3\0" + bytes(200), "document"),
    ):
        yield Case("repairs", f"{name} is no table", data, None, finding=code)


def clean_rows(source: Path, folder: Path, options: dict[str, Any]) -> list[Row]:
    """The rows of a file after a cleaning with the options."""
    result = clean(source, folder / "cleaned", msgspec.convert(options, CleanOptions))
    return [json.loads(line) for line in Path(result.train.path).read_text("utf-8").splitlines()]
