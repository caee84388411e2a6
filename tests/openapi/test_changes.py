"""Tests that breaking changes are found and require a version that allows them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from service import __version__
from tests.openapi.checks import breaking, changes_of, may_break, released
from tests.openapi.description import FILE, Json, description

pytestmark = pytest.mark.slow

Change = Callable[[Json], None]


def test_nothing_breaks_what_was_released(tools: Path):
    """If it fails, undo the change, or raise the version so that it allows breaking changes."""
    assert changes_of(FILE, __version__, tools=tools, since=released()) == []


def schema(document: Json, name: str) -> Json:
    return document["components"]["schemas"][name]


def files_get(document: Json) -> Json:
    return document["paths"]["/v1/files"]["get"]


def operation_removed(document: Json) -> None:
    del document["paths"]["/v1/files/{file_id}"]["delete"]


def answer_property_removed(document: Json) -> None:
    del schema(document, "FileObject")["properties"]["bytes"]
    schema(document, "FileObject")["required"].remove("bytes")


def answer_type_changed(document: Json) -> None:
    schema(document, "FileObject")["properties"]["created_at"]["type"] = "string"


def body_property_required(document: Json) -> None:
    schema(document, "CreateProject")["properties"]["owner"] = {"type": "string"}
    schema(document, "CreateProject")["required"].append("owner")


def body_required(document: Json) -> None:
    pause = document["paths"]["/v1/fine_tuning/jobs/{job_id}/pause"]["post"]
    content = {"application/json": {"schema": {"type": "object"}}}
    pause["requestBody"] = {"required": True, "content": content}


def query_required(document: Json) -> None:
    more = {"name": "team", "in": "query", "required": True, "schema": {"type": "string"}}
    files_get(document)["parameters"].append(more)


BREAKING: dict[Change, str] = {
    operation_removed: "Operation `DELETE /v1/files/{file_id}` was removed",
    answer_property_removed: "Property `bytes` of `FileObject` was removed",
    answer_type_changed: "Type of `created_at` widened from 'integer' to 'string'",
    body_property_required: "Properties of `CreateProject` became required: `owner`",
    body_required: "/v1/fine_tuning/jobs/{job_id}/pause/post/requestBody: added",
    query_required: "Required `team` query parameter was added",
}
"""The report of each. No two change the same part, so one comparison reports all.

Redocly finds them; only a required body is found here (`checks.breaking`).
"""


def operation_added(document: Json) -> None:
    document["paths"]["/v1/files/all"] = {"get": copy.deepcopy(files_get(document))}
    document["paths"]["/v1/files/all"]["get"]["operationId"] = "listAllFiles"


def query_added(document: Json) -> None:
    more = {"name": "team", "in": "query", "schema": {"type": "string"}}
    files_get(document)["parameters"].append(more)


def error_added(document: Json) -> None:
    files_get(document)["responses"]["410"] = {"description": "It is gone."}


def words_changed(document: Json) -> None:
    files_get(document)["description"] = "Other words."


FREE = [operation_added, query_added, error_added, words_changed]


def compared(changes: Iterable[Change], folder: Path, tools: Path) -> list[str]:
    """Return what breaks if all these changes are made at once."""
    document = copy.deepcopy(description())
    for change in changes:
        change(document)
    after = folder / "after.json"
    after.write_text(json.dumps(document), "utf-8")
    return breaking(FILE, after, tools=tools)


def test_each_breaking_change_is_found(tools: Path, tmp_path: Path):
    found = compared(BREAKING, tmp_path, tools)
    for change, fault in BREAKING.items():
        assert sum(fault in one for one in found) == 1, change.__name__


def test_compatible_changes_are_not_reported(tools: Path, tmp_path: Path):
    assert compared(FREE, tmp_path, tools) == []


def test_the_version_decides(tools: Path, tmp_path: Path):
    """The same change is refused within a version and allowed by the next one."""
    document = copy.deepcopy(description())
    operation_removed(document)
    after = tmp_path / "after.json"
    after.write_text(json.dumps(document), "utf-8")
    since = tmp_path / "1.2.0.json"
    since.symlink_to(FILE)
    assert changes_of(after, "1.2.1", tools=tools, since=since)
    assert changes_of(after, "2.0.0", tools=tools, since=since) == []


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.9", False),
        ("0.1.0", "0.2.0", True),
        ("0.9.0", "1.0.0", True),
        ("1.2.0", "1.3.0", False),
        ("1.2.0", "2.0.0", True),
        ("2.0.0", "1.9.0", False),
        ("0.2.0", "0.1.0", False),
    ],
)
def test_which_versions_may_break(before: str, after: str, may: bool):
    assert may_break(before, after) is may
