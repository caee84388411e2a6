"""Tests of the limits of what schemas and grammars may cost an engine."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from service.inference.engine.constraint_limits import MAX_WAITING, Busy, Debts, Gate, Measured
from service.inference.engine.constraint_trials import Verdict


class Clock:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Compiler:
    """Gives the verdicts that a test asks for, and counts its runs."""

    def __init__(self, **verdict: Any) -> None:
        self.verdict = Verdict(**{"outcome": "passes", **verdict})
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, _: Any) -> Verdict:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.001)
        self.at_once -= 1
        return self.verdict


async def ask(gate: Gate, number: int, project: str = "acme") -> Verdict:
    return await gate.verdict(number.to_bytes(4), None, project)


async def test_the_same_constraint_is_tried_once():
    compiler = Compiler()
    gate = Gate(compiler)
    await asyncio.gather(*(ask(gate, 1, project) for project in ("acme", "other") * 50))
    await ask(gate, 1)
    assert compiler.runs == 1


async def test_one_is_tried_at_a_time_and_a_project_waits_with_few():
    compiler = Compiler()
    gate = Gate(compiler)
    asked = [ask(gate, n) for n in range(MAX_WAITING + 3)]
    results = await asyncio.gather(*asked, ask(gate, 999, "other"), return_exceptions=True)
    assert [type(result) for result in results].count(Busy) == 3
    assert isinstance(results[-1], Verdict)
    assert compiler.most_at_once == 1
    assert isinstance(await ask(gate, 2000), Verdict)


async def test_a_project_with_many_constraints_does_not_delay_another():
    order = []

    def run(constraint: Any) -> Verdict:
        order.append(constraint)
        time.sleep(0.001)
        return Verdict("passes")

    gate = Gate(run)
    mine = [gate.verdict(bytes([n]), f"mine {n}", "acme") for n in range(20)]
    await asyncio.gather(*mine, gate.verdict(b"other", "other", "other"))
    assert order.index("other") <= 2


async def test_a_request_that_goes_away_leaves_the_trial_to_others():
    compiler = Compiler()
    gate = Gate(compiler)
    first = asyncio.create_task(ask(gate, 1))
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(gate, 1))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).outcome == "passes"
    assert compiler.runs == 1


async def test_slow_trials_use_up_the_time_of_a_project_until_it_is_forgiven(clock):
    gate = Gate(Compiler(outcome="too_complex", cpu_s=1.0), clock)
    for number in range(12):
        await ask(gate, number)
    with pytest.raises(Busy):
        await ask(gate, 12)
    assert (await ask(gate, 0)).outcome == "too_complex"  # known
    assert await ask(gate, 12, "other")
    clock.now += 30
    assert await ask(gate, 13)


@pytest.mark.parametrize(("outcome", "runs"), [("passes", 1), ("too_complex", 2), ("no_time", 3)])
async def test_how_long_a_verdict_lasts(clock, outcome, runs):
    compiler = Compiler(outcome=outcome)
    gate = Gate(compiler, clock)
    await ask(gate, 1)
    await ask(gate, 1)
    clock.now += 3600
    await ask(gate, 1)
    assert compiler.runs == runs


def test_debts_are_forgiven(clock):
    debts = Debts(clock)
    debts.add("acme", 3.0)
    clock.now += 10
    assert 0 < debts.seconds("acme") < 3
    clock.now += 1000
    assert debts.seconds("acme") == 0 == debts.seconds("other")


class SlowGrammar:
    """A grammar each step of which takes this CPU time."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s

    def fill_bitmask(self, bitmask: list[Any], index: int) -> None:
        until = time.thread_time() + self.step_s
        while time.thread_time() < until:
            pass

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:
        return True

    def is_terminated(self) -> bool:
        return False


class Row:
    """A row of a mask."""

    value = 0

    def fill_(self, value: int) -> None:
        self.value = value


def steps(grammar: Measured, most: int) -> int:
    """Return after how many steps the answer ends."""
    for step in range(most):
        grammar.fill_bitmask([Row()], 0)
        if not grammar.accept_tokens("", [1]):
            return step + 1
    return most


def test_an_answer_whose_steps_are_slow_ends():
    assert 3 <= steps(Measured(SlowGrammar(0.05), "acme", Debts()), 100) <= 30
    assert steps(Measured(SlowGrammar(0.0), "acme", Debts()), 2000) == 2000


def test_many_slow_answers_of_a_project_end_sooner_and_those_of_others_do_not():
    debts = Debts()
    debts.add("acme", 2.0)
    assert steps(Measured(SlowGrammar(0.1), "acme", debts), 100) == 1
    assert steps(Measured(SlowGrammar(0.0), "acme", debts), 100) == 100
    assert steps(Measured(SlowGrammar(0.1), "other", debts), 100) > 1


def test_an_answer_that_has_been_given_up_may_go_on_with_any_token():
    grammar = Measured(SlowGrammar(0.6), "acme", Debts())
    row = Row()
    grammar.fill_bitmask([row], 0)
    grammar.fill_bitmask([row], 0)
    assert row.value == -1
    assert not grammar.is_terminated()
