"""Tests of the canonical writer: what it changes, and that its output is self-contained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.datasets.checks.issues import IssueLog, RowIssues
from service.datasets.checks.rows import check_chat_row
from service.datasets.checks.validate import LineChecker, validate_file
from service.datasets.rows.lines import Batch, parse
from tests.datasets.support import canonical_form

pytestmark = pytest.mark.slow

CASES: list[tuple[str, str]] = [
    (
        '{"messages":[{"content":"a","role":"user"},{"role":"assistant","content":"\\u3042"}]}',
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"あ"}]}',
    ),
    (
        '{"messages":[{"role":"developer","content":"d"},{"role":"user","content":"a"},'
        '{"role":"assistant","content":"b","weight":0},{"role":"user","content":"c"},'
        '{"role":"assistant","content":"d","weight":1.0}]}',
        '{"messages":[{"role":"system","content":"d"},{"role":"user","content":"a"},'
        '{"role":"assistant","content":"b","weight":0},{"role":"user","content":"c"},'
        '{"role":"assistant","content":"d","weight":1}]}',
    ),
    (
        '{"messages":[{"role":"user","content":[{"type":"text","text":"a"},'
        '{"type":"text","text":"b"}]},{"role":"assistant","content":null,"refusal":"no"}]}',
        '{"messages":[{"role":"user","content":"a\\nb"},{"role":"assistant","content":"no"}]}',
    ),
    (
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":'
        '[{"id":"1","function":{"name":"f","arguments":{"場":1}}}]},'
        '{"role":"tool","tool_call_id":"1","content":"x"},{"role":"assistant","content":"b"}],'
        '"tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false}',
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":'
        '[{"id":"1","type":"function","function":{"name":"f","arguments":"{\\"場\\": 1}"}}]},'
        '{"role":"tool","content":"x","tool_call_id":"1"},{"role":"assistant","content":"b"}],'
        '"tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false}',
    ),
    *[
        (
            '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b",'
            f'"{field}":" c "}}]}}',
            '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":'
            '"<think>\\nc\\n</think>\\n\\nb"}]}',
        )
        for field in ("reasoning_content", "reasoning", "thinking")
    ],
    (
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","function_call":'
        '{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"x"},'
        '{"role":"assistant","content":"b"}],"functions":[{"name":"f"}]}',
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":'
        '[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},'
        '{"role":"tool","content":"x","name":"f","tool_call_id":"call_1"},'
        '{"role":"assistant","content":"b"}],'
        '"tools":[{"type":"function","function":{"name":"f"}}]}',
    ),
    (
        '{"messages":[{"role":"system","content":"s","tool_calls":1,"thinking":2},'
        '{"role":"user","content":"a","function_call":3},'
        '{"role":"assistant","content":"b","tool_call_id":4}]}',
        '{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},'
        '{"role":"assistant","content":"b"}]}',
    ),
]


@pytest.mark.parametrize(("row", "expected"), CASES)
def test_a_row_becomes_canonical(tmp_path: Path, row: str, expected: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text(row)
    out.write_bytes(canonical_form(source))
    assert out.read_text() == expected + "\n"
    assert canonical_form(out) == out.read_bytes()


# Values that are almost rows: each field is usually valid.
_text = st.text(max_size=8) | st.sampled_from(["", " ", "<|im_end|>", "\0", "a\x0cb", "\\"])
_junk: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-1, 2) | _text | st.just([]) | st.just({})
)
_roles = st.sampled_from(
    ["system", "developer", "user", "user", "assistant", "assistant", "tool", "function", "bot"]
)
_function = st.fixed_dictionaries({"name": st.just("f"), "arguments": _junk | st.just("{}")})
_call = st.fixed_dictionaries({"id": _text, "type": st.just("function"), "function": _function})
_message = st.fixed_dictionaries(
    {"role": _roles, "content": _text},
    optional={
        "name": _text,
        "weight": st.sampled_from([0, 1, 1.0, 2, "1"]),
        "tool_calls": st.lists(_call, max_size=2) | _junk,
        "function_call": _function | _junk,
        "tool_call_id": _text,
        "refusal": _junk,
        "extra": _junk,
    },
) | st.fixed_dictionaries({"role": _roles, "content": _text | _junk})
_row = st.fixed_dictionaries(
    {"messages": st.lists(_message | _junk, max_size=4) | st.lists(_message, min_size=1)},
    optional={"tools": st.lists(_junk | _call, max_size=2), "functions": _junk, "other": _junk},
)


_LEGACY_CALL = {
    "role": "assistant",
    "content": "",
    "weight": 1,
    "function_call": {"name": "f", "arguments": {}},
}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(row=_row | _junk, ascii_only=st.booleans())
def test_both_halves_of_the_validation_agree(row: Any, ascii_only: bool) -> None:
    """The fast path may accept only rows for which the detailed checks find no issue."""
    line = json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    log = IssueLog()
    LineChecker("chat", log).check(Batch(1, line, [line]))
    value, issue = parse(line)
    found = RowIssues(1)
    if issue is None:
        check_chat_row(found, value)
        assert log.issues == found.issues
    else:
        assert [i.code for i in log.issues] == [issue.code]


@settings(max_examples=200, deadline=None)
@given(line=st.binary(max_size=200))
def test_no_bytes_crash_the_checker(line: bytes) -> None:
    checker = LineChecker("chat", IssueLog())
    checker.check(Batch(1, line, line.split(b"\n")))
    assert checker.valid_rows <= checker.rows


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(_row, max_size=5))
@example(rows=[{"messages": [_LEGACY_CALL, {"role": "function", "name": "f", "content": "1"}]}])
def test_canonical_output_is_valid_and_its_own_canonical_form(
    tmp_path: Path, rows: list[Any]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    out.write_bytes(canonical_form(source))
    after = validate_file(out)
    assert after.valid_rows == after.rows == validate_file(source).valid_rows
    assert canonical_form(out) == out.read_bytes()
