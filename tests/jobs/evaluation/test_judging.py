"""The judge of text answers: what it scores, and how it is calibrated before it may decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from service.grading.examples import examples_of
from service.grading.model_graders import JudgeAnswer, JudgeFailed
from service.jobs.evaluation.scoring import AnswerJudge, Calibration, Pair


def chat(question: str, answer: str, **more: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **more}


def preference(i: int) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": f"Question {i}?"}]},
        "preferred_output": [{"role": "assistant", "content": f"A good answer {i}."}],
        "non_preferred_output": [{"role": "assistant", "content": f"A bad answer {i}."}],
    }


class Asked:
    """A judge that is a function of the question and two answers, and counts what it is asked."""

    def __init__(self, choose: Callable[[str, str, str], str]) -> None:
        self._choose = choose
        self.count = 0

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        self.count += 1
        result = self._choose(*messages[-1]["content"].split("\n\n")[:3])
        if result == "broken":
            raise JudgeFailed("model_grader_parse_error", "No JSON.")
        return JudgeAnswer(f'{{"result": "{result}"}}', model, 10)


def with_word(word: str) -> Callable[[str, str, str], str]:
    return lambda _, first, second: (
        "tie" if (word in first) == (word in second) else "1" if word in first else "2"
    )


class TestScores:
    row: ClassVar = examples_of([chat("Why?", "Because it is so.")])[0]

    @pytest.mark.parametrize(
        ("choose", "answer", "score", "asked"),
        [
            (with_word("fine"), "A fine reason.", 1.0, 2),
            (with_word("Because"), "A fine reason.", 0.0, 2),
            (with_word("?"), "A fine reason.", 0.5, 2),
            (lambda *_: "1", "A fine reason.", 0.5, 2),  # the first one, whichever it is
            (lambda *_: "broken", "A fine reason.", None, 1),
            (lambda *_: "2", "Because it is so. ", 0.5, 0),
            (lambda *_: "2", " ", 0.0, 0),
        ],
    )
    async def test_both_orders_decide(self, choose, answer, score, asked):
        model = Asked(choose)
        judge = AnswerJudge(model, "m")
        assert await judge.score(self.row, answer) == score
        assert await judge.score(self.row, answer) == score
        assert model.count == asked, "an answer is judged once"
        assert judge.unusable == (score is None)


class TestCalibration:
    chats: ClassVar = [chat(f"Question {i:02}?", f"Answer {i:02}.") for i in range(60)]
    preferences: ClassVar = [preference(i) for i in range(60)]
    labels: ClassVar = [
        chat(f"Question {i}?", f"A {'good' if label else 'bad'} answer {i}.", label=label)
        for i in range(20)
        for label in (True, False)
    ]

    @pytest.mark.parametrize(
        ("rows", "choose", "found"),
        [
            (preferences, with_word("good"), (50, 50, True)),
            (preferences, with_word("bad"), (0, 50, True)),
            (preferences, lambda *_: "1", (25, 50, True)),
            (preferences, lambda *_: "broken", (0, 50, True)),
            (labels, with_word("good"), (20, 20, True)),
            # Rows without a judgment: an answer to the question, and one to the next question.
            (chats, lambda asked, first, _: "1" if asked[-3:-1] in first else "2", (50, 50, False)),
            (chats[:1], lambda *_: "1", (0, 0, False)),
        ],
    )
    async def test_the_judge_is_compared_with_people_or_with_the_rows(self, rows, choose, found):
        assert await AnswerJudge(Asked(choose), "m").calibrate(rows, 1) == found

    async def test_answers_that_people_compared_come_with_what_rows_prefer(self):
        labeled = [Pair(f"Question {i}?", f"A good {i}.", f"A bad {i}.") for i in range(12)]
        judge = AnswerJudge(Asked(with_word("good")), "m")
        assert await judge.calibrate(self.chats, 1, labeled) == (12, 12, True)
        assert await judge.calibrate(self.preferences[:3], 1, labeled) == (15, 15, True)
        # Too few say nothing.
        assert not (await judge.calibrate(self.chats, 1, labeled[:9])).is_human

    @pytest.mark.parametrize(
        ("right", "pairs", "usable"),
        [(0, 0, False), (10, 10, True), (7, 10, False), (25, 50, False), (33, 50, True)],
    )
    def test_it_must_be_right_more_often_than_by_chance(self, right, pairs, usable):
        assert Calibration(right, pairs, is_human=True).is_usable is usable
