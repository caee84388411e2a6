"""Schemas, grammars and regexes that cost an engine as much as they can, and usual ones."""

from __future__ import annotations

import itertools
import json
import random
import string
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]
Schema = dict[str, Any]

_FORMATS = ("email", "date-time", "uuid", "hostname", "ipv6", "uri", "duration", "time")
_ATOMS = (".", "[^x]", "[a-z]", r"\w", r"[\u0080-\U0010ffff]", "(a|ab|b)", r"[^\n\"]", r"\S")


def hostile(seed: int) -> Fields:
    """Return the fields of a chat that constrain its answer."""
    chance = random.Random(seed)
    kind = _KINDS[seed % len(_KINDS)]
    return kind(chance)


def _size(chance: random.Random, most: int) -> int:
    return max(1, int(most ** chance.uniform(0.3, 1)))


def _regex_text(chance: random.Random) -> str:
    atom = chance.choice(_ATOMS)
    size = _size(chance, 120)
    match chance.randrange(8):
        case 0:
            text = f"{atom}{chance.choice('?*+')}" * size
        case 1:
            text = f"{atom}{{1,{_size(chance, 100_000)}}}"
            text += f"-{atom}{{3,{_size(chance, 900)}}}" * (size // 8)
        case 2:
            text = atom
            for _ in range(1 + size // 12):
                text = f"({text}){chance.choice(['*', '+', '?', '{1,50}', '{2,9}'])}"
        case 3:
            text = f"({atom}*{chance.choice('ab')}){{1,{size}}}" + atom + "{" + str(size) + "}"
        case 4:
            words = ("".join(chance.choices("ab", k=1 + size // 8)) for _ in range(size))
            text = f"({'|'.join(words)})*({atom}?){{{size}}}"
        case 5:  # the slow part is behind letters that a random walk does not write
            text = f"(zq{chance.choice('xyz') * 20}({atom}?){{{size}}}|[^z]*)"
        case 6:
            text = "(" * size * 200 + atom + ")" * size * 200
        case _:
            text = f"({atom}+)+({atom}*)*b"
    return text


def _regex(chance: random.Random) -> Fields:
    return {"structured_outputs": {"regex": _regex_text(chance)}}


def _ebnf(chance: random.Random) -> str:
    size = _size(chance, 199)
    atom = chance.choice(["[^x]", "[a-z]", "[^\\n]", '"a"', '("a" | "ab" | "b")'])
    match chance.randrange(7):
        case 0:  # little in each rule, much in all
            each = " ".join([f"{atom}{chance.choice('?*+')}"] * (1 + size % 40))
            names = " | ".join(f"r{n}" for n in range(size))
            return "\n".join(
                [f"root ::= {names}", *(f'r{n} ::= "{n}" {each}' for n in range(size))]
            )
        case 1:
            return f"root ::= {' '.join(['root'] * (2 + size % 5))} | {atom}"
        case 2:
            first = " | ".join(f"r{n}" for n in range(size))
            rest = (
                f'r{n} ::= "a" r{(7 * n + 1) % size} | {atom}+ r{(3 * n + 2) % size}'
                for n in range(size)
            )
            return "\n".join([f"root ::= {first}", *rest])
        case 3:
            return "root ::= " + "(" * size * 100 + atom + ")" * size * 100
        case 4:
            chain = (f"r{n} ::= r{n + 1} r{n + 1} | {atom}?" for n in range(size % 40))
            return "\n".join(["root ::= r0", *chain, f"r{size % 40} ::= {atom}"])
        case 5:
            slow = " ".join([f"{atom}?"] * (size % 60))
            return f'root ::= "qqzzqq{"z" * 40}" slow | [^q]*\nslow ::= {slow} "!"'
        case _:
            return "root ::= " + " ".join(f"{atom}{{1,{size + n}}}" for n in range(size % 30 + 1))


def _grammar(chance: random.Random) -> Fields:
    return {"structured_outputs": {"grammar": _ebnf(chance)}}


def _lark(chance: random.Random) -> Fields:
    size = _size(chance, 190)
    rules = [f"r{n}: A~1..{size} r{(3 * n + 1) % size}? B" for n in range(size)]
    return {
        "structured_outputs": {
            "grammar": "\n".join(["start: r0+", *rules, "A: /[^x]?/", "B: /.{1,90}/"])
        }
    }


def _text(chance: random.Random) -> Schema:
    return chance.choice(
        [
            {"type": "string", "maxLength": _size(chance, 10_000)},
            {"type": "string", "minLength": _size(chance, 500), "maxLength": 10**9},
            {"type": "string", "pattern": _regex_text(chance)[:400]},
            {"type": "string", "format": chance.choice(_FORMATS)},
            {"type": "integer", "minimum": -chance.randrange(10**18), "maximum": 10**18},
            {"type": "number", "exclusiveMinimum": chance.random()},
            {"type": "string", "pattern": "^[a-z]+$", "maxLength": _size(chance, 90)},
            {"type": "array", "items": {"type": "string"}, "maxItems": _size(chance, 10**6)},
            {"enum": [f"{n:05}" for n in range(_size(chance, 900))]},
            {"multipleOf": 7, "type": "integer"},
        ]
    )


def _schema(chance: random.Random, depth: int = 0) -> Schema:
    size = _size(chance, 60 if depth == 0 else 8)
    below = _text if depth > 3 else lambda each: _schema(each, depth + 1)
    match chance.randrange(9):
        case 0 | 1:
            optional = {f"p{n}": _text(chance) for n in range(size)}
            nested = {f"o{n}": below(chance) for n in range(1 + size // 8)}
            return {
                "type": "object",
                "properties": optional | nested,
                "required": chance.sample([*optional], k=len(optional) // 5),
                "additionalProperties": chance.choice([True, False]),
            }
        case 2:
            return {
                chance.choice(["anyOf", "oneOf", "allOf"]): [below(chance) for _ in range(size)]
            }
        case 3:
            least = _size(chance, 50)
            return {
                "type": "array",
                "items": below(chance),
                "minItems": least,
                "maxItems": least + _size(chance, 1000),
            }
        case 4:
            names = {_regex_text(chance)[:60]: below(chance) for _ in range(1 + size // 20)}
            return {"type": "object", "patternProperties": names}
        case 5:
            defs = {
                f"d{n}": {
                    "type": "object",
                    "properties": {
                        "a": {"$ref": f"#/$defs/d{(3 * n + 1) % size}"},
                        "b": {"anyOf": [{"$ref": f"#/$defs/d{(7 * n + 2) % size}"}, _text(chance)]},
                    },
                }
                for n in range(size)
            }
            return {"$ref": "#/$defs/d0", "$defs": defs} if depth == 0 else _text(chance)
        case 6:
            return {"type": "array", "prefixItems": [below(chance) for _ in range(size)]}
        case 7:
            return {
                "type": "object",
                "additionalProperties": below(chance),
                "minProperties": size,
                "maxProperties": size * 20,
            }
        case _:
            return _text(chance)


def _json(chance: random.Random) -> Fields:
    return {"structured_outputs": {"json": _schema(chance)}}


def _optional(chance: random.Random) -> Fields:
    """Few optional properties in each object, many in all."""
    size = _size(chance, 300)
    inner = {f"p{n}": {"type": "string"} for n in range(max(1, size // 4))}
    schema = {
        "type": "object",
        "properties": {f"o{n}": {"type": "object", "properties": inner} for n in range(size)},
    }
    return {"response_format": _format(schema)}


def _nested(chance: random.Random) -> Fields:
    schema = _text(chance)
    for _ in range(_size(chance, 60)):
        schema = {"type": "object", "properties": dict.fromkeys("abc", schema)}
        if len(json.dumps(schema)) > 20_000:
            break
    return {"response_format": _format(schema)}


def _format(schema: Schema) -> Schema:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def _choice(chance: random.Random) -> Fields:
    letters = chance.choice(["ab", string.ascii_letters])
    many = {"".join(chance.choices(letters, k=_size(chance, 200))) for _ in range(300)}
    return {"structured_outputs": {"choice": sorted(many)}}


def _tag(chance: random.Random) -> Fields:
    count = _size(chance, 12)
    if chance.random() < 0.5:
        structures = [
            {"begin": f"<f{n}>", "schema": _schema(chance, 2), "end": "</f>"} for n in range(count)
        ]
        return {
            "response_format": {
                "type": "structural_tag",
                "structures": structures,
                "triggers": ["<f"],
            }
        }
    tags = [
        {
            "type": "tag",
            "begin": f"<f{n}>",
            "content": {"type": "json_schema", "json_schema": _schema(chance, 2)},
            "end": "</f>",
        }
        for n in range(count)
    ]
    body = {"type": "triggered_tags", "triggers": ["<f"], "tags": tags}
    return {
        "structured_outputs": {
            "structural_tag": json.dumps({"type": "structural_tag", "format": body})
        }
    }


def _tools(chance: random.Random) -> Fields:
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"f{n}",
                "parameters": {"type": "object", "properties": {"x": _schema(chance, 2)}},
                "strict": True,
            },
        }
        for n in range(_size(chance, 20))
    ]
    named = {"type": "function", "function": {"name": "f0"}}
    return {"tools": tools, "tool_choice": chance.choice(["required", "auto", named])}


_KINDS: tuple[Callable[[random.Random], Fields], ...] = (
    *(_regex, _grammar, _json, _optional, _tag, _tools, _nested, _choice, _lark),
    *(_regex, _grammar, _json),
)


def _object(properties: Schema, *, optional: int = 0) -> Schema:
    names = [*properties]
    return {
        "type": "object",
        "properties": properties,
        "required": names[: len(names) - optional],
        "additionalProperties": False,
    }


_PERSON = {
    "name": {"type": "string", "minLength": 1, "maxLength": 100},
    "email": {"type": "string", "format": "email"},
    "age": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 130}, {"type": "null"}]},
    "phone": {"type": "string", "pattern": r"^\+?[0-9 ()-]{7,20}$"},
    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
    "role": {"enum": ["admin", "editor", "viewer"]},
    "joined": {"type": "string", "format": "date-time"},
}
_STEP = {
    "thought": {"type": "string"},
    "next": {"anyOf": [{"$ref": "#/$defs/Step"}, {"type": "null"}]},
}
_BYTE = r"(25[0-5]|2[0-4]\d|1?\d?\d)"
_JSON_GBNF = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
_ARITHMETIC_GBNF = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"""
_SQL_LARK = """
start: "SELECT " columns " FROM " NAME (" WHERE " condition)? (" ORDER BY " NAME)? ";"
columns: "*" | NAME (", " NAME)*
condition: NAME OPERATOR value (" AND " NAME OPERATOR value)*
value: NUMBER | STRING
OPERATOR: " = " | " < " | " > "
NAME: /[a-z_]+/
NUMBER: /[0-9]+/
STRING: /'[^']*'/
"""
_DATES = {"day": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}}

USUAL: dict[str, Fields] = {
    "a person, as pydantic writes it": {"response_format": _format(_object(_PERSON))},
    "a list of people": {
        "response_format": _format(
            _object({"people": {"type": "array", "items": _object(_PERSON), "minItems": 1}})
        )
    },
    "60 required properties": {
        "response_format": _format(_object({f"field_{n}": {"type": "string"} for n in range(60)}))
    },
    "60 optional properties": {
        "response_format": _format(
            _object({f"field_{n}": {"type": "string"} for n in range(60)}, optional=60)
        )
    },
    "8 different lengths": {
        "response_format": _format(
            _object({f"f{n}": {"type": "string", "maxLength": 50 * n} for n in range(1, 9)})
        )
    },
    "a recursive schema": {
        "response_format": _format({"$ref": "#/$defs/Step", "$defs": {"Step": _object(_STEP)}})
    },
    "a union of 10 objects": {
        "response_format": _format(
            {
                "anyOf": [
                    _object({"kind": {"const": f"k{n}"}, "value": {"type": "number"}, **_DATES})
                    for n in range(10)
                ]
            }
        )
    },
    "300 values": {
        "response_format": _format(_object({"c": {"enum": [f"country {n}" for n in range(300)]}}))
    },
    "any object": {
        "messages": [{"role": "user", "content": "Describe Paris in JSON."}],
        "response_format": {"type": "json_object"},
    },
    "a date": {"structured_outputs": {"regex": r"\d{4}-\d{2}-\d{2}"}},
    "an email address": {
        "structured_outputs": {"regex": r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}"}
    },
    "a telephone number": {"structured_outputs": {"regex": r"\+?\(?\d{3}\)?[- ]?\d{3}[- ]?\d{4}"}},
    "an IP address": {"structured_outputs": {"regex": rf"({_BYTE}\.){{3}}{_BYTE}"}},
    "a line": {"structured_outputs": {"regex": r"[^\n]{1,200}"}},
    "two words": {"structured_outputs": {"choice": ["positive", "negative"]}},
    "200 labels": {"structured_outputs": {"choice": [f"label number {n}" for n in range(200)]}},
    "JSON in GBNF": {"structured_outputs": {"grammar": _JSON_GBNF}},
    "arithmetic in GBNF": {"structured_outputs": {"grammar": _ARITHMETIC_GBNF}},
    "SQL in Lark": {"structured_outputs": {"grammar": _SQL_LARK}},
    "three strict tools": {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": f"tool_{n}",
                    "description": "Does something.",
                    "parameters": _object(_PERSON, optional=3),
                    "strict": True,
                },
            }
            for n in range(3)
        ],
        "tool_choice": "required",
    },
}  # fmt: skip


def cases(count: int) -> list[Fields]:
    """Return this number of hostile constraints, the same ones each time."""
    return [hostile(seed) for seed in itertools.islice(itertools.count(), count)]
