"""Reads XML, YAML, pages, databases and cards as JSON values, in which rows are then found."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import yaml

from service.datasets.checks.issues import refuse
from service.datasets.formats.chat_texts import text_chat
from service.datasets.formats.csv_records import is_clearly_table
from service.datasets.formats.detect import XML, YAML, other_text
from service.datasets.formats.faq_texts import find_pairs, table_rows
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.table_layout import forms_shape
from service.datasets.passages import html_text
from service.datasets.rows.lines import UTF8_BOM

Row = dict[str, Any]

_HEAD_BYTES: Final = 64 * 1024
_MAX_BYTES: Final = 16 * 1024**2
_MAX_YAML_BYTES: Final = 4 * 1024**2
_MAX_VALUES: Final = 2_000_000  # of a YAML document, whose aliases can multiply
_LINKED: Final = re.compile(r"<script[^>]*ld\+json[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
# What a page shows as a question: a term, the title of a part that folds, or by its class.
_ASKED: Final = re.compile(
    r"<(?:dt|summary)\b[^>]*>|<\w+\s[^>]*?\b(?:class|itemprop)\s*=\s*[\"']?[^\"'>]*?"
    r"(?<![a-z])(?:question|name(?=[\"']))(?![a-z])[^>]*>",
    re.IGNORECASE,
)
_FOOTER: Final = re.compile(r"<footer\b.*?</footer>", re.DOTALL | re.IGNORECASE)
_MAYBE_YAML: Final = re.compile(
    rb"(?:(?:---|#|%).*\n|\s)*+(?:- ?)*(?:[\"']?\w[^:\n,\t]{0,80}:(?:[ \r].*)?\n|- )"
)
_LEAST_TABLE: Final = 0.8  # of the text of a page that is a table


def structured_values(path: Path) -> Iterator[tuple[str | None, Any]]:
    """Yield what a text may be, and its value: XML, YAML, cards, or questions with answers.

    The kind is None if the value certainly has rows. Texts that are too long to be in memory as
    values have none.
    """
    if path.stat().st_size > _MAX_BYTES:
        return
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(UTF8_BOM).lstrip()
    if head[:1] in (b"[", b"{") or b"\0" in head or is_clearly_table(head):
        return
    kind, data = other_text(head), path.read_bytes().removeprefix(UTF8_BOM)
    text = data.decode("utf-8", "replace")
    if kind == XML:
        yield kind, xml_value(data.lstrip())
    elif text.startswith("#separator:"):
        yield None, cards(text)
    elif text_chat(path) is None:
        if _MAYBE_YAML.match(head) and len(data) <= _MAX_YAML_BYTES:
            value = yaml_value(text)
            if isinstance(value, dict) or (value and isinstance(value[0], dict | list)):
                yield YAML, value
        yield None, find_pairs(text)


def xml_value(data: bytes) -> Any:
    """Return the content of an XML document: objects of attributes and elements, lists and texts.

    Returns None if it cannot be parsed.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.LxmlError:
        return None
    if _tag(root) == "Workbook":  # of Excel 2003
        rows = [["".join(c.itertext()) for c in r.iter("{*}Cell")] for r in root.iter("{*}Row")]
        return table_rows(rows)
    return _element_value(root)


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _element_value(element: Any) -> Any:
    from lxml import etree

    inside = [one for one in element if isinstance(one.tag, str)]
    if any((one.tail or "").strip() for one in inside) or (inside and _tag(inside[0]) in _PAGE):
        return html_text(etree.tostring(element, encoding="unicode", with_tail=False))
    text = "".join(element.itertext()).strip()
    found: Row = {key.rpartition("}")[2]: one for key, one in element.attrib.items()}
    if not inside:
        text = html_text(text) if "<" in text else text
        return {**found, "text": text} if found and text else found or text
    for one in inside:
        value, key = _element_value(one), _tag(one)
        if key in found and isinstance(found[key], list):
            found[key].append(value)
        else:
            found[key] = [found[key], value] if key in found else value
    return found


_PAGE: Final = frozenset(("p", "br", "b", "i", "ul", "ol", "div", "span", "a", "strong", "em"))


