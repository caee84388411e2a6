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
    assert changes_of(FILE, __version__, tools=tools) == []


def schema(document: Json, name: str) -> Json:
    return document["components"]["schemas"][name]


def files_get(document: Json) -> Json:
    return document["paths"]["/v1/files"]["get"]


def operation_removed(document: Json) -> None:
    del document["paths"]["/v1/files/{file_id}"]["delete"]


def path_removed(document: Json) -> None:
    del document["paths"]["/v1/aliases"]


def operation_id_changed(document: Json) -> None:
    files_get(document)["operationId"] = "filesList"


def answer_property_removed(document: Json) -> None:
    del schema(document, "FileObject")["properties"]["bytes"]
    schema(document, "FileObject")["required"].remove("bytes")


def answer_property_no_longer_sure(document: Json) -> None:
    schema(document, "ProjectObject")["required"].remove("name")


def answer_type_changed(document: Json) -> None:
    schema(document, "FileObject")["properties"]["created_at"]["type"] = "string"


def answer_enum_widened(document: Json) -> None:
    schema(document, "FileStatus")["enum"].append("deleted")


def answer_status_changed(document: Json) -> None:
    answers = document["paths"]["/v1/organization/projects"]["get"]["responses"]
    answers["202"] = answers.pop("200")


def media_type_removed(document: Json) -> None:
    answers = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    del answers["200"]["content"]["text/event-stream"]


def body_property_required(document: Json) -> None:
    schema(document, "CreateProject")["properties"]["owner"] = {"type": "string"}
    schema(document, "CreateProject")["required"].append("owner")


def body_property_became_required(document: Json) -> None:
    schema(document, "CreateJob")["required"].append("seed")


def body_property_removed(document: Json) -> None:
    del schema(document, "CreateJob")["properties"]["suffix"]


def body_enum_narrowed(document: Json) -> None:
    schema(document, "Role")["enum"].remove("admin")


def body_type_narrowed(document: Json) -> None:
    schema(document, "CreateJob")["properties"]["model"] = {"type": "integer"}


def body_required(document: Json) -> None:
    pause = document["paths"]["/v1/fine_tuning/jobs/{job_id}/pause"]["post"]
    content = {"application/json": {"schema": {"type": "object"}}}
    pause["requestBody"] = {"required": True, "content": content}


def query_required(document: Json) -> None:
    more = {"name": "team", "in": "query", "required": True, "schema": {"type": "string"}}
    files_get(document)["parameters"].append(more)


def query_removed(document: Json) -> None:
    parameters = files_get(document)["parameters"]
    parameters[:] = [parameter for parameter in parameters if parameter["name"] != "purpose"]


def query_bound_tightened(document: Json) -> None:
    for parameter in files_get(document)["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = 100


BREAKING: dict[Change, str] = {
    operation_removed: "Operation `DELETE /v1/files/{file_id}` was removed",
    path_removed: "Path `/v1/aliases` was removed",
    operation_id_changed: "changed from 'listFiles' to 'filesList'",
    answer_property_removed: "Property `bytes` of `FileObject` was removed",
    answer_property_no_longer_sure: "Properties of `ProjectObject` are no longer required: `name`",
    answer_type_changed: "Type of `created_at` widened from 'integer' to 'string'",
    answer_enum_widened: "Enum of `FileStatus` gained values: 'deleted'",
    answer_status_changed: "Response `200` became `202`",
    media_type_removed: "Media type `text/event-stream` was removed",
    body_property_required: "Properties of `CreateProject` became required: `owner`",
    body_property_became_required: "Properties of `CreateJob` became required: `seed`",
    body_property_removed: "Property `suffix` of `CreateJob` was removed",
    body_enum_narrowed: "Enum of `role` lost values: 'admin'",
    body_type_narrowed: "Type of `model` narrowed from 'string' to 'integer'",
    body_required: "/v1/fine_tuning/jobs/{job_id}/pause/post/requestBody: added",
    query_required: "Required `team` query parameter was added",
    query_removed: "`purpose` query parameter was removed",
    query_bound_tightened: "Upper bound changed from '<= 10000' to '<= 100'",
}
"""What is reported of each. No two change the same part, so one comparison reports all."""


def operation_added(document: Json) -> None:
    document["paths"]["/v1/files/all"] = {"get": copy.deepcopy(files_get(document))}
    document["paths"]["/v1/files/all"]["get"]["operationId"] = "listAllFiles"


def answer_property_added(document: Json) -> None:
    schema(document, "FileObject")["properties"]["owner"] = {"type": "string"}


def body_property_added(document: Json) -> None:
    schema(document, "CreateJob")["properties"]["owner"] = {"type": "string"}


def query_added(document: Json) -> None:
    more = {"name": "team", "in": "query", "schema": {"type": "string"}}
    files_get(document)["parameters"].append(more)


def error_added(document: Json) -> None:
    files_get(document)["responses"]["410"] = {"description": "It is gone."}


def words_changed(document: Json) -> None:
    files_get(document)["description"] = "Other words."


def query_bound_widened(document: Json) -> None:
    for parameter in files_get(document)["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = 100_000


FREE = [
    *(operation_added, answer_property_added, body_property_added, query_added, error_added),
    *(words_changed, query_bound_widened),
]


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
    _, version = released()
    major, minor, patch = (int(number) for number in version.split("."))
    assert changes_of(after, f"{major}.{minor}.{patch + 1}", tools=tools)
    assert changes_of(after, f"{major + 1}.0.0", tools=tools) == []


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
