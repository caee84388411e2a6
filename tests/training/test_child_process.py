import os
import threading

import pytest

from service.training.contract.child_process import Inbox, StopFlag, Traffic, listen
from service.training.contract.protocol import SamplesCommand, TrafficCommand, encode


class Ended:
    """Replacement for os._exit that records the code."""

    def __init__(self):
        self.codes = []
        self.event = threading.Event()

    def __call__(self, code):
        self.codes.append(code)
        self.event.set()


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def wait_for(is_true):
    for _ in range(2000):
        if is_true():
            return True
        threading.Event().wait(0.005)
    return False


def test_a_stop_command_sets_the_flag_even_in_pieces(pipe):
    reading, writing = pipe
    flag, ended = StopFlag(), Ended()
    listen(flag, Traffic(), reading, ended)
    os.write(writing, b'nonsense\n{"command": "dance"}\n\n{"comm')
    assert not flag.is_set()
    os.write(writing, b'and": "stop"}\n')
    assert wait_for(flag.is_set)
    assert ended.codes == []
    os.close(writing)
    assert ended.event.wait(60)


def test_a_command_must_say_stop(pipe):
    reading, writing = pipe
    flag, ended = StopFlag(), Ended()
    listen(flag, Traffic(), reading, ended)
    os.write(writing, b'{"command": "dance"}\n{}\n[]\n')
    os.close(writing)
    assert ended.event.wait(60)
    assert not flag.is_set()


def test_a_report_of_chats_replaces_the_one_before(pipe):
    reading, writing = pipe
    flag, traffic, ended = StopFlag(), Traffic(), Ended()
    listen(flag, traffic, reading, ended)
    os.write(writing, b'{"command": "traffic", "in_flight": 2}\n')
    os.write(writing, b'{"command": "traffic", "in_flight": -1}\n{"command": "traffic"}\n')
    os.write(writing, b'{"command": "traffic", "in_flight": 3, "p95_ms": 420.5}\n')
    assert wait_for(lambda: traffic.count == 2)
    assert traffic.newest == TrafficCommand(in_flight=3, p95_ms=420.5)
    assert not flag.is_set()
    os.close(writing)
    assert ended.event.wait(60)


def test_samples_wait_in_the_inbox_until_their_round(pipe):
    reading, writing = pipe
    inbox, ended = Inbox(), Ended()
    listen(StopFlag(), Traffic(), reading, ended, inbox)
    first = SamplesCommand(round=2, purpose="training", path="/a")
    other = SamplesCommand(round=2, purpose="validation", path="/v")
    os.write(writing, encode(first) + encode(other))
    assert inbox.wait(2, "training", 60) == first
    assert inbox.wait(2, "validation", 60) == other
    assert inbox.wait(3, "training", 0) is None
    second = SamplesCommand(round=3, purpose="training", path="/b")
    os.write(writing, encode(second))
    assert inbox.wait(3, "training", 60) == second
    assert inbox.wait(2, "training", 0) is None
    os.close(writing)
    assert ended.event.wait(60)


def test_the_end_of_stdin_ends_the_process(pipe):
    reading, writing = pipe
    ended = Ended()
    listen(StopFlag(), Traffic(), reading, ended)
    os.close(writing)
    assert ended.event.wait(60)
    assert ended.codes == [1]


def test_the_end_of_stdin_after_the_outcome_changes_nothing(pipe):
    reading, writing = pipe
    flag, ended = StopFlag(), Ended()
    flag.finish()
    listen(flag, Traffic(), reading, ended)
    os.close(writing)
    assert wait_for(lambda: "commands" not in {thread.name for thread in threading.enumerate()})
    assert ended.codes == []
