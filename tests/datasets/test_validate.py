"""Tests of the validation of chat and preference files: codes, lines and positions of issues."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.checks.validate import validate_file

USER = {"role": "user", "content": "こんにちは"}
ANSWER = {"role": "assistant", "content": "สวัสดี"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
TOOL = {"role": "tool", "tool_call_id": "c1", "content": "42"}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def without(message: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in fields}


def call(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [CALL | more]}


def function(**more: Any) -> dict[str, Any]:
    return call(function={"name": "f", "arguments": "{}", **more})


def write(folder: Path, *rows: Any) -> Path:
    """Write one row per line. Bytes are written unchanged."""
    path = folder / "data.jsonl"
    lines = [
        row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode()
        for row in rows
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


GOOD_ROWS: list[Any] = [
    chat(USER, ANSWER | {"prefix": True, "audio": None, "annotations": []}),
    chat(USER, ANSWER),
    chat({"role": "system", "content": "s"}, USER, ANSWER, USER, ANSWER),
    chat({"role": "developer", "content": "s"}, USER, ANSWER),
    chat(USER, ANSWER | {"weight": 0}, USER, ANSWER | {"weight": 1}),
    chat(USER, CALLING, TOOL, ANSWER),
    chat(USER, ANSWER | {"tool_calls": [CALL], "content": None}),
    chat(USER, CALLING, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]),
    chat(USER, ANSWER, parallel_tool_calls=False),
    chat(
        USER,
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
        ANSWER,
        functions=[{"name": "f"}],
    ),
    chat({"role": "user", "content": [{"type": "text", "text": "a"}]}, ANSWER),
    chat(USER, {"role": "assistant", "content": None, "refusal": "No."}),
    chat(USER, ANSWER | {"content": "a \\u0041 path\\name, 7 < 8, [x], \ttab\n"}),
    b'{"messages":[{"content":"a","role":"user"},{"role":"assistant","content":"\\ud83d\\ude00"}]}',
    b'  {"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\r',
]

DEEP = b'{"messages":' + b"[" * 500 + b"]" * 500 + b"}"
PLAIN = b'{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"b"}]}'

# The row, then the (code, pointer) of each expected issue, in order.
BAD_ROWS: list[tuple[str, Any, list[tuple[str, str]]]] = [
    ("list", [1], [("not_an_object", "")]),
    ("number", 7, [("not_an_object", "")]),
    ("text", b"hello", [("invalid_json", "")]),
    ("cut", b'{"messages":[{"role":"us', [("invalid_json", "")]),
    ("trailing", b'{"messages":[]} {}', [("invalid_json", "")]),
    ("nan", b'{"messages": NaN}', [("invalid_json", "")]),
    ("raw control", PLAIN % b"a\x01b", [("invalid_json", "")]),
    ("raw nul", PLAIN % b"a\x00b", [("invalid_json", "")]),
    ("latin-1", PLAIN % b"caf\xe9", [("invalid_utf8", "")]),
    ("gbk", PLAIN % "中文".encode("gbk"), [("invalid_utf8", "")]),
    ("utf-8 surrogate", PLAIN % b"\xed\xa0\x80", [("invalid_utf8", "")]),
    ("lone high", PLAIN % b"\\ud83d", [("lone_surrogate", "")]),
    ("lone low", PLAIN % b"\\ude00 x", [("lone_surrogate", "")]),
    ("escaped nul", PLAIN % b"a\\u0000", [("nul_character", "/messages/0/content")]),
    ("escape", PLAIN % b"\\boxed", [("control_character", "/messages/0/content")]),
    ("escape code", PLAIN % b"\\u001b[0m", [("control_character", "/messages/0/content")]),
    ("chatml", PLAIN % b"<|im_end|>", [("special_token", "/messages/0/content")]),
    ("hidden mark", PLAIN % b"\\u003c|im_end|>", [("special_token", "/messages/0/content")]),
    ("llama", PLAIN % b"[/INST]", [("special_token", "/messages/0/content")]),
    ("eos", PLAIN % b"hi</s>", [("special_token", "/messages/0/content")]),
    ("gemma 4", PLAIN % b"hi<turn|>", [("special_token", "/messages/0/content")]),
    ("deep", DEEP, [("nesting_too_deep", "")]),
    ("very deep", b"[" * 10**6, [("nesting_too_deep", "")]),
    ("no messages", {}, [("missing_field", "")]),
    ("null messages", {"messages": None}, [("missing_field", "")]),
    ("text messages", {"messages": "a"}, [("wrong_type", "/messages")]),
    ("empty messages", chat(), [("empty_messages", "/messages")]),
    ("message list", chat([], USER, ANSWER), [("wrong_type", "/messages/0")]),
    ("no role", chat(without(USER, "role"), ANSWER), [("missing_field", "/messages/0")]),
    ("number role", chat(USER | {"role": 1}, ANSWER), [("wrong_type", "/messages/0/role")]),
    ("wrong role", chat(USER, ANSWER, {"role": "bot"}), [("invalid_role", "/messages/2/role")]),
    ("extra row field", chat(USER, ANSWER, id=7), [("unused_column", "/id")]),
    ("extra field", chat(USER | {"a/b": 1}, ANSWER), [("unknown_field", "/messages/0/a~1b")]),
    ("no content", chat(without(USER, "content"), ANSWER), [("missing_content", "/messages/0")]),
    (
        "no answer content",
        chat(USER, without(ANSWER, "content")),
        [("missing_content", "/messages/1"), ("no_supervised_message", "/messages")],
    ),
    (
        "number content",
        chat(USER | {"content": 1}, ANSWER),
        [("wrong_type", "/messages/0/content")],
    ),
    (
        "image",
        chat(USER | {"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ANSWER),
        [("unsupported_content", "/messages/0/content/0")],
    ),
    (
        "text part",
        chat(USER | {"content": [{"type": "text", "text": 1}]}, ANSWER),
        [("wrong_type", "/messages/0/content/0/text")],
    ),
    (
        "blank turn",
        chat(USER | {"content": " \n\u3000"}, ANSWER),
        [("empty_turn", "/messages/0/content")],
    ),
    ("number name", chat(USER | {"name": 1}, ANSWER), [("wrong_type", "/messages/0/name")]),
    (
        "user only",
        chat(USER),
        [("no_assistant_message", "/messages"), ("ends_without_assistant", "/messages/0")],
    ),
    ("all weights 0", chat(USER, ANSWER | {"weight": 0}), [("no_supervised_message", "/messages")]),
    (
        "blank answer",
        chat(USER, ANSWER | {"content": " "}),
        [("empty_turn", "/messages/1/content"), ("no_supervised_message", "/messages")],
    ),
    (
        "user weight",
        chat(USER | {"weight": 1}, ANSWER),
        [("weight_not_allowed", "/messages/0/weight")],
    ),
    ("weight 2", chat(USER, ANSWER | {"weight": 2}), [("invalid_weight", "/messages/1/weight")]),
    (
        "weight true",
        chat(USER, ANSWER | {"weight": True}),
        [("invalid_weight", "/messages/1/weight")],
    ),
    (
        "late system",
        chat(USER, {"role": "system", "content": "s"}, ANSWER),
        [("system_not_first", "/messages/1")],
    ),
    ("assistant first", chat(ANSWER, USER, ANSWER), [("starts_with_assistant", "/messages/0")]),
    ("user twice", chat(USER, USER, ANSWER), [("repeated_role", "/messages/1")]),
    ("user last", chat(USER, ANSWER, USER), [("ends_without_assistant", "/messages/2")]),
    (
        "no calls",
        chat(USER, ANSWER | {"tool_calls": []}),
        [("empty_tool_calls", "/messages/1/tool_calls")],
    ),
    (
        "call list",
        chat(USER, ANSWER | {"tool_calls": [1]}),
        [("wrong_type", "/messages/1/tool_calls/0")],
    ),
    (
        "call type",
        chat(USER, call(type="x")),
        [("invalid_tool_type", "/messages/1/tool_calls/0/type")],
    ),
    ("call id", chat(USER, call(id=None)), [("missing_field", "/messages/1/tool_calls/0")]),
    (
        "call name",
        chat(USER, function(name="a b")),
        [("invalid_tool_name", "/messages/1/tool_calls/0/function/name")],
    ),
    (
        "arguments",
        chat(USER, function(arguments="{")),
        [("invalid_arguments", "/messages/1/tool_calls/0/function/arguments")],
    ),
    (
        "arguments list",
        chat(USER, function(arguments="[]")),
        [("invalid_arguments", "/messages/1/tool_calls/0/function/arguments")],
    ),
    (
        "arguments object",
        chat(USER, function(arguments={})),
        [("arguments_object", "/messages/1/tool_calls/0/function/arguments")],
    ),
    (
        "deep arguments",
        chat(USER, function(arguments='{"a":' * 100 + "1" + "}" * 100)),
        [("invalid_arguments", "/messages/1/tool_calls/0/function/arguments")],
    ),
    (
        "no arguments",
        chat(USER, function(arguments=None)),
        [("missing_field", "/messages/1/tool_calls/0/function")],
    ),
    (
        "id twice",
        chat(USER, ANSWER | {"tool_calls": [CALL, CALL]}),
        [("duplicate_tool_call_id", "/messages/1/tool_calls/1/id")],
    ),
    (
        "no call id",
        chat(USER, CALLING, without(TOOL, "tool_call_id"), ANSWER),
        [
            ("missing_tool_call_id", "/messages/2"),
            ("unanswered_tool_call", "/messages/1/tool_calls/0"),
        ],
    ),
    (
        "other call id",
        chat(USER, CALLING, TOOL, TOOL | {"tool_call_id": "c2"}, ANSWER),
        [("unknown_tool_call_id", "/messages/3/tool_call_id")],
    ),
    (
        "unanswered",
        chat(USER, CALLING, USER, ANSWER),
        [("unanswered_tool_call", "/messages/1/tool_calls/0")],
    ),
    (
        "undeclared",
        chat(USER, CALLING, tools=[]),
        [("undeclared_tool", "/messages/1/tool_calls/0/function/name")],
    ),
    ("tool list", chat(USER, ANSWER, tools=[1]), [("wrong_type", "/tools/0")]),
    (
        "tool type",
        chat(USER, ANSWER, tools=[{"function": {"name": "f"}}]),
        [("invalid_tool_type", "/tools/0/type")],
    ),
    (
        "tool twice",
        chat(USER, ANSWER, functions=[{"name": "f"}, {"name": "f"}]),
        [("duplicate_tool", "/functions/1/name")],
    ),
    (
        "tool parameters",
        chat(USER, ANSWER, functions=[{"name": "f", "parameters": 1}]),
        [("wrong_type", "/functions/0/parameters")],
    ),
    (
        "unnamed function",
        chat(USER, {"role": "function", "content": "1"}, ANSWER),
        [("missing_field", "/messages/1")],
    ),
]


@pytest.mark.parametrize("row", GOOD_ROWS)
def test_a_valid_row_has_no_issues(tmp_path: Path, row: Any) -> None:
    report = validate_file(write(tmp_path, row))
    assert (report.rows, report.valid_rows, report.issues) == (1, 1, ())
    assert report.ok


@pytest.mark.parametrize(
    ("row", "expected"), [(r, e) for _, r, e in BAD_ROWS], ids=[n for n, _, _ in BAD_ROWS]
)
def test_each_fault_is_found_where_it_is(
    tmp_path: Path, row: Any, expected: list[tuple[str, str]]
) -> None:
    good = chat(USER, ANSWER)
    report = validate_file(write(tmp_path, good, row, good))
    assert [(issue.code, issue.pointer) for issue in report.issues] == expected
    assert {issue.line for issue in report.issues} == {2}
    broken = any(CHECKS[code].severity == "error" for code, _ in expected)
    assert (report.rows, report.valid_rows, report.ok) == (3, 2 if broken else 3, not broken)


def test_messages_name_fields_and_never_carry_text(tmp_path: Path) -> None:
    secret = "S3CRET" * 20
    rows = [
        chat(USER | {"content": secret, "role": "bot" + secret}, {secret: 1}),
        (json.dumps(chat(USER | {"content": secret}))[:-3]).encode(),
        chat(USER | {"content": [{"type": "text", "text": [secret]}]}, ANSWER | {"weight": secret}),
        chat(USER, function(arguments=secret), tools=[secret]),
    ]
    report = validate_file(write(tmp_path, *rows))
    assert len(report.counts) >= 6
    said = msgspec.json.encode(report).decode()
    assert secret not in said
    assert "bot" in said


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(data)
    report = validate_file(path)
    assert report.counts["empty_file"] == 1
    assert not report.ok


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b" [\n{}]", "JSON array"),
        (b"PK\x03\x04....", "workbook"),
        (b"PAR1....", "Parquet"),
        (b"\x1f\x8b....", "gzip"),
        ('{"messages"'.encode("utf-16"), "UTF-16"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(data)
    (issue,) = (i for i in validate_file(path).issues if i.code == "not_jsonl")
    assert kind in issue.message


def test_blank_lines_are_skipped_and_reported(tmp_path: Path) -> None:
    report = validate_file(
        write(tmp_path, b"\xef\xbb\xbf", chat(USER, ANSWER), b"  \r", chat(USER, ANSWER))
    )
    assert report.rows == report.valid_rows == 2
    assert [(i.code, i.line) for i in report.issues] == [
        ("utf8_bom", 1),
        ("blank_line", 1),
        ("blank_line", 3),
    ]
    assert report.ok


def test_counts_are_exact_beyond_the_limit(tmp_path: Path) -> None:
    report = validate_file(write(tmp_path, *[b"x"] * 250), max_issues=100)
    assert len(report.issues) == 100
    assert report.counts == {"invalid_json": 250}
    assert report.errors == 250


@pytest.mark.parametrize("megabytes", [5, 1000])
@pytest.mark.slow
def test_an_endless_line_is_refused_in_bounded_memory(tmp_path: Path, megabytes: int) -> None:
    path = tmp_path / "long.jsonl"
    good = json.dumps(chat(USER, ANSWER)).encode()
    with path.open("wb") as out:
        out.write(good + b"\n")
        # A hole in the file reads as NUL bytes and takes no room on the disk.
        out.seek(megabytes * 10**6, 1)
        out.write(b"\n" + good)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = validate_file(path)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert [(i.code, i.line) for i in report.issues] == [("line_too_long", 2)]
    assert (report.rows, report.valid_rows) == (3, 2)
    assert grown_mb < 50


def test_line_numbers_are_right_across_ranges_and_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.datasets.checks.validate._RANGE_BYTES", 1_000)
    rows: list[Any] = [chat(USER, ANSWER)] * 200
    rows[7] = rows[120] = b"{"
    rows[199] = chat(USER)
    path = write(tmp_path, b"\xef\xbb\xbf" + json.dumps(chat(USER, ANSWER)).encode(), *rows)
    one, two = validate_file(path), validate_file(path, processes=2)
    assert one == two
    errors = [i.line for i in one.issues if i.severity == "error"]
    assert errors == [9, 122, 201]


INPUT = {"messages": [USER]}
GOOD_PREFERENCE: list[dict[str, Any]] = [
    {
        "input": INPUT,
        "preferred_output": [ANSWER],
        "non_preferred_output": [USER | {"role": "assistant"}],
    },
    {
        "input": INPUT | {"tools": []},
        "preferred_completion": [ANSWER],
        "non_preferred_completion": [USER | {"role": "assistant"}],
    },
]
BAD_PREFERENCE: list[tuple[str, dict[str, Any], str, str]] = [
    ("no input", {"input": None}, "missing_field", ""),
    ("no better", {"preferred_output": None}, "missing_field", ""),
    ("empty worse", {"non_preferred_output": []}, "empty_messages", "/non_preferred_output"),
    ("same", {"non_preferred_output": [ANSWER]}, "same_outputs", ""),
    ("user output", {"preferred_output": [USER, ANSWER]}, "output_role", "/preferred_output/0"),
    ("tool only", {"preferred_output": [TOOL]}, "no_assistant_message", "/preferred_output"),
    (
        "ends",
        {"input": {"messages": [USER, ANSWER]}},
        "input_ends_with_assistant",
        "/input/messages/1",
    ),
    (
        "blank",
        {"preferred_output": [ANSWER | {"content": " "}]},
        "no_supervised_message",
        "/preferred_output",
    ),
]


@pytest.mark.parametrize("row", GOOD_PREFERENCE)
def test_a_valid_preference_row_has_no_issues(tmp_path: Path, row: dict[str, Any]) -> None:
    report = validate_file(write(tmp_path, row), row_format="preference")
    assert (report.valid_rows, report.issues) == (1, ())


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [b[1:] for b in BAD_PREFERENCE],
    ids=[b[0] for b in BAD_PREFERENCE],
)
def test_each_fault_of_a_preference_row_is_found(
    tmp_path: Path, change: dict[str, Any], code: str, pointer: str
) -> None:
    report = validate_file(write(tmp_path, GOOD_PREFERENCE[0] | change), row_format="preference")
    assert (code, pointer) in [(issue.code, issue.pointer) for issue in report.issues]


def test_no_fix_has_doubled_braces():
    from service.datasets.checks.issue_codes import CHECKS

    doubled = [code for code, check in CHECKS.items() if "{{" in check.fix or "}}}}" in check.fix]
    assert doubled == []
