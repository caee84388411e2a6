"""Tests that token counts are found in any chunking, and that nothing else changes."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
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


RESPONSES_USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2, "cached_tokens_per_turn": []},
    "output_tokens": 7,
}
FALSE = {"usage": {"input_tokens": 0, "output_tokens": 0, "prompt_tokens": 0}}
# Values and keys of the same name that a client sends and /v1/responses repeats.
REPEATED = {"tools": [{"parameters": FALSE, **FALSE}], "metadata": FALSE, "instructions": SAID}


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_counts_of_a_stream_of_the_responses_api(places):
    tap = UsageTap(strip=False, level=2)
    whole = {"id": "r", **REPEATED, "usage": RESPONSES_USAGE, "user": "usage", "text": FALSE}
    data = b"".join(
        b"event: response.%b\ndata: %b\n\n" % (kind, json.dumps(fields).encode())
        for kind, fields in [
            (b"created", {"response": {**REPEATED, "usage": None, "user": "usage"}, **FALSE}),
            (b"output_text.delta", {"delta": SAID}),
            (b"completed", {"response": whole, "sequence_number": 3, **FALSE}),
        ]
    )
    assert through(tap, cut(data, places)) == data
    assert tap.usage() == Usage(5, 7, 2)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_counts_of_a_response_that_repeats_what_the_caller_sent(separators, places):
    tap = UsageTap(strip=False)
    answer = {**REPEATED, "usage": RESPONSES_USAGE, "user": "usage", "input_messages": [FALSE]}
    data = json.dumps(answer, separators=separators).encode()
    assert through(tap, cut(data, places)) == data
    assert tap.usage() == Usage(5, 7, 2)


@settings(deadline=None)  # a busy machine takes several times as long
@given(st.lists(st.integers(0, 100_000), max_size=8), st.integers(0, 3_000))
def test_counts_before_the_tokens_of_a_prompt(places, tokens):
    tap = UsageTap(strip=False)
    said = [{"7": {"logprob": -1.0, "decoded_token": t}} for t in ("usage", '"usage":{', "\\")]
    answer = {"choices": [], "usage": COUNTS, "prompt_logprobs": said + said * tokens}
    through(tap, cut(json.dumps(answer, separators=(",", ":")).encode(), places))
    assert tap.usage() == EXPECTED


@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_an_event_that_only_names_usage_stays(places):
    tap = UsageTap(strip=True)
    token = event(choices=[{"logprobs": {"content": [{"token": "usage", "top_logprobs": []}]}}])
    nested = event(choices=[{"delta": FALSE}])
    data = b"".join([token, nested, *PLAIN])
    assert through(tap, cut(data + LAST + DONE, places)) == data + DONE
    assert tap.usage() == EXPECTED


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
