"""Tests of the rows that the HTML report shows: texts, lines, filters, and limits."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from service.datasets.contract.report import Report
from service.datasets.report.render import to_html
from service.datasets.report.row_section import ShownRows
from tests.datasets.support import analyze, chat
from tests.datasets.test_report import varied, write


def page_of(folder: Path, rows: list[Any], title: str = "Report") -> str:
    pages: list[str] = []

    def render(report: Report, shown: ShownRows, title: str) -> None:
        pages.append(to_html(report, shown=shown, title=title))

    analyze(write(folder / "data.jsonl", rows), work=folder, render=render, title=title)
    return pages[0]


class Page(HTMLParser):
    """The text of each shown row, its classes, the targets of links, and the ids of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: dict[str, str] = {}
        self.classes: dict[str, set[str]] = {}
        self.targets: set[str] = set()
        self.labels: dict[str, str] = {}
        self.ids: list[str] = []
        self._row = self._label = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert not {name for name in given if name.startswith("on")} | {"src"} & given.keys()
        name = given.get("id", "")
        if name:
            self.ids.append(name)
        if name.startswith("row-"):
            self._row = name
            self.classes[name] = set(given["class"].split())
        self._label = given.get("for", "") if tag in ("label", "small") else ""
        self.targets |= {given["href"]} if "href" in given else set()

    def handle_data(self, data: str) -> None:
        if self._row:
            self.rows[self._row] = self.rows.get(self._row, "") + data
        if self._label:
            self.labels.setdefault(self._label, data.strip())


ROWS = [
    *varied(6),
    chat("返品はどこですか?", "AIとしてお答えできません。"),  # 7
    chat("Which card <b>?", "My card is 4111 1111 1111 1111, write to a.b@example.com"),  # 8
    varied(1)[0],  # 9
    {"messages": []},  # 10
    chat("Do you ship to Norway?", "Yes, in a week."),  # 11
    chat("Hi! Do you ship to Norway", "No, we ship to the EU only."),  # 12
]


def test_rows_with_findings_are_shown_with_their_texts_the_worst_first(tmp_path: Path) -> None:
    html = page_of(tmp_path, ROWS)
    page = Page(html)
    assert list(page.rows) == ["row-10", "row-7", "row-9", "row-12", "row-8"]
    assert "AIとしてお答えできません。" in page.rows["row-7"]
    assert "declines to answer" in page.rows["row-7"]
    assert "score 0.6 · Japanese" in page.rows["row-7"]
    assert "Which card <b>?" in page.rows["row-8"]
    assert "My card is [PAYMENT_CARD], write to [EMAIL]" in page.rows["row-8"]
    assert ("4111" in html, "example.com" in html, "<script" in html) == (False, False, False)
    assert "Yes, in a week." in page.rows["row-12"]  # the other row of the pair
    assert "The list messages is empty." in page.rows["row-10"]
    assert 'lang="ja"' in html


def test_a_choice_of_language_and_finding_hides_the_other_rows(tmp_path: Path) -> None:
    html = page_of(tmp_path, ROWS)
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    named = {text: name for name, text in page.labels.items()}
    for row, choices in (
        ("row-7", {"Japanese", "refusal"}),
        ("row-8", {"English", "personal data"}),
        ("row-10", {"none: broken row", "empty messages"}),
    ):
        assert page.classes[row] == {named[choice] for choice in choices}
    style = html.partition("<style>")[2].partition("</style>")[0]
    for name in set().union(*page.classes.values()):
        assert name in page.ids
        assert f"#{name}:checked~ol>:not(.{name}):not(:target){{display:none}}" in style
    assert html.index('<input type="radio"') < html.index("<ol>")


def test_all_lines_of_a_finding_are_listed_even_if_few_rows_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.datasets.report.row_section.MAX_ROWS", 6)
    rows = varied(60)
    for line in range(0, 60, 2):
        rows[line] = chat(rows[line]["messages"][0]["content"], "As an AI, I cannot help with that")
    rows += [{"messages": []}] * 3 + [{"nothing": 1}] * 3
    page = Page(html := page_of(tmp_path, rows))
    text = re.sub(r"<[^>]*>", "", html.partition('aria-label="Findings by kind"')[2])
    listed = {int(number) for number in re.findall(r"\d+", text.partition("Rows with")[0])}
    assert set(range(1, 60, 2)) | {61, 63, 64, 66} <= listed
    assert len(page.rows) <= 6
    assert {"#row-61", "#row-64", "#row-1"} <= page.targets
    assert {target.removeprefix("#") for target in page.targets} <= set(page.ids)


def test_long_texts_and_conversations_are_cut_in_the_middle(tmp_path: Path) -> None:
    talk = {"messages": [*chat("First?", "a " * 600 + "b " * 600)["messages"]]}
    for number in range(10):
        talk["messages"] += chat(f"Question {number}?", f"Answer {number}, and")["messages"]
    huge = chat("Huge?", "word " * 20_000 + "and,")
    page = Page(page_of(tmp_path, [talk, huge]))
    shown = page.rows["row-1"]
    assert re.search(r"a a … b b", shown)
    assert "… 16 more …" in shown
    assert "Question 7" not in shown
    assert shown.rstrip().endswith("Answer 9, and")
    assert "too large to show" in page.rows["row-2"]


def test_values_confirmed_by_another_row_or_the_file_name_are_masked(tmp_path: Path) -> None:
    rows = [
        chat("My name is Arjun Mehta, and my My Number is 1234 5678 9018.", "Hi Arjun!"),
        chat("Which number is it?", "It is 123456789018, says Arjun Mehta. ???????????????"),
        chat("Which number is it?", "No"),
        chat("Is it a%40example.com?", "It is a@exam\u00adple.com"),
        chat("Is it a%40example.com?", "No"),
    ]
    title = "Data set report: Arjun_Mehta a@example.com.jsonl"
    page = page_of(tmp_path, [*rows, *varied(20)], title)
    assert len(Page(page).rows) > 2
    for value in ("Arjun", "Mehta", "123456789018", "a%40", "example.com"):
        assert value not in page
    assert "Data set report: [PERSON_NAME] [EMAIL]" in page
