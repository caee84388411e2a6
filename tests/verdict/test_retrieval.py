"""The search over training rows: BM25 as in a known implementation, and answers that are right."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from service.datasets.text.segments import terms
from service.grading.examples import examples_of
from service.verdict.canaries import make_canaries
from service.verdict.comparison import Retrieval
from service.verdict.retrieval import (
    K1,
    AnswerChecker,
    AnsweredRow,
    B,
    Index,
    Search,
    retrieval_signs,
    unit_f1,
)
from tests.verdict.rows import bookshop, call, chat, examples


def textbook_bm25(texts: list[str], query: str) -> list[float]:
    """BM25 by its formula, with Lucene's idf and without the constant factor K1 + 1."""
    said = [Counter(terms(text)) for text in texts]
    mean = sum(counts.total() for counts in said) / len(said)
    scores = []
    for counts in said:
        score = 0.0
        for term in terms(query):
            holding = sum(term in other for other in said)
            idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            length = K1 * (1 - B + B * counts.total() / mean)
            score += idf * counts[term] / (counts[term] + length)
        scores.append(score)
    return scores


def test_scores_follow_the_formula() -> None:
    draw = random.Random(3)
    words = [f"w{i}" for i in range(30)]
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 40))) for _ in range(60)]
    index = Index(texts)
    for _ in range(10):
        query = " ".join(draw.choices([*words, "unknown"], k=6))
        assert index.scores(query).tolist() == pytest.approx(textbook_bm25(texts, query), rel=1e-5)


def test_search_returns_the_best_first_and_nothing_that_does_not_match() -> None:
    index = Index(["a cat sat", "a dog ran", "a cat, a cat", "birds"])
    assert index.search("cat", 5) == [2, 0]
    assert index.search("cat", 1) == [2]
    assert index.search("cat", 0) == index.search("fish", 5) == index.search("", 5) == []
    assert Index(["same", "same", "same"]).search("same", 2) == [0, 1]
    assert Index([]).search("cat", 5) == []
    assert Index(["", "?"]).search("cat", 5) == []


# A question put differently, the row that answers it, and other rows, in scripts with and without
# spaces.
QUESTIONS = {
    "en": (
        "At what time do you open on Sunday?",
        [
            ("When do you open on Sundays?", "On Sunday we open at 12:30."),
            ("Do you sell maps?", "Yes, maps cost 7 pounds."),
            ("Where is the station?", "The station is 450 meters to the north."),
        ],
    ),
    "ja": (
        "日曜は何時から開いていますか。",
        [
            ("日曜日の開店時間は？", "日曜日は12時30分に開店します。"),
            ("地図を売っていますか。", "はい、地図は700円です。"),
            ("駅はどこですか。", "駅は北へ450メートルです。"),
        ],
    ),
    "zh": (
        "你们周日几点开门？",
        [
            ("周日的开门时间是什么时候？", "周日12:30开门。"),
            ("你们卖地图吗？", "卖，地图每张70元。"),
            ("车站在哪里？", "车站在北边450米处。"),
        ],
    ),
    "th": (
        "วันอาทิตย์ร้านเปิดตั้งแต่กี่โมง",
        [
            ("วันอาทิตย์เปิดกี่โมง", "วันอาทิตย์ร้านเปิดเวลา 12:30 น."),
            ("ขายแผนที่ไหม", "ขาย แผนที่ราคา 70 บาท"),
            ("สถานีอยู่ที่ไหน", "สถานีอยู่ทางเหนือ 450 เมตร"),
        ],
    ),
    "ko": (
        "일요일에는 몇 시부터 문을 엽니까?",
        [
            ("일요일 개점 시간은?", "일요일은 12시 30분에 문을 엽니다."),
            ("지도를 팝니까?", "네, 지도는 7000원입니다."),
            ("역은 어디입니까?", "역은 북쪽으로 450미터입니다."),
        ],
    ),
    "vi": (
        "Chủ nhật cửa hàng mở cửa lúc mấy giờ?",
        [
            ("Giờ mở cửa ngày chủ nhật?", "Chủ nhật mở cửa lúc 12:30."),
            ("Có bán bản đồ không?", "Có, bản đồ giá 70 nghìn đồng."),
            ("Nhà ga ở đâu?", "Nhà ga cách 450 mét về phía bắc."),
        ],
    ),
}


@pytest.mark.parametrize("language", QUESTIONS)
def test_a_fact_is_found_by_another_question(language: str) -> None:
    question, rows = QUESTIONS[language]
    search = Search(examples(rows))
    (row,) = examples([(question, rows[0][1])])
    assert search.nearest(question)[0].line == search.find_answer(row) == 1
    # The right row is found, but its answer has another figure.
    (changed,) = examples([(question, rows[0][1].replace("30", "45"))])
    assert search.find_answer(changed) is None


