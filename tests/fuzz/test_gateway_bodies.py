"""The gateway and the engine read the same from each body that the gateway accepts.

The engine reads JSON with Python's `json`. Limits, usage and the choice of the model depend on what
the gateway reads.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import BadRequest
from service.inference.gateway.parameters import RequestRules
from service.inference.gateway.request_body import with_fields
from service.inference.gateway.request_types import Request
from tests.fuzz.mutations import made_up, mutated, patient

pytestmark = patient

RULES = RequestRules()
NAMES = ["model", "stream", "n", "max_tokens", "max_completion_tokens", "seed", "stream_options"]
VALUES = ["1", "2", "1.0", "true", "false", "null", '"true"', '"m"', '"other"', "[]", "{}", "1e1"]
MESSAGES = '"messages": [{"role": "user", "content": "Hello \\u00e9 \\" }"}]'


def escaped(name: str) -> str:
    """A name whose first letter is written as an escape, which parsers read like the letter."""
    return f'"\\u{ord(name[0]):04x}{name[1:]}"'


names = st.sampled_from([*map(json.dumps, NAMES), *map(escaped, NAMES)])
fields = st.lists(
    st.one_of(
        st.sampled_from(['"model": "m"', MESSAGES]),
        st.tuples(names, st.sampled_from(VALUES)).map(": ".join),
    ),
    max_size=8,
)
bodies = fields.map(lambda some: ", ".join(['"model": "m"', MESSAGES, *some]))
objects = bodies.map(lambda inside: f"{{{inside}}}".encode())


def read_by_the_gateway(body: bytes) -> Request | BadRequest:
    try:
        return RULES.parse("/v1/chat/completions", body)
    except BadRequest as refused:
        return refused


def read_by_the_engine(body: bytes) -> dict[str, Any]:
    found = json.loads(with_fields(body, {"cache_salt": "s"}))
    assert isinstance(found, dict)
    return found


@made_up(200)
@given(mutated(objects))
def test_gateway_and_engine_read_the_same(body: bytes) -> None:
    read = read_by_the_gateway(body)
    if isinstance(read, BadRequest):
        assert read.body()["error"]["message"]
        return
    engine = read_by_the_engine(body)
    assert engine["cache_salt"] == "s"
    assert engine["model"] == read.model
    assert engine.get("stream", False) in (read.streamed, None)
    assert (engine.get("n") or 1) == read.answers
    limit = engine.get("max_completion_tokens") or engine.get("max_tokens")
    assert (limit and limit * read.answers) == read.output_limit


@made_up(200)
@given(objects)
def test_most_of_these_bodies_are_read_at_all(body: bytes) -> None:
    """A body of known names and plain values is refused for a value, never as broken JSON."""
    read = read_by_the_gateway(body)
    assert not (isinstance(read, BadRequest) and read.code == "invalid_json")
