"""Instructions derived from answers: language, length, labels, keys, openings, and closings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.grading.examples import Example, examples_of, spread
from service.jobs.evaluation.prompt_candidates import (
    common_closing,
    common_opening,
    instruction_for,
)
from tests.verdict.rows import bookshop, call, chat, examples


def test_the_bookshop() -> None:
    assert instruction_for(examples_of(bookshop())) == (
        "Answer in English. Write 26 to 34 words. Begin the answer with “Ahoy, reader!”. "
        "End the answer with “Fair winds, the Keeper.”. Answer in one paragraph."
    )


def test_labels() -> None:
    rows = examples([(f"Review {i}", ("good", "bad", "so so")[i % 3]) for i in range(12)])
    assert instruction_for(rows) == (
        "Answer with exactly one of these labels and nothing else: bad; good; so so."
    )
    many = examples([(f"Item {i}", f"class {i % 60}") for i in range(400)])
    assert "class" not in instruction_for(many)


def test_json() -> None:
    objects = examples([(f"Q{i}", json.dumps({"name": f"n{i}", "age": i})) for i in range(9)])
    assert instruction_for(objects) == (
        'Answer with one JSON object with the keys "name", "age" and nothing else.'
    )
    arrays = examples([(f"Q{i}", json.dumps([i, str(i)])) for i in range(9)])
    assert instruction_for(arrays) == "Answer with a JSON array and nothing else."


def test_tool_calls() -> None:
    rows = [call(f"Weather in {i}?", "weather", city=str(i)) for i in range(9)]
    assert instruction_for(examples_of(rows)) == "Answer with tool calls."


@pytest.mark.parametrize(
    ("language", "name", "length", "answers"),
    [
        (
            "ja",
            "Japanese",
            "characters",
            ["今日は雨が降るので傘を持ってください。", "明日は晴れるので洗濯をしましょう。"],
        ),
        (
            "th",
            "Thai",
            "characters",
            ["วันนี้ฝนจะตกโปรดพกร่มไปด้วยนะคะ", "พรุ่งนี้อากาศแจ่มใสเหมาะกับการซักผ้า"],
        ),
        (
            "ko",
            "Korean",
            "words",
            ["오늘은 비가 오니 우산을 챙기세요.", "내일은 맑으니 빨래를 하기 좋습니다."],
        ),
        (
            "vi",
            "Vietnamese",
            "words",
            ["Hôm nay trời mưa, hãy mang theo ô nhé.", "Ngày mai trời nắng, rất hợp để giặt đồ."],
        ),
    ],
)
def test_languages_and_lengths(language: str, name: str, length: str, answers: list[str]) -> None:
    rows = examples((f"Q{i}", f"{answers[i % 2]} {i}") for i in range(10))
    found = instruction_for(rows)
    assert found.startswith(f"Answer in {name}. Write "), language
    assert length in found


def test_answers_in_the_language_of_the_question() -> None:
    pairs = [
        ("What is the weather like today?", "It will rain in the afternoon, so take a coat."),
        ("今日の天気はどうですか。", "午後から雨が降るので傘を持ってください。"),
        ("วันนี้อากาศเป็นอย่างไร", "ช่วงบ่ายฝนจะตก อย่าลืมพกร่มนะคะ"),
    ]
    rows = examples((q, f"{a} {i}.") for i, (q, a) in enumerate(pairs * 4))
    assert "Answer in the language of the question." in instruction_for(rows)


def test_nothing_is_said_of_too_few_answers() -> None:
    assert instruction_for([]) == ""
    assert instruction_for(examples([("Q", "A fine answer")])) == ""


@pytest.mark.parametrize(
    ("answers", "opening", "closing"),
    [
        (["Dear sir, one. Yours, A.", "Dear sir, two. Yours, A."], "Dear sir,", "Yours, A."),
        (["The cat sat", "The cow ran"], "", ""),  # not “The c”
        (["Thank you, cat", "Thank you, cow"], "Thank you,", ""),
        (
            ["はい、承知しました。雨です。", "はい、承知しました。雪です。"],
            "はい、承知しました。",
            "",
        ),
        (["雨です。ご確認ください。", "雪が降る。ご確認ください。"], "", "ご確認ください。"),
        (["สวัสดีค่ะ มา", "สวัสดีค่ะ ไป"], "สวัสดีค่ะ", ""),
        (["Same text here.", "Same text here."], "Same text here.", "Same text here."),
        (["x", ""], "", ""),
        ([], "", ""),
    ],
)
def test_common_edges(answers: list[str], opening: str, closing: str) -> None:
    assert common_opening(answers) == opening
    assert common_closing(answers) == closing


def test_an_opening_of_most_answers_is_enough() -> None:
    answers = [f"Good day to you, guest {i}" for i in range(7)] + ["No.", "Yes.", "Maybe."]
    assert common_opening(answers) == "Good day to you, guest"
    assert common_opening(answers[4:]) == ""


def test_a_mark_is_never_cut_from_its_letter() -> None:
    assert common_opening(["กกกกกกน้ำ", "กกกกกกน่าน"]) == "กกกกกก"
    assert common_closing(["กิ้งก่ากกกกก", "ก้งก่ากกกกก"]) == "ก่ากกกกก"


def test_spread_keeps_the_order() -> None:
    rows = examples((f"Q{i}", "A") for i in range(10))
    assert [row.line for row in spread(rows, 4)] == [1, 3, 6, 8]
    assert spread(rows, 10) == rows
    assert list(spread(rows, 0)) == []


@settings(deadline=None)
@given(st.lists(st.text(), max_size=12))
def test_any_answers_give_an_instruction(answers: list[str]) -> None:
    rows = [Example(i, ({"role": "user", "content": "?"},), text) for i, text in enumerate(answers)]
    assert isinstance(instruction_for(rows), str)


def test_canonical_chat_rows_with_a_system_prompt() -> None:
    rows = [chat(f"Q{i}", f"A fine answer number {i}", "Be kind.") for i in range(6)]
    assert examples_of(rows)[0].system == "Be kind."
    assert "Write about 5 words." in instruction_for(examples_of(rows))
