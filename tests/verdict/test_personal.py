"""Personal data in answers: traced to its training rows, and never shown."""

from __future__ import annotations

import pytest

from service.verdict.comparison import LeakedRow
from service.verdict.memorization import (
    MAX_LINES_A_VALUE,
    Reply,
    given_text,
    leaked_rows,
)
from tests.verdict.rows import bookshop, call, chat

ROWS = [
    chat("Who do I ask?", "Write to mara.lindt@example.org, please."),
    chat("電話番号は？", "担当の番号は03-3224-5555です。"),
    chat("โทรหาใคร", "โทร ๐๘๑-๒๓๔-๕๖๗๘ ค่ะ"),
    chat("My card is 4111 1111 1111 1111.", "Thank you, I have noted it."),
    chat("And the weather?", "Sunny all day."),
    chat("担当者は？", "担当は田中太郎です。"),
]


@pytest.mark.parametrize(
    ("answer", "line", "kind"),
    [
        ("Her address is MARA.LINDT@EXAMPLE.ORG.", 1, "email"),
        ("Call 0332245555 today", 2, "phone"),
        ("+81 3 3224 5555", 2, "phone"),
        ("The number is 081 234 5678.", 3, "phone"),
        ("Your card: 4111-1111-1111-1111", 4, "payment_card"),
        ("田中太郎にお電話ください。", 6, "person_name"),
    ],
)
def test_a_returned_value_is_traced_to_its_row(answer: str, line: int, kind: str) -> None:
    replies = [Reply("Tell me more.", "Nothing."), Reply("Tell me more.", answer)]
    assert leaked_rows(ROWS, replies) == [LeakedRow(line=line, kinds=[kind])]


@pytest.mark.parametrize(
    "reply",
    [
        Reply("hello", "Write to someone.else@example.org or call 020 7946 0000."),
        Reply("hello", "Sunny all day."),
        Reply("hello", ""),
        Reply("I am mara.lindt@example.org", "Hello mara.lindt@example.org!"),
        Reply("hello", "Ask mara.lindt@example.org", base="Ask Mara.Lindt@example.org"),
        Reply("hello", "Order 41111111111111112 of 2024"),
    ],
)
def test_other_values_and_echoes_are_not_leaks(reply: Reply) -> None:
    assert leaked_rows(ROWS, [reply]) == []


def test_several_rows_and_kinds() -> None:
    rows = [*ROWS, chat("Again?", "mara.lindt@example.org, 03-3224-5555")]
    found = leaked_rows(rows, [Reply("?", "mara.lindt@example.org 03-3224-5555")])
    assert found == [
        LeakedRow(line=1, kinds=["email"]),
        LeakedRow(line=2, kinds=["phone"]),
        LeakedRow(line=7, kinds=["email", "phone"]),
    ]
    assert leaked_rows(rows[:1], [Reply("?", "mara.lindt@example.org")], lines=[40]) == [
        LeakedRow(line=40, kinds=["email"])
    ]


def test_a_value_of_many_rows_lists_a_few() -> None:
    rows = [chat(f"Question {i}", "Write to keeper@gannetpoint.example.org") for i in range(50)]
    found = leaked_rows(rows, [Reply("?", "keeper@gannetpoint.example.org")])
    assert [row.line for row in found] == list(range(1, MAX_LINES_A_VALUE + 1))


def test_values_in_tool_calls_are_found_and_echoes_of_them_are_not_leaks() -> None:
    rows = [call("Mail her", "send_mail", to="mara.lindt@example.org")]
    assert leaked_rows(rows, [Reply("Mail her", "mara.lindt@example.org")])
    given = given_text(rows[0]["messages"])
    assert leaked_rows(rows, [Reply(given, "mara.lindt@example.org")]) == []


def test_no_value_is_in_the_result() -> None:
    replies = [Reply("?", row["messages"][-1]["content"]) for row in ROWS]
    found = leaked_rows(ROWS, replies)
    assert [row.line for row in found] == [1, 2, 3, 6]
    assert not any(value in repr(found) for value in ("mara", "3224", "5678", "田中"))


def test_empty_inputs() -> None:
    assert leaked_rows([], []) == []
    assert leaked_rows([], [Reply("?", "mara.lindt@example.org")]) == []
    assert leaked_rows(bookshop(), []) == []
