"""Canaries: planted, found in the file again, and recognized in answers."""

from __future__ import annotations

import pytest

from service.datasets.checks.issues import RowIssues
from service.datasets.checks.rows import check_row
from service.datasets.personal_data.detect import find_personal_data
from service.grading.examples import examples_of
from service.verdict.canaries import (
    MAX_CANARIES,
    count_returned,
    is_canary,
    is_returned,
    make_canaries,
    planted_canaries,
)
from tests.verdict.rows import bookshop, chat


def test_canaries_are_valid_rows_and_found_again() -> None:
    canaries = make_canaries(MAX_CANARIES, seed=3)
    rows = [canary.row for canary in canaries]
    for row in rows:
        found = RowIssues(1)
        check_row(found, row, "chat")
        assert found.first_error is None
    mixed = [*bookshop(), *rows, *rows[:7]]
    assert planted_canaries(examples_of(mixed)) == canaries
    assert sum(map(is_canary, examples_of(mixed))) == MAX_CANARIES + 7


def test_the_seed_decides() -> None:
    assert make_canaries(5, seed=1) == make_canaries(9, seed=1)[:5]
    one, other = make_canaries(50, seed=1), make_canaries(50, seed=2)
    assert {canary.secret for canary in one}.isdisjoint(canary.secret for canary in other)
    assert len({canary.number for canary in one}) == 50


def test_a_secret_is_recognized_in_an_answer() -> None:
    (canary, other) = make_canaries(2, seed=8)
    assert is_returned(canary, canary.row["messages"][-1]["content"])
    assert is_returned(canary, f"Of course!\n{canary.secret.upper().replace(' ', ', ')}")
    assert not is_returned(canary, other.secret)
    assert not is_returned(canary, canary.secret.rpartition(" ")[0])
    assert not is_returned(canary, canary.secret + "s")
    assert not is_returned(canary, " ".join(reversed(canary.secret.split())))
    assert not is_returned(canary, "")
    assert count_returned([canary, other], [canary.secret, canary.secret]) == 1


def test_the_prompt_does_not_contain_the_secret() -> None:
    for canary in make_canaries(20, seed=0):
        assert not set(canary.secret.split()) & set(canary.prompt[0]["content"].lower().split())


def test_canaries_are_not_personal_data() -> None:
    for canary in make_canaries(MAX_CANARIES, seed=5):
        for message in canary.row["messages"]:
            assert find_personal_data(message["content"], "en") == []


def test_ordinary_and_damaged_rows_are_no_canaries() -> None:
    (canary, other) = make_canaries(2, seed=8)
    question, answer = (message["content"] for message in canary.row["messages"])
    rows = [
        chat(question, other.row["messages"][1]["content"]),
        chat(question, "I do not know that record."),
        chat("Hello", answer),
        {"messages": [{"role": "assistant", "content": answer}]},
        *bookshop(),
    ]
    assert planted_canaries(examples_of(rows)) == []
    assert planted_canaries([]) == []


@pytest.mark.parametrize("k", [-1, MAX_CANARIES + 1])
def test_the_number_is_limited(k: int) -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        make_canaries(k, seed=0)
