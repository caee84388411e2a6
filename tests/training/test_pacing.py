"""Tests of pacing: the controller on recorded latencies, and that a paced training is the same."""

from __future__ import annotations

from itertools import pairwise

import pytest

from service.training import StepDone
from service.training.contract.child_process import StopFlag, Traffic
from service.training.contract.protocol import TrafficCommand, encode
from service.training.loop.pacing import LEAST_SHARE, Pacer, Share

IDLE = TrafficCommand(in_flight=0)
# p95 latencies of chats on a CPU, in ms, once per second: calm, next to other work, calm again.
RECORDED = (210, 230, 260, 420, 880, 910, 640, 380, 310, 240, 220, 210)


def busy(p95_ms: float | None) -> TrafficCommand:
    return TrafficCommand(in_flight=2, p95_ms=p95_ms)


class SimulatedTraffic(Traffic):
    """Traffic on a clock that only waiting and working move."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []
        super().__init__(clock=lambda: self.now_s)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds


def test_the_share_falls_quickly_and_grows_slowly():
    share = Share(budget_ms=500)
    found = [share.at(second, busy(p95)) for second, p95 in enumerate(RECORDED)]
    assert found == pytest.approx(
        [0.15, 0.2, 0.25, 0.25, 0.125, 0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35]
    )


def test_many_reports_in_a_second_count_once():
    share = Share(budget_ms=500)
    assert {share.at(tenth / 10, busy(100)) for tenth in range(10)} == {LEAST_SHARE + 0.05}


def test_the_share_is_everything_without_chats_and_the_least_without_reports():
    share = Share(budget_ms=500)
    assert share.at(0, None) == LEAST_SHARE
    assert share.at(1, IDLE) == 1
    assert share.at(2, busy(None)) == LEAST_SHARE  # no answer has begun: nothing to learn from
    for second in range(3, 40):
        share.at(second, busy(100))
    assert share.at(41, busy(100)) == 1
    assert share.at(42, None) == LEAST_SHARE


def paced(traffic: SimulatedTraffic, flag: StopFlag | None = None) -> Pacer:
    return Pacer(500, traffic, flag or StopFlag(), clock=lambda: traffic.now_s)


def test_a_training_next_to_slow_chats_computes_the_least_and_never_stops():
    traffic = SimulatedTraffic()
    pacer = paced(traffic)
    began, times = traffic.now_s, []
    for _ in range(200):  # layers of 50 ms
        traffic.update(busy(900))
        pacer.pause()
        traffic.now_s += 0.05
        times.append(traffic.now_s)
    worked_s, took_s = 200 * 0.05, traffic.now_s - began
    assert worked_s / took_s == pytest.approx(LEAST_SHARE, rel=0.02)
    assert pacer.take_rested_s() == pytest.approx(took_s - worked_s)
    assert pacer.take_rested_s() == 0
    assert max(after - before for before, after in pairwise(times)) < 1


def test_a_training_without_chats_never_rests():
    traffic = SimulatedTraffic()
    pacer = paced(traffic)
    for _ in range(100):
        traffic.update(IDLE)
        pacer.pause()
        traffic.now_s += 0.05
    assert traffic.waits == []


def test_work_before_the_first_chat_is_not_made_up_for():
    traffic = SimulatedTraffic()
    pacer = paced(traffic)
    traffic.update(IDLE)
    traffic.now_s += 4
    pacer.pause()
    traffic.update(busy(900))
    pacer.pause()
    assert traffic.waits == []


def test_a_rest_has_an_end_even_after_long_work():
    traffic = SimulatedTraffic()
    pacer = paced(traffic)
    traffic.now_s += 3600  # for example loading a large model
    pacer.pause()
    assert pacer.take_rested_s() == pytest.approx(10)


def test_the_rests_of_other_processes_are_no_work():
    traffic = SimulatedTraffic()
    pacer = paced(traffic)
    pacer.pause()
    for _ in range(20):
        traffic.update(busy(900))
        traffic.now_s += 0.05
        with pacer.waiting():
            traffic.now_s += 3
    pacer.pause()
    assert pacer.take_rested_s() == pytest.approx(20 * 9 * 0.05)


def test_a_training_that_is_still_loading_waits_without_rests():
    traffic = SimulatedTraffic()
    pacer = paced(traffic)
    traffic.now_s += 60
    with pacer.waiting():
        traffic.now_s += 60
    assert traffic.waits == []


@pytest.mark.parametrize("end", ["stop", "idle"])
def test_a_rest_ends_at_a_stop_command_and_with_the_last_chat(end):
    traffic, flag = SimulatedTraffic(), StopFlag()
    pacer = paced(traffic, flag)

    class Ends(list[float]):
        def append(self, seconds: float) -> None:
            super().append(seconds)
            flag.set() if end == "stop" else traffic.update(IDLE)

    traffic.waits = Ends()
    traffic.now_s += 1
    traffic.update(busy(900))
    pacer.pause()
    assert len(traffic.waits) == 1


def test_reports_are_forgotten_when_they_stop_coming():
    traffic = SimulatedTraffic()
    assert traffic.newest is None
    traffic.update(IDLE)
    assert traffic.newest == IDLE
    traffic.now_s += 6
    assert traffic.newest is None


@pytest.mark.slow
def test_a_paced_training_has_the_same_losses_and_the_same_adapter(start, make_spec, tmp_path):
    """In its first step it has not heard of chats, so it rests. Then it hears that there are none.

    The speed of the tests depends on the rests, which are nine times as long as the work.
    """

    def run(name: str, **changes: object):
        trainer = start(make_spec(tmp_path / name, n_epochs=1, **changes))
        for message in trainer:
            if isinstance(message, StepDone):
                trainer.process.stdin.write(encode(IDLE))
                trainer.process.stdin.flush()
        return trainer, (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()

    free, adapter = run("free")
    rested, other = run("paced", chat_budget_ms=500)
    assert rested.losses == free.losses
    assert other == adapter
    assert all(step.rested_seconds is None for step in free.of(StepDone))
    assert rested.of(StepDone)[0].rested_seconds > 0
