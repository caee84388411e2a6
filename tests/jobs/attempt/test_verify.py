"""Tests of the comparison of an engine with its trainer: noise or fault."""

from __future__ import annotations

import pytest

from service.inference.upstreams import Upstreams
from service.jobs.attempt.serving_check import Parity, ask_engine, compare
from service.jobs.engine_requests import EngineAway
from service.standalone.services import free_port
from service.training.contract.protocol import Probe


def probe(tuned: list[float], base: list[float]) -> Probe:
    return Probe(tokens=[5, 6, 7], places=[1, 2], tuned=tuned, base=base)


@pytest.mark.parametrize(
    ("trainer_move", "engine_move", "base_gap", "tuned_gap", "followed", "words"),
    [
        (1.5, 1.4, 0.01, 0.03, 1.0, None),  # the same dtype
        (1.5, 1.3, 0.25, 0.35, 0.8, None),  # NF4 in the trainer, bf16 in the engine
        (0.01, 0.0, 0.01, 0.02, 0.0, None),  # a training that changed almost nothing
        (0.03, 0.04, 0.01, 0.05, 0.1, None),  # so little that the engine's noise covers it
        (0.11, 0.05, 0.1, 0.09, -0.1, None),  # rounding to bf16, in both
        (1.5, 0.0, 0.01, 1.5, 0.0, "like the base"),
        (0.3, 0.0, 0.25, 0.4, 0.0, "like the base"),  # with a base that differs as much
        (1.0, 0.02, 0.6, 1.1, 0.01, "like the base"),
        (1.5, 1.6, 0.01, 0.9, 0.9, "differ from the trainer"),
        (0.05, 3.0, 0.01, 3.0, 0.1, "differ from the trainer"),
    ],
)
def test_noise_is_let_through_and_faults_are_named(
    trainer_move, engine_move, base_gap, tuned_gap, followed, words
):
    figures = (trainer_move, engine_move, base_gap, tuned_gap, followed)
    fault = Parity(*figures, base_cost=0, tuned_cost=0, gain=1, tokens=50).fault
    assert (fault is None) if words is None else (words in str(fault))


def test_means_are_over_all_tokens_of_all_rows():
    probes = [probe([-1.0, -2.0], [-3.0, -3.0]), probe([-1.0, -1.0], [-1.0, -1.0])]
    parity = compare(probes, [[-1.5, -2.0], [-1.0, -1.0]], [[-3.0, -3.0], [-1.0, -1.0]])
    assert parity.tokens == 4
    assert parity.trainer_move == pytest.approx(0.75)
    assert parity.engine_move == pytest.approx((1.5 + 1.0) / 4)
    assert parity.base_gap == 0
    assert parity.tuned_gap == pytest.approx(0.125)
    assert parity.followed == pytest.approx((2 * 1.5 + 1 * 1) / (2 * 2 + 1 * 1))
    assert parity.base_cost == 0
    assert parity.tuned_cost == pytest.approx(0.5 / 4)
    assert parity.lost == pytest.approx(0.125 / 0.75)


async def test_engine_that_is_not_there_is_said_so():
    rows = [probe([-1.0, -1.0], [-1.0, -1.0])]
    async with Upstreams({"b": [f"http://127.0.0.1:{free_port()}"]}) as upstreams:
        with pytest.raises(EngineAway, match="engine_unavailable"):
            await ask_engine(upstreams, "b", ["a", "b"], rows)
