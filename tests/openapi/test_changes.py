"""Tests that breaking changes are found and require a version that allows them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
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
    schema(document, "FileObject")["required"].remove("bytes")


def answer_type_changed(document: Json) -> None:
    schema(document, "FileObject")["properties"]["bytes"]["type"] = "string"


def answer_enum_widened(document: Json) -> None:
    schema(document, "FileStatus")["enum"].append("deleted")


def answer_status_changed(document: Json) -> None:
    answers = files_get(document)["responses"]
    answers["202"] = answers.pop("200")


def media_type_removed(document: Json) -> None:
    answers = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    del answers["200"]["content"]["text/event-stream"]


def body_property_required(document: Json) -> None:
    schema(document, "CreateProject")["properties"]["owner"] = {"type": "string"}
    schema(document, "CreateProject")["required"].append("owner")


def body_property_became_required(document: Json) -> None:
    schema(document, "CreateJob")["required"].append("suffix")


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
    files_get(document)["parameters"].pop()


def query_bound_tightened(document: Json) -> None:
    for parameter in files_get(document)["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = 100


BREAKING = [
    *(operation_removed, path_removed, operation_id_changed, answer_property_removed),
    *(answer_property_no_longer_sure, answer_type_changed, answer_enum_widened),
    *(answer_status_changed, media_type_removed, body_property_required),
    *(body_property_became_required, body_property_removed, body_enum_narrowed),
    *(body_type_narrowed, body_required, query_required, query_removed, query_bound_tightened),
]


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


@pytest.fixture
def found(tools: Path, tmp_path: Path) -> Callable[[Change], list[str]]:
    """Return the breaking changes."""

    def compare(change: Change) -> list[str]:
        document = copy.deepcopy(description())
        change(document)
        after = tmp_path / "after.json"
        after.write_text(json.dumps(document), "utf-8")
        return breaking(FILE, after, tools=tools)

    return compare


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: change.__name__)
def test_a_change_that_breaks_is_found(change: Change, found: Callable[[Change], list[str]]):
    assert found(change)


def test_changes_that_break_nothing_are_free(found: Callable[[Change], list[str]]):
    def all_at_once(document: Json) -> None:
        for change in FREE:
            change(document)

    assert found(all_at_once) == []


def test_the_version_decides(tools: Path, tmp_path: Path):
    """The same change is refused within a version and allowed by the next one."""
    document = copy.deepcopy(description())
    operation_removed(document)
    after = tmp_path / "after.json"
    after.write_text(json.dumps(document), "utf-8")
    _, version = released()
    major, minor, patch = (int(number) for number in version.split("."))
    assert changes_of(after, version, tools=tools)
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
