"""Candidates for the best prompt: instructions, examples, messages, and the token budget."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.grading.examples import Example, examples_of, spread
from service.jobs.evaluation.prompt_candidates import (
    BASELINE,
    Candidate,
    Limits,
    PromptSet,
    TextVectors,
    common_closing,
    common_opening,
    instruction_for,
)
from service.verdict.canaries import make_canaries
from tests.verdict.rows import bookshop, call, chat, examples

SHOP = examples_of(bookshop())


def count_words(text: str) -> int:
    return len(text.split())


WIDE = Limits(context_tokens=100_000, prompt_tokens=100, answer_tokens=100, count=count_words)


def named(prompts: PromptSet, name: str) -> Candidate:
    return next(one for one in prompts.candidates if one.name == name)


def test_the_candidates_of_the_bookshop() -> None:
    prompts = PromptSet(SHOP, WIDE)
    assert [one.name for one in prompts.candidates] == [
        "instruction",
        "instruction + 2 examples",
        "2 examples",
        "instruction + 4 examples",
        "4 examples",
        "instruction + 8 examples",
        "8 examples",
        "instruction + 4 nearest examples",
        "instruction + 8 nearest examples",
    ]
    for one in prompts.candidates:
        assert len(one.examples) == len(set(one.lines)) in (0, 2, 4, 8)
        assert all(SHOP[line - 1].line == line for line in one.lines)
    again = PromptSet(SHOP, WIDE)
    assert again.candidates == prompts.candidates


def test_messages_of_a_candidate() -> None:
    prompts = PromptSet(SHOP, WIDE)
    candidate = named(prompts, "instruction + 2 examples")
    asked = [{"role": "user", "content": "Do you sell maps?"}]
    messages = prompts.messages(candidate, asked)
    assert messages[0] == {"role": "system", "content": candidate.instruction}
    assert messages[-1:] == asked
    first = candidate.examples[0]
    assert messages[1]["content"] == first.prompt[0]["content"]
    assert {"role": "assistant", "content": first.answer} in messages
    roles = [message["role"] for message in messages[1:]]
    assert roles == ["user", "assistant"] * ((len(roles) - 1) // 2) + ["user"]
    assert prompts.messages(named(prompts, "2 examples"), asked)[0]["role"] == "user"


def test_nearest_examples_follow_the_question_and_never_give_it_away() -> None:
    prompts = PromptSet(SHOP, WIDE)
    candidate = named(prompts, "instruction + 4 nearest examples")
    row = next(one for one in SHOP if one.question == "Are you open on Mondays?")
    messages = prompts.messages(candidate, row.prompt)
    shown = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(shown) >= 4
    assert row.answer not in shown
    closest = messages[-3]["content"]
    assert any(word in closest.lower() for word in ("open", "monday")), closest
    other = prompts.messages(candidate, [{"role": "user", "content": "do u sell gift cards??"}])
    assert other[1:-1] != messages[1:-1]


def test_rows_select_or_are_always_shown_and_all_may_be_nearest() -> None:
    canaries = examples_of([c.row for c in make_canaries(100, 1)], range(1000, 1100))
    prompts = PromptSet([*SHOP, *canaries], WIDE)
    always = {line for candidate in prompts.candidates for line in candidate.lines}
    selecting = {row.line for row in prompts.selecting}
    assert always.isdisjoint(selecting)
    assert always | selecting == {row.line for row in SHOP}
    assert len(always) <= 14
    nearest = named(prompts, "instruction + 8 nearest examples")
    shown = set[str]()
    for row in SHOP[::3]:
        messages = prompts.messages(nearest, row.prompt)[1 : -len(row.prompt)]
        texts = {message["content"] for message in messages}
        assert row.answer not in texts
        shown |= texts
    assert {row.answer for row in prompts.selecting} & shown, "rows that select are shown"
    assert not {row.answer for row in canaries} & shown


def test_a_few_rows_are_not_used_up_by_examples() -> None:
    rows = examples([(f"Question {i} of {i * i}?", f"The answer to {i} it is.") for i in range(20)])
    prompts = PromptSet(rows, WIDE)
    assert {len(one.examples) for one in prompts.candidates} == {0, 2, 4}
    assert {one.nearest for one in prompts.candidates} == {0, 4, 8}
    assert len(prompts.selecting) >= 14


def test_the_users_own_prompt_is_a_candidate() -> None:
    rows = [chat(f"Question {i}?", f"Answer {i} it is.", "Be brief.") for i in range(40)]
    prompts = PromptSet(examples_of(rows), WIDE, baseline="Mine.")
    own = [one for one in prompts.candidates if one.is_baseline]
    assert [(one.name, one.nearest) for one in own] == [
        (BASELINE, 0),
        (f"{BASELINE} + 4 nearest examples", 4),
        (f"{BASELINE} + 8 nearest examples", 8),
    ]
    asked = {"role": "user", "content": "Now?"}
    for candidate in own:
        for system in ([], [{"role": "system", "content": "Be brief."}]):
            first = prompts.messages(candidate, [*system, asked])[0]
            assert first == {"role": "system", "content": "Mine."}
    special = prompts.messages(own[0], [{"role": "system", "content": "For Ann."}, asked])[0]
    assert special == {"role": "system", "content": "For Ann.\n\nMine."}


def test_a_small_budget_gets_fewer_and_shorter_examples() -> None:
    long = [(f"Long {i}?", "word " * 300) for i in range(20)]
    short = [(f"Short {i}?", f"word {i}") for i in range(32)]
    rows = examples(long + short)
    limits = Limits(context_tokens=400, prompt_tokens=50, answer_tokens=100, count=count_words)
    prompts = PromptSet(rows, limits)
    assert 8 in {len(one.examples) for one in prompts.candidates}
    for one in prompts.candidates:
        assert prompts.tokens(one) <= limits.spare_tokens
        for row in rows[:3]:
            messages = prompts.messages(one, row.prompt)
            assert sum(count_words(m["content"]) + 5 for m in messages) <= 400 - 100
    tiny = Limits(context_tokens=150, prompt_tokens=50, answer_tokens=100, count=count_words)
    assert all(not one.lines for one in PromptSet(rows, tiny).candidates)
    negative = Limits(context_tokens=10, prompt_tokens=50, answer_tokens=100, count=count_words)
    assert all(not one.lines and not one.nearest for one in PromptSet(rows, negative).candidates)


def test_the_usual_system_prompt_and_the_rows_own() -> None:
    rows = [chat(f"Question {i}?", f"Answer {i} it is.", "Be brief.") for i in range(9)]
    rows += [chat(f"Question {i}?", f"Answer {i} it is.", f"Other {i}.") for i in range(9, 12)]
    prompts = PromptSet(examples_of(rows), WIDE)
    candidate = named(prompts, "2 examples")
    plain = prompts.messages(candidate, [{"role": "user", "content": "Now?"}])
    assert plain[0] == {"role": "system", "content": "Be brief."}
    asked = [{"role": "system", "content": "Shout."}, {"role": "user", "content": "Now?"}]
    own = prompts.messages(candidate, asked)
    assert own[0] == {"role": "system", "content": "Shout."}
    assert [message["role"] for message in own].count("system") == 1


def test_rare_system_prompts_are_left_to_their_rows() -> None:
    rows = [chat(f"Q{i}?", f"A fine answer {i}.", "Be brief." if i < 3 else "") for i in range(9)]
    prompts = PromptSet(examples_of(rows), WIDE)
    assert prompts.messages(named(prompts, "2 examples"), [])[0]["role"] == "user"


def test_a_template_without_a_system_role() -> None:
    prompts = PromptSet(SHOP, WIDE, has_system_role=False)
    asked = [{"role": "user", "content": "Hello?"}]
    instruction = named(prompts, "instruction")
    (message,) = prompts.messages(instruction, asked)
    assert message == {"role": "user", "content": f"{instruction.instruction}\n\nHello?"}
    shown = prompts.messages(named(prompts, "instruction + 2 examples"), asked)
    assert shown[0]["content"].startswith(instruction.instruction)
    assert shown[-1] == asked[0]
    assert asked == [{"role": "user", "content": "Hello?"}]
    assert prompts.messages(instruction, [])[0]["role"] == "user"


def test_examples_with_tools_are_text() -> None:
    rows = [call(f"Weather in {city}?", "weather", city=city) for city in ("Oslo", "Rome", "Lima")]
    rows += [call(f"Time in {city}?", "clock", city=city) for city in ("Oslo", "Rome", "Lima")]
    prompts = PromptSet(examples_of(rows), WIDE)
    candidate = named(prompts, "instruction + 4 nearest examples")
    messages = prompts.messages(candidate, [{"role": "user", "content": "Weather in Bern?"}])
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[0]["content"].count("Example question: ") == 4
    assert '"name": "weather"' in messages[0]["content"]


@pytest.mark.parametrize("rows", [[], [chat("Hi", "Hello")]])
def test_hardly_any_rows(rows: list[dict[str, object]]) -> None:
    prompts = PromptSet(examples_of(rows), WIDE)
    assert prompts.candidates == []


# Three topics with many rows each, and a single odd one out.
TOPICS = {
    "en": ["When is the {} train to the coast?", "How do I cook {} with rice?", "Is {} tax due?"],
    "ja": ["{}の電車はいつ出発しますか。", "{}の料理方法を教えてください。", "{}の税金の期限は？"],
    "th": ["รถไฟสาย{}ออกเมื่อไร", "ทำอาหารจาก{}อย่างไร", "ภาษี{}ต้องจ่ายวันไหน"],
    "zh": ["{}的火车几点出发？", "怎样用{}做菜？", "{}的税什么时候交？"],
}


@pytest.mark.parametrize("language", TOPICS)
def test_diverse_examples_cover_every_topic(language: str) -> None:
    texts = [topic.format(i) for topic in TOPICS[language] for i in range(20)]
    for seed in range(5):
        chosen = TextVectors(texts).diverse(3, seed)
        assert {place // 20 for place in chosen} == {0, 1, 2}


@pytest.mark.parametrize("language", TOPICS)
def test_the_nearest_example_is_of_the_same_topic(language: str) -> None:
    texts = [topic.format(i) for topic in TOPICS[language] for i in range(20)]
    vectors = TextVectors(texts)
    for number, topic in enumerate(TOPICS[language]):
        assert {place // 20 for place in vectors.nearest(topic.format(99), 5)} == {number}


def test_vectors_of_unusual_texts() -> None:
    assert TextVectors([]).nearest("x", 3) == []
    assert TextVectors([]).diverse(3, 0) == []
    same = TextVectors(["same"] * 5)
    assert len(set(same.diverse(3, 0))) == 3
    assert TextVectors(["a", "b"]).diverse(9, 0) == [0, 1]
    odd = TextVectors(["", "?", "\ud800", "x" * 100_000, "日"])
    assert len(odd.nearest("", 5)) == 5
    assert len(set(odd.diverse(4, 1))) == 4


def test_the_instruction_of_the_bookshop() -> None:
    assert instruction_for(examples_of(bookshop())) == (
        "Answer in English. Write 26 to 34 words. Begin the answer with “Ahoy, reader!”. "
        "End the answer with “Fair winds, the Keeper.”. Answer in one paragraph."
    )


def test_an_instruction_lists_a_few_labels() -> None:
    rows = examples([(f"Review {i}", ("good", "bad", "so so")[i % 3]) for i in range(12)])
    assert instruction_for(rows) == (
        "Answer with exactly one of these labels and nothing else: bad; good; so so."
    )
    many = examples([(f"Item {i}", f"class {i % 60}") for i in range(400)])
    assert "class" not in instruction_for(many)


def test_an_instruction_asks_for_json() -> None:
    objects = examples([(f"Q{i}", json.dumps({"name": f"n{i}", "age": i})) for i in range(9)])
    assert instruction_for(objects) == (
        'Answer with one JSON object with the keys "name", "age" and nothing else.'
    )
    arrays = examples([(f"Q{i}", json.dumps([i, str(i)])) for i in range(9)])
    assert instruction_for(arrays) == "Answer with a JSON array and nothing else."


def test_an_instruction_asks_for_tool_calls() -> None:
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


@pytest.mark.parametrize(
    ("answer", "is_one"), [("A fine answer, {}.", True), ("Two\nlines {}.", False)]
)
def test_answers_of_one_paragraph(answer: str, is_one: bool) -> None:
    rows = examples((f"Q{i}", answer.format(i)) for i in range(9))
    assert ("Answer in one paragraph." in instruction_for(rows)) is is_one


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
