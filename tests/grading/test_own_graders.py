"""The graders that OpenAI does not have: json_schema, tool_call, language, label; and python."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.grading.labels import Counts, confusion_table, normalize_label
from service.grading.results import LabelPair, Sample
from service.grading.tool_call import find_written_calls
from tests.grading.similar_texts import DIFFERENT
from tests.grading.tools import graded

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "Ada", "age": 36}', 1.0),
        ('{"name": "ada"}', 0.0),
        ('{"age": 36}', 0.0),
        ('{"name": "Ada", "more": 1}', 0.0),
        ('{"name": "Ada"', 0.0),
        ("null", 0.0),
        ("", 0.0),
        ('Here: {"name": "Ada"}', 0.0),
        ("[" * 100_000, 0.0),
    ],
)
async def test_json_schema(text: str, expected: float) -> None:
    result = await graded({"type": "json_schema", "name": "j", "schema": SCHEMA}, {}, text)
    assert (result.score, result.errors) == (expected, ())


async def test_a_recursive_schema() -> None:
    tree = {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#"}]}}
    body = {"type": "json_schema", "name": "j", "schema": tree}
    assert (await graded(body, {}, "[1, [2, [3]]]")).score == 1.0
    assert (await graded(body, {}, '[1, [2, ["3"]]]')).score == 0.0


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$ref": "https://example.com/schema.json"}, "{}"),
        ({"$ref": "#/$defs/none"}, "{}"),
        ({"pattern": "["}, '"x"'),
    ],
)
async def test_schemas_that_cannot_be_applied_are_errors(schema: Any, text: str) -> None:
    result = await graded({"type": "json_schema", "name": "j", "schema": schema}, {}, text)
    assert [error.code for error in result.errors] == ["other_error"]
    assert "cannot be validated" in result.errors[0].message


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": "call_1", "type": "function", "function": function}


WEATHER = _call("weather", city="Oslo", days=3)


@pytest.mark.parametrize(
    ("given", "expected_call", "score"),
    [
        ([WEATHER], WEATHER, 1.0),
        ([WEATHER], {"name": "weather", "arguments": {"days": 3.0, "city": "Oslo"}}, 1.0),
        ([_call("weather", city="Oslo", days=4)], WEATHER, 2 / 3),
        ([_call("weather", city="Oslo")], WEATHER, 2 / 3),
        ([_call("weather", city="Oslo", days=3, unit="C")], WEATHER, 3 / 4),
        ([_call("weather", city="Oslo", days=True)], _call("weather", city="Oslo", days=1), 2 / 3),
        ([_call("time", city="Oslo", days=3)], WEATHER, 0.0),
        ([WEATHER, _call("time")], WEATHER, 0.5),
        ([WEATHER], [WEATHER, _call("time")], 0.5),
        ([_call("time"), WEATHER], [WEATHER, _call("time")], 1.0),
        ([_call("f", a=1), _call("f", a=2)], [_call("f", a=2), _call("f", a=1)], 1.0),
        ([], WEATHER, 0.0),
        ([], [], 1.0),
        ([WEATHER], [], 0.0),
        ([{"function": {"name": "f", "arguments": "{not JSON"}}], _call("f"), 1 / 2),
        ([_call("f", x={"a": [1, None]})], _call("f", x={"a": [1, None]}), 1.0),
        ([_call("f", x={"a": [1, 0]})], _call("f", x={"a": [1, False]}), 1 / 2),
    ],
)
async def test_tool_call(given: list[Any], expected_call: Any, score: float) -> None:
    body = {"type": "tool_call", "name": "t", "reference": "{{item.call}}"}
    result = await graded(body, {"call": expected_call}, Sample.from_text("", tool_calls=given))
    assert result.score == pytest.approx(score)
    assert result.passed == (score == 1)
    assert result.errors == ()


async def test_tool_calls_in_the_text_of_an_answer() -> None:
    body = {"type": "tool_call", "name": "t", "input": "{{sample.output_text}}", "reference": "[]"}
    assert (await graded(body, {}, "Sorry.")).score == 0.0
    body["reference"] = '{"name": "f"}'
    assert (await graded(body, {}, '{"name": "f", "arguments": {}}')).score == 1.0


async def test_a_reference_that_is_no_tool_call_is_an_error() -> None:
    body = {"type": "tool_call", "name": "t", "reference": "{{item.call}}"}
    result = await graded(
        body, {"call": "weather in Oslo"}, Sample.from_text("", tool_calls=[WEATHER])
    )
    assert [error.code for error in result.errors] == ["other_error"]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("店は毎日朝九時に開きます。", "ja", 1.0),
        ("店は毎日朝九時に開きます。", "zh", 0.0),
        ("我们每天早上九点开门。", "zh", 1.0),
        ("我们每天早上九点开门。", "zh-CN", 1.0),
        ("我们每天早上九点开门。", "zh-TW", 0.0),
        ("我們每天早上九點開門。", "zh_Hant", 1.0),
        ("ร้านเปิดทุกวันเวลาเก้าโมงเช้า", "th-TH", 1.0),
        ("The shop opens at nine every morning.", "en-US", 1.0),
        ("The shop opens at nine every morning.", "th", 0.0),
        ("Butikken åpner klokken ni hver morgen, også på søndager.", "no", 1.0),
        ("Kedai ini dibuka pada pukul sembilan setiap pagi.", "id", 1.0),
        ("OK", "ja", 1.0),  # too short to be wrong
        ("42", "ja", 1.0),
        ("  ", "ja", 0.0),
    ],
)
async def test_language(text: str, language: str, expected: float) -> None:
    body = {"type": "language", "name": "l", "reference": "{{item.language}}"}
    result = await graded(body, {"language": language}, text)
    assert (result.score, result.errors) == (expected, ())


async def test_a_reference_that_is_no_language_is_an_error() -> None:
    body = {"type": "language", "name": "l", "reference": "{{item.language}}"}
    result = await graded(body, {"language": "Japanese language"}, "店は")
    assert "BCP 47" in result.errors[0].message


@pytest.mark.parametrize(
    ("answer", "reference", "given"),
    [
        ("Spam", "spam", "spam"),
        ("  **SPAM**.\n", "spam", "spam"),
        ('"spam"', "Spam", "spam"),
        ("「迷惑」", "迷惑", "迷惑"),
        ("**“ (Spam)!”**", "spam", "spam"),
        ("spam'", "spam", "spam"),
        ("not spam", "spam", None),
        ("It is spam", "spam", None),
        ("C#", "C#", "C#"),
        ("c++", "C#", "C++"),
        ("", "spam", None),
    ],
)
async def test_label(answer: str, reference: str, given: str | None) -> None:
    body = {
        "type": "label",
        "name": "l",
        "reference": "{{item.label}}",
        "labels": ["spam", "ham", "迷惑", "C#", "C++"],
    }
    result = await graded(body, {"label": reference}, answer)
    assert result.labels is not None
    assert result.labels.given == given
    assert result.score == float(given == result.labels.expected)


async def test_labels_that_say_something_else_differ() -> None:
    pairs = [("<5", ">5"), (".5", "5"), ("A*", "A"), ("10²", "102"), *DIFFERENT]
    assert [pair for pair in pairs if len(set(map(normalize_label, pair))) == 1] == []


async def test_labels_without_a_list_are_what_they_are() -> None:
    body = {"type": "label", "name": "l", "reference": "{{item.label}}"}
    result = await graded(body, {"label": "Ham"}, "ham!")
    assert (result.score, result.labels) == (1.0, LabelPair("ham", "ham"))


async def test_a_reference_outside_of_the_labels_is_an_error() -> None:
    body = {"type": "label", "name": "l", "reference": "{{item.label}}", "labels": ["a", "b"]}
    result = await graded(body, {"label": "c"}, "a")
    assert [error.code for error in result.errors] == ["other_error"]


def test_confusion_table() -> None:
    # Cohen's example in "A coefficient of agreement", as on Wikipedia: kappa is 0.4.
    table = confusion_table({"yes": {"yes": 20, "no": 5}, "no": {"yes": 10, "no": 15}})
    assert table.labels == ("no", "yes")
    assert table.counts == {"yes": {"no": 5, "yes": 20}, "no": {"no": 15, "yes": 10}}
    assert (table.n, table.accuracy) == (50, 0.7)
    assert table.kappa == pytest.approx(0.4)


def test_a_confusion_table_counts_other_answers() -> None:
    table = confusion_table({"a": {"(other)": 1, "a": 1}, "b": {"a": 1}})
    assert table.counts["a"] == {"a": 1, "b": 0, "(other)": 1}
    assert table.accuracy == pytest.approx(1 / 3)


@pytest.mark.parametrize("counts", [{}, {"a": {"a": 1}}])
def test_the_agreement_beyond_chance_may_be_undefined(counts: Counts) -> None:
    assert confusion_table(counts).kappa is None


async def test_python() -> None:
    source = (
        "def grade(sample, item):\n"
        "    assert sample['choices'][0]['message']['content'] == sample['output_text']\n"
        "    return sample['output_json']['n'] / item['n']\n"
    )
    body = {"type": "python", "name": "p", "source": source, "pass_threshold": 0.4}
    assert (await graded(body, {"n": 4}, '{"n": 2}')).score == 0.5
    result = await graded(body, {"n": 4}, "no JSON")
    assert [error.code for error in result.errors] == ["python_grader_runtime_error"]
    assert "TypeError" in result.errors[0].message


async def test_python_without_a_sample() -> None:
    source = "def grade(sample, item):\n    return item['n'] + len(sample)"
    assert (await graded({"type": "python", "name": "p", "source": source}, {"n": 4})).score == 4.0


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }


WRITTEN = call("weather", city="Oslo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Hermes, Qwen
        ('<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
         [WRITTEN]),
        ('Sure.<tool_call>{"name": "a", "arguments": {}}</tool_call><tool_call>'
         '{"arguments": {"x": [1, {"y": 2}]}, "name": "b"}</tool_call>',
         [call("a"), call("b", x=[1, {"y": 2}])]),
        # Llama
        ('<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}', [WRITTEN]),
        # Mistral, Granite, Phi
        ('[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}]', [WRITTEN]),
        ('[{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}]', [WRITTEN]),
        (json.dumps([{"id": "c", **WRITTEN}]), [WRITTEN]),
        ('{"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}', [WRITTEN]),
        ('{"name": "weather", "arguments": {"city": "東京"}}', [call("weather", city="東京")]),
        # No calls
        ("", []),
        ("It is cold in Oslo.", []),
        ('{"name": "Ada", "age": 36}', []),
        ('<tool_call>{"name": "weather", "arguments": {"city": "Os', []),
        ('{"name": "weather", "arguments": "Oslo"}', []),
        ("[" * 50_000, []),
    ],
)  # fmt: skip
def test_written_calls(text: str, expected: list[dict[str, Any]]) -> None:
    assert find_written_calls(text) == expected


def test_few_of_many_brackets_are_tried() -> None:
    written = '{"name": "a", "arguments": {}}'
    assert find_written_calls("{" * 900 + written) == [call("a")]
    assert find_written_calls("{" * 1000 + written) == []


def test_the_number_of_calls_is_limited() -> None:
    assert len(find_written_calls('{"name": "a", "arguments": {}}' * 1000)) == 64