class _Texts(yaml.CBaseLoader):
    """Loads all scalars as texts: an answer can be “no”, or a time. Refuses keys that repeat."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(node.value):
            raise yaml.YAMLError
        return dict(super().construct_mapping(node, deep))


def yaml_value(text: str) -> Any:
    """Return the content of a YAML file, or None if it cannot be parsed."""
    try:
        documents = list(yaml.load_all(text, _Texts))
        left = _MAX_VALUES - sum(
            1 for one in documents for _ in zip(_walk(one), range(_MAX_VALUES))
        )
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if left <= 0:
        return None
    return documents[0] if len(documents) == 1 else documents


def _walk(value: Any) -> Iterator[Any]:
    yield value
    for one in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _walk(one)


def page_value(page: str) -> Any:
    """Return the questions and answers of a page, in linked data, tables or texts, or []."""
    from lxml import etree
    from lxml.html import document_fromstring

    for written in _LINKED.findall(page):
        try:
            value = json.loads(written)
        except ValueError:
            continue
        parts = value if isinstance(value, list) else value.get("@graph", [value])
        if faqs := [one for one in parts if isinstance(one, dict) and "mainEntity" in one]:
            return faqs
    page = _FOOTER.sub("", page)
    text = html_text(_ASKED.sub("<h6>", page))
    try:
        tables = list(document_fromstring(page.encode(), parser=_page_parser()).iter("table"))
    except (etree.LxmlError, ValueError):
        tables = []
    tables = [one for one in tables if next(one.iterdescendants("table"), None) is None]
    cells = [_cells(table) for table in tables]
    if rows := [row for table in cells for row in table_rows(table)]:
        return rows
    if len(cells) == 1 and max(map(len, cells[0]), default=0) > 1:
        chars = sum(len(cell) for row in cells[0] for cell in row)
        if chars >= _LEAST_TABLE * len(re.sub(r"\s+", " ", text)):
            return [dict(zip(cells[0][0], row, strict=False)) for row in cells[0][1:]]
    return find_pairs(text)


def _page_parser() -> Any:
    from lxml.html import HTMLParser

    return HTMLParser(encoding="utf-8", no_network=True)


def _cells(table: Any) -> list[list[str]]:
    """Return the texts of a table. A cell of several rows is repeated."""
    from lxml import etree

    rows: list[list[str]] = []
    held: dict[int, tuple[int, str]] = {}  # by column: the rows that are left, and the text
    for row in table.iter("tr"):
        made: list[str] = []
        for cell in row.iter("td", "th"):
            while held.get(len(made), (0, ""))[0]:
                left, text = held[len(made)]
                held[len(made)] = (left - 1, text)
                made.append(text)
            text = html_text(etree.tostring(cell, encoding="unicode", with_tail=False))
            if (span := cell.get("rowspan", "1")).isdecimal() and int(span) > 1:
                held[len(made)] = (int(span) - 1, text)
            made.append(text)
        rows.append(made)
    return rows


# Cards of Anki

_NEEDED: Final = re.compile(r"\[sound:[^\]]*\]")


def _card(fields: list[str]) -> Row:
    asked, answer = (html_text(_NEEDED.sub("", one)) for one in fields[:2])
    return {"prompt": asked, "completion": answer}


def cards(text: str) -> list[Row]:
    """Return the cards in a text that Anki exported, without their tags and decks."""
    head = dict(re.findall(r"^#([\w ]+):(.*)$", text, re.MULTILINE))
    named = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " ", "colon": ":"}
    written = head.get("separator", "tab").strip()
    delimiter = named.get(written.casefold(), written)
    others = {
        int(one) - 1 for key, one in head.items() if key.endswith("column") and one.isdecimal()
    }
    import csv
    import io

    body = "".join(one for one in io.StringIO(text, newline="") if not one.startswith("#"))
    rows = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
    kept = ([one for at, one in enumerate(row) if at not in others] for row in rows)
    return [_card(row) for row in kept if len(row) > 1]


def database_rows(path: Path) -> list[Row]:
    """Return the rows of the only table of an SQLite database that forms a shape, or its cards.

    Raises DatasetError if there is none, or if there are several.
    """
    kind = "an SQLite database"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as base:
            base.execute("PRAGMA trusted_schema = OFF")
            base.row_factory = sqlite3.Row
            tables = [
                one[0]
                for one in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            if {"notes", "cards"} <= set(tables):
                notes = base.execute("SELECT flds FROM notes")
                rows = [_card(fields) for (one,) in notes if len(fields := one.split("\x1f")) > 1]
                return [row for row in rows if all(row.values())]
            found = []
            for table in tables:
                quoted = table.replace('"', '""')
                cursor = base.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608
                names = [one[0] for one in cursor.description]
                if forms_shape(names, FormatOptions()):
                    found.append(cursor)
            if len(found) != 1:
                raise refuse("document", kind=kind)
            return [
                {k: row[k] for k in row.keys() if not isinstance(row[k], bytes)} for row in found[0]
            ]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise refuse("document", kind=kind) from error
