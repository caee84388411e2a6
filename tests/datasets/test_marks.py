"""Tests of marks: where personal data is in a row, and how a row is masked by them."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets.personal_data.detect import Found
from service.datasets.personal_data.known_values import KnownValues
from service.datasets.personal_data.marks import Mark, mask_row
from service.datasets.personal_data.redact import find_marks

EMAIL = "ann@example.com"
CALL = {"id": "call_1", "type": "function"}


@pytest.fixture(scope="module")
def known() -> KnownValues:
    known = KnownValues()
    known.learn(Found("email", 0, len(EMAIL)), EMAIL, "en")
    known.learn(Found("phone", 0, 12), "03-1234-5678", "ja")
    return known


def chat(content: str, **fields: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}], **fields}


@pytest.mark.parametrize(
    ("row", "marks", "masked"),
    [
        (
            chat(f"😀 {EMAIL}, {EMAIL}"),
            [("/messages/0/content", 2, 17), ("/messages/0/content", 19, 34)],
            chat("😀 [EMAIL], [EMAIL]"),
        ),
        ({"text": EMAIL}, [("/text", 0, 15)], {"text": "[EMAIL]"}),
        (
            chat("Hi", item={"a/b~c": [1, EMAIL]}),
            [("/item/a~1b~0c/1", 0, 15)],
            chat("Hi", item={"a/b~c": [1, "[EMAIL]"]}),
        ),
        (
            chat("Hi", item={"phone": 312345678}),
            [("/item/phone", 0, 0)],
            chat("Hi", item={"phone": "[PHONE]"}),
        ),
        (
            chat("Hi", item={"a": {EMAIL: 1}}),
            [("/item/a", 0, 0)],
            chat("Hi", item={"a": "[EMAIL]"}),
        ),
        (chat("No one is named here."), [], chat("No one is named here.")),
    ],
)
def test_places_of_personal_data(known, row, marks, masked):
    found = find_marks(row, known)
    assert [(mark.pointer, mark.start, mark.end) for mark in found] == marks
    assert mask_row(copy.deepcopy(row), found).row == masked


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        ('{"to": "ann@example.com"}', '{"to": "[EMAIL]"}'),
        ('{"to":"ann@example.com","n":[312345678]}', '{"to":"[EMAIL]","n":[[PHONE]]}'),
        ('{"ann@example.com":  true}', '{"[EMAIL]":  true}'),
        ('{"to": "ann\\u0040example.com"}', "[EMAIL]"),
        # The number is also the start of another, which must not count for the hidden address.
        ('{"n": "03-1234-5678", "x": "03-1234-567899", "to": "ann\\u0040example.com"}', "[PHONE]"),
    ],
)
def test_arguments_of_a_call_are_masked_however_they_are_written(known, written, masked):
    call = {**CALL, "function": {"name": "send", "arguments": written}}
    row = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    found = mask_row(copy.deepcopy(row), find_marks(row, known)).row
    assert found["messages"][0]["tool_calls"][0]["function"]["arguments"] == masked


@pytest.mark.parametrize("key", ["k", "k" * 20_000])
def test_the_marks_of_a_row_are_not_much_larger_than_the_row(known, key):
    row = chat(EMAIL, item={key: " ".join([EMAIL] * 8_000)})
    marks = find_marks(row, known)
    assert sum(len(mark.pointer) for mark in marks) < 2**18
    masked = mask_row(copy.deepcopy(row), marks).row
    assert masked == {"messages": "[EMAIL]", "item": "[EMAIL]"}
    assert mask_row({"text": EMAIL}, [Mark("/text", 0, 0, "email")]).row == {"text": "[EMAIL]"}


@given(
    st.lists(st.sampled_from([EMAIL, "03-1234-5678", " and ", "日本 ", "🙂", "é, "]), max_size=8)
)
def test_labels_are_marked_and_nothing_else_changes(known, parts):
    row = {"text": " ".join(parts)}
    marks = find_marks(row, known)
    masked, labels = mask_row(dict(row), marks)
    assert EMAIL not in masked["text"]
    assert [masked["text"][one.start : one.end] for one in labels] == [
        f"[{mark.kind.upper()}]" for mark in marks
    ]
    restored = masked["text"]
    for mark, label in reversed(list(zip(marks, labels, strict=True))):
        value = row["text"][mark.start : mark.end]
        restored = restored[: label.start] + value + restored[label.end :]
    assert restored == row["text"]
