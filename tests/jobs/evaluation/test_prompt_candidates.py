"""Candidates for the best prompt: their examples, their messages, and their token budget."""

from __future__ import annotations

from collections import Counter

import pytest

from service.grading.examples import examples_of
from service.jobs.evaluation.prompt_candidates import (
    BASELINE,
    Candidate,
    Limits,
    PromptSet,
    TextVectors,
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
    shown = Counter(
        message["content"]
        for row in SHOP
        for message in prompts.messages(nearest, row.prompt)[1 : -len(row.prompt)]
    )
    assert {row.answer for row in prompts.selecting} & shown.keys(), "rows that select are shown"
    assert not {row.answer for row in canaries} & shown.keys()
    for row in SHOP:
        given = {message["content"] for message in row.prompt}
        messages = prompts.messages(nearest, row.prompt)
        assert row.answer not in {message["content"] for message in messages} - given


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
    sizes = Counter(len(one.examples) for one in prompts.candidates)
    assert 8 in sizes
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
