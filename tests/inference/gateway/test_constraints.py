"""Tests of the bounds of schemas and grammars."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.config import Settings
from service.core.errors import BadRequest
from service.inference.gateway.parameters import RequestRules
from tests.inference.engine.hostile_constraints import USUAL

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
NEEDED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    COMPLETIONS: {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
}


def texts(*limits: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object of required texts."""
    properties = {f"p{n}": {"type": "string", **limit} for n, limit in enumerate(limits)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def optional(count: int) -> dict[str, Any]:
    """The schema of an object with optional texts."""
    properties = {f"p{n}": {"type": "string"} for n in range(count)}
    return {"type": "object", "properties": properties, "required": []}


def rules(count: int) -> str:
    """A grammar whose rules refer to each other."""
    named = (f'r{n} ::= "a" r{(7 * n + 1) % count} | [a-z]+' for n in range(count))
    return "\n".join(["root ::= r0", *named])


def strict(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A tool whose calls are constrained."""
    function = {"name": name, "parameters": parameters, "strict": True}
    return {"type": "function", "function": function}


def named(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with the name that a format needs."""
    return {"name": "x", "schema": schema}


MANY = texts(*({"maxLength": 1000 + n} for n in range(21)))
FORMAT = {"type": "json_schema", "json_schema": named(MANY)}
PARAMETERS = {"name": "f", "parameters": MANY}
TOOL = {"type": "function", "function": PARAMETERS}


def check(path: str, **fields: Any) -> None:
    body = json.dumps({"model": "a", **NEEDED[path], **fields}).encode()
    RequestRules(max_repetitions=500).parse(path, body)


def refusal(path: str, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        check(path, **fields)
    assert caught.value.code == "constraint_too_complex"
    return caught.value


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"response_format": FORMAT}),
        (COMPLETIONS, {"response_format": FORMAT}),
        (RESPONSES, {"text": {"format": {"type": "json_schema", **named(MANY)}}}),
        (CHAT, {"structured_outputs": {"json": MANY}}),
        (RESPONSES, {"structured_outputs": {"json": json.dumps(MANY)}}),
        (CHAT, {"structured_outputs": {"structural_tag": json.dumps({"structures": [MANY]})}}),
        (CHAT, {"tools": [TOOL], "tool_choice": "required"}),
        (CHAT, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (CHAT, {"tools": [TOOL], "parallel_tool_calls": False}),
        (CHAT, {"tools": [{"type": "function", "function": {**PARAMETERS, "strict": True}}]}),
        (RESPONSES, {"tools": [{"type": "function", **PARAMETERS}], "tool_choice": "required"}),
    ],
)
def test_every_way_to_constrain_an_answer_is_bounded(path, fields):
    error = refusal(path, **fields)
    assert error.param == next(iter(fields))
    assert "add up to 2100" in error.message


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"regex": "-".join(f"[a-z]{{1,{90 + n}}}" for n in range(6))}, "add up to 555"),
        ({"regex": "-".join(["[a-z]{100}"] * 6)}, "add up to 600"),
        ({"json": texts(*({"pattern": f"^x{{1,9{n}}}$"} for n in range(6)))}, "add up to 555"),
        ({"json": {"patternProperties": {f"^x{{3,{n}}}$": {} for n in range(95, 101)}}}, "585"),
        ({"json": texts(*({"minLength": 10**n} for n in range(2, 8)))}, "add up to 600"),
        ({"json": texts(*({"maxLength": 1e99, "minLength": n} for n in range(6)))}, "up to 600"),
        ({"grammar": "root ::= " + " ".join(f"[^x]{{1,{n}}}" for n in range(91, 98))}, "up to 658"),
        ({"grammar": "start: " + " ".join(f"A~1..{n}" for n in range(91, 98))}, "up to 658"),
        ({"regex": ".?" * 50}, "add up to 625"),
        ({"grammar": "root ::= " + "\n".join(["[^x]?"] * 50)}, "add up to 625"),
        ({"grammar": "root ::= " + " ".join(['([^::=] | "::=")?'] * 50)}, "add up to 625"),
        ({"json": optional(401)}, "like 401 of one object, and at most 400"),
        ({"grammar": rules(200)}, "at most 200 rules, but there are 201"),
        ({"grammar": "\n".join(f"r{n}: A" for n in range(201))}, "at most 200 rules"),
        ({"grammar": "\n".join(f"r{n} ::= {'[^x]? ' * 20}" for n in range(9))}, "add up to 900"),
        ({"json": {"anyOf": [optional(100) for _ in range(17)]}}, "count like 412 of one object"),
        ({"json": {"$defs": {"a": optional(300)}, **optional(280)}}, "like 410 of one object"),
        ({"choice": ["x" * 100] * 700}, "at most 65536 bytes are allowed, but it has"),
    ],
)  # fmt: skip
def test_what_takes_the_engine_long_is_refused(constraint, message):
    assert message in refusal(CHAT, structured_outputs=constraint).message


