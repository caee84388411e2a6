"""Detects a file's container (JSON Lines, CSV, Parquet, …) from its content.

MIME types and names are ignored, except that a file such as `notes.md` is text if it is neither
JSON nor a table.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, Literal

from service.datasets.checks.issues import refuse
from service.datasets.formats.chat_texts import text_chat
from service.datasets.formats.csv_records import is_clearly_table, sniff_delimiter
from service.datasets.formats.documents import (
    UNKNOWN_BINARY,
    binary_kind,
    is_arrow,
    office_kind,
    ole_kind,
    zip_kind,
)
from service.datasets.formats.json_records import find_rows
from service.datasets.formats.options import Container
from service.datasets.formats.turn_forms import are_turns
from service.datasets.rows.lines import UTF8_BOM, parse

_decoder = json.JSONDecoder()
_HEAD_BYTES = 256 * 1024
_SAMPLE_LINES = 50
# A Markdown document may begin with a link.
# A table with one column of JSON, or of texts in a usual column.
_JSON_COLUMN = re.compile(
    rb'[^\n",;\t]{1,80}\r?\n"[\[{]|(?:text|chat|transcript|messages)\r?\n(?:"|(?:<s>)?\[INST\]|<\|)'
)
_JSON = re.compile(rb'\{\s*"|\[\s*\{')

XML: Final = "an XML document"
YAML: Final = "a YAML document"

# Texts of other kinds, by their beginnings. A CSV file can hold any of them, but not begin so.
_OTHER_TEXTS = tuple(
    (re.compile(start.encode()), kind)
    for start, kind in {
        r"BEGIN:VCALENDAR": "a calendar (ICS)",
        r"WEBVTT\b": "subtitles (WebVTT)",
        r"\d+\n\d\d:\d\d:\d\d[,.]\d+ --> ": "subtitles (SRT)",
        r"\[[\w.-]+\]\n[\w.-]+ ?=": "a file of settings",
        r"BEGIN:VCARD": "a list of contacts (vCard)",
        r"(?:(?:From|To|Date|Subject|Received|Return-Path|Delivered-To|Message-ID|MIME-Version|X-[\w-]+"
        r"|DKIM-Signature|Content-Type|Reply-To): .*\n(?:[ \t].*\n)*){3}": "an e-mail (EML)",
        r"<\?xml|<[a-zA-Z]\w*(?: [^<>]*)?>\s*<[a-zA-Z]\w*": XML,
        r"(?:(?:--|/\*|SET |USE |BEGIN|START |PRAGMA ).*\n|\s)*+"
        r"(?:DROP TABLE|CREATE TABLE|INSERT INTO)": "an SQL dump",
        r"(?:---.*\n|#.*\n)*+(?:(?:- )?[\w-]++:(?: [^\n,]*)?\n)++\s*+(?:- )?[\w-]++: ": YAML,
        r"#![^\n]*\n|(?:import \w+|from [\w.]+ import )[^\n,]*\n": "the source of a program",
    }.items()
)

_OLE = b"\xd0\xcf\x11\xe0"  # the first bytes of Office files before 2007
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!doctype html|<(?:html|body|table)[\s>])", re.IGNORECASE
)


def binary_container(path: Path) -> Container | Literal["arrow", "sqlite"] | None:
    """Detect Parquet, Arrow, SQLite, a workbook or a document such as a PDF; return None for text.

    Raises DatasetError for other archives, and for other files that are no text, which it names.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PAR1"):
        return "parquet"
    office = office_kind(path)
    if office is not None:
        return office if office in ("xlsx", "ods") else "document"
    kind = zip_kind(path) if head.startswith(b"PK") else None
    if kind is not None:
        raise refuse("document", kind=kind)
    if is_arrow(head):
        return "arrow"
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    kind = binary_kind(head)
    if kind is None or kind == UNKNOWN_BINARY:  # the latter may be UTF-16 without a mark
        return "document" if _HTML.match(head.removeprefix(UTF8_BOM)) else None
    if head.startswith(_OLE):
        if _is_xls(path):
            return "xls"
        kind = ole_kind(path) or kind
    raise refuse("unknown_format") if head.startswith(b"PK") else refuse("document", kind=kind)


def _is_xls(path: Path) -> bool:
    """Return whether an Office file of before 2007 is a workbook."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        return bool(CalamineWorkbook.from_path(path).sheet_names)
    except CalamineError:
        return False


def text_container(path: Path, *, is_document: bool = False) -> tuple[Container, str | None]:
    """Return the container of UTF-8 text, and the delimiter if it is a table.

    `is_document` is whether the file's name is that of a text document. Raises DatasetError if the
    format is unknown.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(UTF8_BOM).lstrip()
    if not head:
        raise refuse("empty_file")
    if text_chat(path) is not None or (is_document and _is_prose(head)):
        return "text", None
    if not is_document and (kind := other_text(head.replace(b"\r\n", b"\n"))) is not None:
        raise refuse("document", kind=kind)
    if head[:1] == b"[":
        return ("jsonl" if _are_lists(head) else "json"), None
    if head[:1] == b"{":
        return ("json" if _is_document(head) else "jsonl"), None
    if b"\0" in head:
        raise refuse("unknown_format")
    if _is_mostly_objects(head):
        return "jsonl", None
    if _JSON_COLUMN.match(head):
        return "csv", ","
    if delimiter := sniff_delimiter(head):
        return "csv", delimiter
    raise refuse("unknown_format")


def other_text(head: bytes) -> str | None:
    """Return what a text is that is neither rows nor prose, or None."""
    return next((kind for start, kind in _OTHER_TEXTS if start.match(head)), None)


def _is_prose(head: bytes) -> bool:
    """Return whether the text is neither JSON nor clearly a table."""
    is_json = _JSON.match(head) is not None or _is_mostly_objects(head)
    return not is_json and b"\0" not in head and not is_clearly_table(head)


def _is_mostly_objects(head: bytes) -> bool:
    """Return whether most lines are JSON objects. The first line may be a title."""
    lines = [line for line in head.split(b"\n")[:_SAMPLE_LINES] if line.strip()]
    return sum(line.lstrip()[:1] == b"{" for line in lines) * 2 >= len(lines)


def _are_lists(head: bytes) -> bool:
    """Return whether each line is a conversation, written as a list of turns."""
    first, _, rest = head.partition(b"\n")
    return rest.lstrip()[:1] == b"[" and are_turns(parse(first)[0])


def _is_document(head: bytes) -> bool:
    """Return whether the text is one JSON document rather than one row per line.

    In a document, an object spans lines, contains an array of rows, or is followed by a comma or
    by another object on the same line.
    """
    if _spreads_over_lines(head) or find_rows(head) is not None:
        return True
    first = head.partition(b"\n")[0].decode("utf-8", "replace").rstrip()
    try:
        _, end = _decoder.raw_decode(first)
    except (ValueError, RecursionError):
        return False
    return first[end:].strip()[:1] in ("{", ",")


def _spreads_over_lines(head: bytes) -> bool:
    """Return whether the first object spans several lines, as in pretty-printed JSON.

    A broken first line alone must not have this effect, so the second line must look like
    the inside of an object.
    """
    first, _, rest = head.partition(b"\n")
    if not rest or parse(first)[1] is None:
        return False
    second = rest.lstrip()[:1]
    return first.rstrip()[-1:] in b"{[,:" and second in (b'"', b"[", b"]", b"}")
