"""Token counts found in what passes by, wherever it is cut, and nothing else changed."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.inference.gateway.usage_tap import Usage, UsageTap


def event(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields, separators=(",", ":")).encode()


COUNTS = {
    "prompt_tokens": 24,
    "total_tokens": 44,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 16},
}
SAID = 'he said "usage":{"prompt_tokens":999} and {"choices":[]}'
PLAIN = [
    event(id="c", choices=[{"delta": {"role": "assistant", "content": ""}}]),
    event(id="c", choices=[{"delta": {"content": SAID}}]),
    event(id="c", choices=[{"delta": {"content": "ก" * 50}, "finish_reason": "stop"}]),
]
LAST = event(id="c", choices=[], usage=COUNTS)
DONE = b"data: [DONE]\n\n"
EXPECTED = Usage(input_tokens=24, output_tokens=20, cached_tokens=16)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({p % (len(data) + 1) for p in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def through(tap: UsageTap, chunks: list[bytes]) -> bytes:
    return b"".join(tap.pass_on(chunk) for chunk in chunks) + tap.finish()


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_the_event_that_nobody_asked_for_is_taken_out(places):
    tap = UsageTap(strip=True)
    chunks = cut(b"".join([*PLAIN, LAST, DONE]), places)
    assert through(tap, chunks) == b"".join([*PLAIN, DONE])
    assert tap.usage() == EXPECTED
    assert tap.events == len(PLAIN) + 1


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_what_was_asked_for_passes_as_it_is(places):
    tap = UsageTap(strip=False)
    data = b"".join([*PLAIN, LAST, DONE])
    assert through(tap, cut(data, places)) == data
    assert tap.usage() == EXPECTED


@given(st.lists(st.integers(0, 100_000), max_size=8), st.integers(0, 40_000))
def test_counts_of_a_plain_answer(places, padding):
    body = json.dumps(
        {
            "choices": [{"message": {"content": SAID + "x" * padding}}],
            "usage": COUNTS,
            "prompt_logprobs": [0.1] * (padding // 8),
        }
    ).encode()
    tap = UsageTap(strip=False)
    assert through(tap, cut(body, places)) == body
    assert tap.usage() == EXPECTED


def test_counts_of_the_responses_api():
    tap = UsageTap(strip=False)
    usage = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 7}
    data = (
        b'event: response.created\ndata: {"response":{"usage":null}}\n\n'
        b"event: response.completed\ndata: "
        + json.dumps({"response": {"usage": usage}}).encode()
        + b"\n\n"
    )
    assert through(tap, [data]) == data
    assert tap.usage() == Usage(5, 7, 2)


def test_of_running_counts_the_newest_are_taken():
    tap = UsageTap(strip=False)
    for n in range(5):
        tap.pass_on(event(choices=[{}], usage={"prompt_tokens": 3, "completion_tokens": n}))
    assert tap.usage() == Usage(3, 4, 0)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"usage":null}', b'{"usage":{}}', b'{"error":{"message":"x"}}']
)
def test_an_answer_without_counts(body):
    tap = UsageTap(strip=False)
    through(tap, [body])
    assert tap.usage() is None


def test_a_stream_that_broke_tells_how_many_events_passed():
    tap = UsageTap(strip=True)
    out = through(tap, [*PLAIN, b'data: {"half'])
    assert out == b"".join(PLAIN) + b'data: {"half'
    assert (tap.usage(), tap.events) == (None, len(PLAIN))


def test_an_event_without_end_is_not_held_for_ever():
    tap = UsageTap(strip=True)
    block = b"x" * 65536
    passed = sum(len(tap.pass_on(block)) for _ in range(100))
    assert passed >= 80 * len(block)
    assert passed + len(tap.finish()) == 100 * len(block)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.booleans())
def test_bytes_that_are_no_answer_pass_unchanged(data, places, strip):
    tap = UsageTap(strip=strip)
    assert through(tap, cut(data, places)) == data
