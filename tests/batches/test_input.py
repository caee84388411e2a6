"""The check of an input file, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.batches import input_lines
from service.batches.input_lines import BatchRequest, InputInvalid, check, read_requests
from tests.batches.conftest import CHAT, jsonl, request, requests

MAX_BODY = 64 * 1024


def faults(path: Path, data: bytes) -> list[tuple[int | None, str, str | None]]:
    """The line, code and parameter of each fault of a file."""
    path.write_bytes(data)
    with pytest.raises(InputInvalid) as invalid:
        check(path, CHAT, MAX_BODY)
    return [(fault.line, fault.code, fault.param) for fault in invalid.value.faults]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.jsonl"


def test_requests_are_read_in_order_without_those_that_are_done(path: Path):
    path.write_bytes(b"\xef\xbb\xbf" + jsonl(requests(2)) + b"\n \r\n" + jsonl([request(2)]))
    assert check(path, CHAT, MAX_BODY) == (3, "tiny-base")
    first, last = read_requests(path, MAX_BODY, {1})
    assert (first.number, first.custom_id) == (0, "request-0")
    assert last == BatchRequest(2, "request-2", json.dumps(request(2)["body"]).encode())


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in request(0).items() if key != name}


@pytest.mark.parametrize(
    ("row", "code", "param"),
    [
        (without("custom_id"), "missing_required_parameter", "custom_id"),
        ({**request(0), "custom_id": 7}, "invalid_value", "custom_id"),
        ({**request(0), "custom_id": ""}, "invalid_value", "custom_id"),
        ({**request(0), "custom_id": "x" * 513}, "invalid_value", "custom_id"),
        (without("method"), "missing_required_parameter", "method"),
        ({**request(0), "method": "GET"}, "invalid_method", "method"),
        (without("url"), "missing_required_parameter", "url"),
        ({**request(0), "url": "/v1/chat"}, "invalid_url", "url"),
        (without("body"), "missing_required_parameter", "body"),
        ({**request(0), "body": "x"}, "invalid_type", "body"),
        ({**request(0), "body": {}}, "missing_required_parameter", "body.model"),
        (request(0, model=None), "invalid_value", "body.model"),
        ("x", "invalid_json_line", None),
    ],
)
def test_each_fault_names_its_line(path: Path, row, code, param):
    assert faults(path, b"\n" + jsonl([row])) == [(2, code, param)]


def test_lines_that_are_no_json_or_too_long(path: Path):
    long = jsonl([request(0, stop="x" * 2 * MAX_BODY)])
    deep = b'{"custom_id": "a", "body": ' + b"[" * 100_000 + b"\n"
    broken = b'{"custom_id": "\xff"}\n{"custom_id"\n'
    assert faults(path, broken + long + deep) == [
        (1, "invalid_json_line", None),
        (2, "invalid_json_line", None),
        (3, "line_too_long", None),
        (4, "line_too_long", None),
    ]


def test_empty_files_and_files_with_too_many_requests(path: Path, monkeypatch):
    assert faults(path, b"\n\n") == [(None, "empty_file", None)]
    monkeypatch.setattr(input_lines, "MAX_REQUESTS", 2)
    assert faults(path, jsonl(requests(3))) == [(3, "too_many_requests", None)]


def test_only_the_first_faults_are_listed(path: Path):
    assert len(faults(path, b"x\n" * 100)) == 50