@pytest.mark.parametrize(
    "constraint",
    [
        None,
        {"json": "no JSON"},
        {"json": "[" * 60_000},
        {"json": texts(*({"maxLength": 5000} for _ in range(300)))},
        {"json": texts(*({"maxLength": 10 * n} for n in range(1, 10)))},
        {"json": {**optional(400), "title": "x"}},
        {"json": {**optional(900), "required": [f"p{n}" for n in range(900)]}},
        {"json": {"type": "array", "items": {"type": "integer"}, "maxItems": 100_000}},
        {"json": {"enum": [f"value-{n}" for n in range(3000)]}},
        {"regex": r"\d{4}-\d{2}-\d{2}"},
        {"regex": "[a-z]+ ?" * 22},
        {"grammar": rules(199)},
        {"choice": ["yes", "no"]},
        {"json_object": True},
    ],
)
def test_what_compiles_soon_passes(constraint):
    check(CHAT, structured_outputs=constraint)


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (
            CHAT,
            {
                "tools": [strict("a", texts({"maxLength": 101}, {"maxLength": 102})) for _ in "ab"],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": named(texts(*({"maxLength": 200 + n} for n in range(4)))),
                },
            },
            "tools",
        ),
        (CHAT, {"tools": [strict(f"f{n}", optional(90)) for n in range(20)]}, "tools"),
        (
            RESPONSES,
            {
                "structured_outputs": {"regex": ".?" * 40},
                "text": {
                    "format": {
                        "type": "json_schema",
                        **named(texts({"maxLength": 101}, {"maxLength": 102})),
                    }
                },
            },
            "text",
        ),
        (
            COMPLETIONS,
            {
                "response_format": {"type": "json_schema", "json_schema": named(optional(300))},
                "structured_outputs": {"json": optional(310)},
            },
            "structured_outputs",
        ),
    ],
)
def test_all_constraints_of_a_request_count_together(path, fields, param):
    assert refusal(path, **fields).param == param


@pytest.mark.parametrize("name", USUAL)
def test_what_is_usual_passes(name):
    body = json.dumps({"model": "a", **NEEDED[CHAT], **USUAL[name]}).encode()
    RequestRules().parse(CHAT, body)


def test_an_operator_can_allow_more():
    body = json.dumps({"model": "a", **NEEDED[CHAT], "response_format": FORMAT}).encode()
    settings = Settings(max_constraint_repetitions=2100)
    assert RequestRules.from_settings(settings).parse(CHAT, body).model == "a"


def test_tools_that_only_the_prompt_shows_are_not_bounded():
    check(CHAT, tools=[TOOL] * 50)
    check(RESPONSES, tools=[{"type": "function", **PARAMETERS}], tool_choice="auto")


async def test_it_does_not_reach_the_engine(gateway, engine):
    client = await gateway()
    body = {"model": "tiny-base", **NEEDED[CHAT], "response_format": FORMAT}
    async with client.post(json=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == "response_format"
    assert engine.seen == []
