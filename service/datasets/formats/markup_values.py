"""Reads XML, YAML, pages, databases and cards as JSON values, in which rows are then found."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import yaml

from service.datasets.checks.issues import refuse
from service.datasets.formats.chat_apps import at_path, objects
from service.datasets.formats.chat_texts import text_chat
from service.datasets.formats.csv_records import is_clearly_table
from service.datasets.formats.detect import XML, YAML, other_text
from service.datasets.formats.faq_texts import find_pairs, table_rows
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.table_layout import forms_shape
from service.datasets.passages import html_text
from service.datasets.rows.lines import UTF8_BOM, parse

Row = dict[str, Any]

_HEAD_BYTES: Final = 64 * 1024
_MAX_BYTES: Final = 16 * 1024**2
_MAX_YAML_BYTES: Final = 4 * 1024**2
_ALIAS: Final = re.compile(r"^[^#\n\"']{0,200}[:,\[-] *\*\w", re.MULTILINE)
# What a page shows as a question: a term, the title of a part that folds, or by its class.
_ASKS: Final = re.compile(r"(?<![a-z])question(?![a-z])|^name$", re.IGNORECASE)
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
        value = xml_value(data.lstrip())
        yield kind, value
        if value is None:  # a part of a page
            yield None, page_value(text)
    elif text.startswith("#separator:"):
        yield None, cards(text)
    elif text_chat(path) is None:
        if _MAYBE_YAML.match(head) and len(data) <= _MAX_YAML_BYTES:
            value = yaml_value(text)
            if isinstance(value, dict) or (value and isinstance(value[0], dict | list)):
                yield YAML, value
                return
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
    inside = [one for one in element if isinstance(one.tag, str)]
    if any((one.tail or "").strip() for one in inside) or (inside and _tag(inside[0]) in _PAGE):
        return html_text(_source(element))
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
    """Return the content of a YAML file, {} if it has aliases, or None if it cannot be parsed.

    Aliases can multiply a small file into a huge value.
    """
    if _ALIAS.search(text):
        return {}
    try:
        documents = list(yaml.load_all(text, _Texts))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return documents[0] if len(documents) == 1 else documents


def page_value(page: str) -> Any:
    """Return the questions and answers of a page, in linked data, tables or texts, or []."""
    from lxml import etree, html

    try:
        tree = html.document_fromstring(page.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError):
        return find_pairs(html_text(page))
    for script in tree.iter("script"):
        linked, _ = parse((script.text or "").encode())
        parts = at_path(linked, "@graph") or (linked if isinstance(linked, list) else [linked])
        if faqs := [one for one in objects(parts) if "mainEntity" in one]:
            return faqs
    for one in tree.iter("footer", "dt", "summary", "*"):
        names = f"{one.get('itemprop', '')}\n{one.get('class', '')}".split("\n")
        if one.tag == "footer":
            one.clear(keep_tail=True)
        elif one.tag == "dt":
            one.tag = "h5"
        elif one.tag == "summary" or any(map(_ASKS.search, names)):
            one.tag = "h6"
    text = f"# {tree.findtext('.//title', '')}\n\n{html_text(_source(tree))}"
    tables = [_cells(one) for one in tree.iter("table") if one.find(".//table") is None]
    if rows := [row for table in tables for row in table_rows(table)]:
        return rows
    if len(tables) == 1 and max(map(len, tables[0]), default=0) > 1:
        chars = sum(len(cell) for row in tables[0] for cell in row)
        if chars >= _LEAST_TABLE * len(re.sub(r"\s+", " ", text)):
            return [dict(zip(tables[0][0], row, strict=False)) for row in tables[0][1:]]
    return find_pairs(text)


def _source(element: Any) -> str:
    from lxml import etree

    return str(etree.tostring(element, encoding="unicode", with_tail=False, method="html"))


def _cells(table: Any) -> list[list[str]]:
    """Return the texts of a table. A cell of several rows is repeated."""
    rows: list[list[str]] = []
    held: dict[int, list[str]] = {}  # by column: a text for each row that is left
    for row in table.iter("tr"):
        made: list[str] = []
        for cell in row.iter("td", "th"):
            while held.get(len(made)):
                made.append(held[len(made)].pop())
            text, span = html_text(_source(cell)), cell.get("rowspan", "1")
            held[len(made)] = [text] * (int(span) - 1) if span in _SPANS else []
            made.append(text)
        rows.append(made)
    return rows


_SPANS: Final = frozenset(map(str, range(1, 1_000)))


# Cards of Anki

_SOUND: Final = re.compile(r"\[sound:[^\]]*\]")
_CARD_HEAD: Final = re.compile(r"^#([a-z ]+):([^\n\r]*)\r?\n", re.MULTILINE)
_DELIMITERS: Final = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def _card(fields: list[str]) -> Row:
    asked, answer = (html_text(_SOUND.sub("", one)) for one in fields[:2])
    return {"prompt": asked, "completion": answer}


def cards(text: str) -> list[Row]:
    """Return the cards in a text that Anki exported, without their tags and decks."""
    head = dict(_CARD_HEAD.findall(text))
    written = head.get("separator", "tab").strip()
    delimiter = _DELIMITERS.get(written.casefold(), written)
    others = {int(one) - 1 for name, one in head.items() if name.endswith("column")}
    rows = csv.reader(_CARD_HEAD.sub("", text).strip().splitlines(True), delimiter=delimiter)
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
            listed = base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = [one[0] for one in listed]
            if {"notes", "cards"} <= {*tables}:
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
            rows = [dict(row) for row in found[0]]
            return [{k: v for k, v in row.items() if not isinstance(v, bytes)} for row in rows]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise refuse("document", kind=kind) from error