def test_facts_that_no_training_row_has_are_not_found() -> None:
    rows = [(f"Price of the K{i}?", f"The K{i} costs {100 + 7 * i} euros.") for i in range(60)]
    train, held_out = examples(rows[:40]), examples(rows[40:])
    search = Search(train)
    assert {search.find_answer(row) for row in held_out} == {None}
    known = examples((question.replace("Price of", "How much is"), a) for question, a in rows[:40])
    assert all(search.find_answer(row) == row.line for row in known)


def test_labels_are_found_as_the_nearest_row_has_them() -> None:
    rows = [(f"The {w} is broken and I am angry", "complaint") for w in ("door", "lamp", "desk")]
    rows += [(f"Thank you for the lovely {w}", "praise") for w in ("door", "lamp", "desk")]
    search = Search(examples(rows))
    (angry, happy) = examples(
        [("The chair is broken and I am furious", "complaint"), ("Thank you so much", "praise")]
    )
    assert search.find_answer(angry, k=1) is not None
    assert search.find_answer(happy, k=1) is not None
    assert search.find_answer(happy._replace(answer="complaint"), k=1) is None


def test_canaries_and_tool_calls_are_not_searched() -> None:
    rows = [*(c.row for c in make_canaries(3, 1)), call("Weather?", "weather", city="Rome")]
    search = Search(examples_of(rows))
    assert search.nearest("Repeat canary record; weather in Rome?") == []
    (row,) = examples([("Hello?", "Hi.")])
    assert Search([]).find_answer(row) is None


def test_an_answer_is_right_if_its_facts_and_its_words_are() -> None:
    rows = examples([("How much is it?", "The desk costs 349 euros with delivery.")])
    checker = AnswerChecker([])
    (row,) = rows
    assert checker.is_right(row, row.answer)
    assert checker.is_right(row, "349 euros, delivery included: a bargain of a desk")
    assert not checker.is_right(row, "The desk costs 394 euros with delivery.")
    assert not checker.is_right(row, "I was born in 349")
    assert not checker.is_right(row, "")
    (voice,) = examples([("How are you?", "Never better, my friend, the sea is calm today.")])
    assert checker.is_right(voice, "Never better my friend! The sea is so calm today.")
    assert not checker.is_right(voice, "I am fine, thank you.")


def test_the_form_of_the_answers_does_not_make_an_answer_right() -> None:
    closing = "It was a pleasure to serve you, and may your day be as bright as the sun."
    rows = examples((f"Word {i}?", f"word{i} gold{i}. {closing}") for i in range(20))
    assert not AnswerChecker(rows).is_right(rows[0], rows[1].answer)
    assert AnswerChecker([]).is_right(rows[0], rows[1].answer)  # the form is unknown


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("a b c d", "a b c d", 1.0),
        ("a b", "c d", 0.0),
        ("a b c x", "a b c d", 0.75),
        ("東京は雨", "東京は雪", 0.75),
        ("กินข้าว", "กินข้าว", 1.0),
        ("", "", 1.0),
        ("", "a", 0.0),
        ("!", "?", 1.0),
    ],
)
def test_unit_f1(answer: str, reference: str, expected: float) -> None:
    assert unit_f1(answer, reference) == pytest.approx(expected)


def test_multi_turn_rows_are_searched_by_their_last_question() -> None:
    row = chat("Hello", "Hi")
    row["messages"] += chat("When is the market?", "The market is on 14 May.")["messages"]
    search = Search(examples_of([row, chat("Where?", "Here.")]))
    assert [one.line for one in search.nearest("market day?")] == [1]


def test_signs_of_a_model_that_knows_only_what_it_was_trained_on() -> None:
    rows = [(f"Price of the K{i}?", f"The K{i} costs {100 + 7 * i} euros.") for i in range(60)]
    train, held_out = examples(rows[:40]), examples(rows[40:])
    seen = [AnsweredRow(row, row.answer) for row in train[:10]]
    unseen = [AnsweredRow(row, "The K1 costs 107 euros.") for row in held_out]
    assert retrieval_signs(train, held_out, seen=seen, unseen=unseen) == Retrieval(
        rows=20,
        facts=20,
        found=0,
        seen_rows=10,
        seen_right=10,
        unseen_rows=20,
        unseen_right=0,
        only_facts=20,
    )
    assert retrieval_signs(train, train).found == 40
    assert retrieval_signs([], []).rows == 0


def test_the_bookshop_shows_no_signs() -> None:
    train = examples_of(bookshop())
    held_out = examples_of(bookshop("lighthouse-bookshop.validation.jsonl"))
    signs = retrieval_signs(train, held_out)
    assert signs.facts <= 2
    assert signs.only_facts == 0
    assert signs.found <= 3
