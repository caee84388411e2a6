"""Graders chosen for constructed data sets, and what they score on right and wrong answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.grading.check import check
from service.grading.default_graders import (
    dominant_language,
    graders_for,
    item_of,
    json_value,
    label_set,
    shape_of,
)
from service.grading.examples import Example, examples_of
from service.grading.grade import grade
from service.grading.model_graders import GraderTools, JudgeAnswer
from service.grading.results import Sample
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import JsonSchemaGrader, LanguageGrader
from tests.verdict.rows import bookshop, call, chat, examples

THAI = [
    "วันนี้ฝนจะตกในช่วงบ่าย อย่าลืมพกร่มออกจากบ้านด้วยนะคะ",
    "พรุ่งนี้อากาศแจ่มใส เหมาะกับการซักผ้าและตากผ้าค่ะ",
    "ร้านเปิดทุกวันตั้งแต่เก้าโมงเช้าจนถึงสองทุ่มค่ะ",
]
ORDERS = [
    chat(f"Order {i}", json.dumps({"item": f"tea {i}", "count": i, "gift": i % 2 == 0}))
    for i in range(12)
]
WEATHER = [call(f"Weather in {city}?", "weather", city=city) for city in ("Oslo", "Rome", "Lima")]


def names(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(grader.type, grader.name) for grader in graders_for(rows)]


def test_the_bookshop_is_text_in_english() -> None:
    assert names(bookshop()) == [("chrf", "chrf"), ("language", "language")]
    (_, language) = graders_for(bookshop())
    assert isinstance(language, LanguageGrader)
    assert language.reference == "en"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [chat(f"Review {i}", ["Good", "bad.", "good"][i % 3]) for i in range(12)],
            [("label", "label")],
        ),
        ([chat(f"Q{i}", ["はい", "いいえ"][i % 2]) for i in range(8)], [("label", "label")]),
        ([chat(f"Q{i}", ["1", "2", "3"][i % 3]) for i in range(9)], [("label", "label")]),
        # Too few of each, too long, or too many to be labels.
        ([chat(f"Q{i}", f"word {i}") for i in range(12)], [("chrf", "chrf")]),
        ([chat(f"Q{i}", "yes") for i in range(3)], [("chrf", "chrf")]),
        (ORDERS, [("tool_call", "json"), ("json_schema", "json_schema")]),
        (
            [chat(f"Q{i}", json.dumps([i, i + 1])) for i in range(12)],
            [("tool_call", "json"), ("json_schema", "json_schema")],
        ),
        (
            [chat(f"Q{i}", json.dumps({"mood": ("good", "bad")[i % 2]})) for i in range(12)],
            [("tool_call", "json"), ("json_schema", "json_schema")],
        ),
        ([chat(f"Q{i}", str(i)) for i in range(12)], [("chrf", "chrf")]),  # JSON, but only numbers
        (WEATHER * 4, [("tool_call", "tool_call")]),
        (WEATHER * 4 + ORDERS[:3], [("tool_call", "tool_call"), ("chrf", "chrf")]),
        (
            WEATHER + [chat(f"Q{i}", f"{THAI[i % 3]} {i}") for i in range(12)],
            [("chrf", "chrf"), ("tool_call", "tool_call"), ("language", "language")],
        ),
        (
            [chat(f"Q{i}", f"{THAI[i % 3]} {i}") for i in range(12)],
            [("chrf", "chrf"), ("language", "language")],
        ),
        (
            [chat(f"Q{i}", f"{(THAI[0], bookshop()[0]['messages'][1]['content'])[i % 2]} {i}")
             for i in range(12)],
            [("chrf", "chrf")],
        ),
        ([], [("chrf", "chrf")]),
        ([{"messages": [{"role": "user", "content": "Hi"}]}], [("chrf", "chrf")]),
    ],
)  # fmt: skip
def test_graders_follow_the_answers(
    rows: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    assert names(rows) == expected


def test_preference_and_labeled_rows() -> None:
    preference = [
        {
            "input": {"messages": [{"role": "user", "content": f"Q{i}"}]},
            "preferred_output": [{"role": "assistant", "content": ("yes", "no")[i % 2]}],
            "non_preferred_output": [{"role": "assistant", "content": f"a long answer {i}"}],
        }
        for i in range(8)
    ]
    assert names(preference) == [("label", "label")]
    judged = [chat(f"Q{i}", ("yes", "no")[i % 2]) | {"label": True} for i in range(8)]
    judged += [chat(f"Q{i}", f"a bad answer {i}") | {"label": False} for i in range(8)]
    assert names(judged) == [("label", "label")]
    assert len(examples_of(judged)) == 8


class NoJudge:
    """A judge that must not be needed."""

    async def __call__(self, *_: Any, **__: Any) -> JudgeAnswer:
        raise AssertionError("these graders need no judge")


@pytest.fixture
async def scores():
    """Grades an answer to a row with the graders of its data set: scores by name."""
    async with Sandbox() as sandbox:
        tools = GraderTools(judge=NoJudge(), sandbox=sandbox)

        async def grade_all(
            rows: list[dict[str, Any]], row: Example, sample: Sample
        ) -> dict[str, tuple[float, bool]]:
            found = {}
            for grader in graders_for(rows):
                check(grader)
                result = await grade(grader, item_of(row), sample, tools)
                assert result.errors == ()
                found[grader.name] = (round(result.score, 3), result.passed)
            return found

        yield grade_all


async def test_json_is_compared_by_its_fields(scores) -> None:
    (row, *_) = examples_of(ORDERS)

    async def of(text: str) -> dict[str, tuple[float, bool]]:
        return await scores(ORDERS, row, Sample.from_text(text))

    right = {"json": (1.0, True), "json_schema": (1.0, True)}
    assert await of(row.answer) == right
    assert await of(' { "gift":true,"count":0,\n"item":"tea 0"} ') == right
    assert await of('{"item": "tea 0", "count": 1, "gift": true}') == {
        "json": (0.75, False),
        "json_schema": (1.0, True),
    }
    assert await of('{"item": "tea 0", "count": "0", "gift": true}') == {
        "json": (0.75, False),
        "json_schema": (0.0, False),
    }
    assert (await of('{"item": "tea 0", "count": 0, "gift": true, "x": 1}'))["json_schema"][1] is (
        False
    )
    for text in ("", "no JSON", "[1]", '"tea"', "{" * 10_000, '{}, "x": {', "{{item.reference}}"):
        found = await of(text)
        assert found["json"][1] is False
        assert found["json_schema"] == (0.0, False)


async def test_json_arrays_are_compared_as_a_whole(scores) -> None:
    rows = [chat(f"Q{i}", json.dumps([i, i + 1])) for i in range(12)]
    (row, *_) = examples_of(rows)
    assert await scores(rows, row, Sample.from_text("[0,1]")) == {
        "json": (1.0, True),
        "json_schema": (1.0, True),
    }
    assert (await scores(rows, row, Sample.from_text("[1,0]")))["json"][1] is False
    assert (await scores(rows, row, Sample.from_text('["0", "1"]')))["json_schema"][1] is False


async def test_tool_calls_labels_and_texts_are_graded(scores) -> None:
    (row, *_) = examples_of(WEATHER)
    calls = list(row.tool_calls)
    assert await scores(WEATHER, row, Sample.from_text("", tool_calls=calls)) == {
        "tool_call": (1.0, True)
    }
    assert await scores(WEATHER, row, Sample.from_text("Sunny.")) == {"tool_call": (0.0, False)}

    labels = [chat(f"Review {i}", ("Good", "Bad")[i % 2]) for i in range(12)]
    (row, *_) = examples_of(labels)
    assert await scores(labels, row, Sample.from_text("good.")) == {"label": (1.0, True)}
    assert await scores(labels, row, Sample.from_text("Bad")) == {"label": (0.0, False)}

    thai = [chat(f"Q{i}", f"{THAI[i % 3]} {i}") for i in range(12)]
    (row, *_) = examples_of(thai)
    assert await scores(thai, row, Sample.from_text(row.answer)) == {
        "chrf": (1.0, True),
        "language": (1.0, True),
    }
    english = await scores(thai, row, Sample.from_text("It will rain in the afternoon."))
    assert english["language"] == (0.0, False)
    assert english["chrf"][0] < 0.1


async def test_texts_among_tool_calls_are_graded_too(scores) -> None:
    rows = WEATHER + [chat(f"Q{i}", f"{THAI[i % 3]} {i}") for i in range(12)]
    (row, *_) = examples_of(rows[3:])
    found = await scores(rows, row, Sample.from_text(row.answer))
    assert found["tool_call"] == found["chrf"] == (1.0, True)


def test_shapes() -> None:
    assert shape_of([]).kind == "text"
    assert shape_of(examples_of(ORDERS)).keys == ("item", "count", "gift")
    assert shape_of(examples_of(WEATHER)).tool_share == 1.0
    optional = examples(
        [(f"Q{i}", json.dumps({"a": 1} | ({"b": 2} if i % 2 else {}))) for i in range(10)]
    )
    assert shape_of(optional).keys == ("a",)
    (_, schema) = graders_for([chat(one.question, one.answer) for one in optional])
    assert isinstance(schema, JsonSchemaGrader)
    assert schema.schema_ == {
        "type": "object",
        "properties": {"a": {"type": ["number"]}},
        "required": ["a"],
    }


def test_label_sets() -> None:
    assert label_set(["A", "a.", "b", "b", "b", "A"]) == ("A", "b")
    assert label_set(["a"] * 6 + ["a\nb"]) == ()
    assert label_set(["a"] * 6 + [""]) == ()
    assert label_set(["a"] * 6 + ["x" * 61]) == ()
    assert label_set([]) == ()
    assert len(label_set([f"class {i % 100}" for i in range(400)])) == 100
    assert label_set([f"class {i % 200}" for i in range(800)]) == ()


@pytest.mark.parametrize("text", ["", "1", "null", '"x"', "{", "[1,", "[" * 5_000, "{} x"])
def test_texts_that_are_no_json_object(text: str) -> None:
    assert json_value(text) is None


def test_a_language_dominates_at_nine_in_ten() -> None:
    english = bookshop()[0]["messages"][1]["content"]
    assert dominant_language([english] * 9 + [THAI[0]]) == "en"
    assert dominant_language([english] * 8 + [THAI[0]] * 2) is None
    assert dominant_language([english] * 4 + ["?"] * 5) is None
    assert dominant_language([]) is None
