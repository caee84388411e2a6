"""Tests that openapi.json passes Redocly's rules, and that the rules work."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.openapi.checks import lint
from tests.openapi.description import FILE, Json, description

pytestmark = pytest.mark.slow


def test_no_fault(tools: Path):
    assert lint(FILE, tools=tools) == []


def no_description(document: Json) -> None:
    del document["paths"]["/v1/files"]["get"]["description"]


def wrong_example(document: Json) -> None:
    answer = document["paths"]["/v1/files"]["get"]["responses"]["200"]
    answer["content"]["application/json"]["examples"]["oldest"]["value"]["has_more"] = "yes"


def no_example(document: Json) -> None:
    answer = document["paths"]["/v1/files/{file_id}"]["get"]["responses"]["200"]
    del answer["content"]["application/json"]["examples"]


def unused(document: Json) -> None:
    document["components"]["schemas"]["Unused"] = {"type": "string"}


def no_header(document: Json) -> None:
    del document["paths"]["/v1/files"]["get"]["responses"]["200"]["headers"]


def no_security(document: Json) -> None:
    del document["paths"]["/v1/files"]["get"]["security"]


FAULTS: dict[Callable[[Json], None], str] = {
    no_description: "operation-description",
    wrong_example: "no-invalid-media-type-examples",
    no_example: "rule/an-answer-has-an-example",
    unused: "no-unused-components",
    no_header: "response-contains-header",
    no_security: "security-defined",
}
"""The rule that each breaks."""


def test_each_fault_is_found(tools: Path, tmp_path: Path):
    """All faults are made at once, each in a part of its own."""
    document = copy.deepcopy(description())
    for spoil in FAULTS:
        spoil(document)
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document), "utf-8")
    found = lint(file, tools=tools)
    for spoil, rule in FAULTS.items():
        assert sum(fault.startswith(rule) for fault in found) == 1, spoil.__name__
