"""Tests that errors of requests are worded like OpenAI's, and that all bodies are strict."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.app import create_app
from service.config import Settings

JOBS = "/v1/fine_tuning/jobs"
JOB = {"model": "tiny", "training_file": "file-abc"}
GRADER = {"type": "string_check", "name": "a"}
CUSTOM = {"type": "custom", "item_schema": {}}


def hyper(**chosen: Any) -> dict[str, Any]:
    return {**JOB, "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}}}


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        ("/v1/files?limit=0", None, "limit", "expected a value >= 1, but got 0 instead"),
        ("/v1/files?limit=x", None, "limit", "expected an integer, but got a string instead"),
        ("/v1/files?order=up", None, "order",
         "expected 'asc' or 'desc', but got another string instead"),
        (JOBS, {**JOB, "seed": -1}, "seed", "expected a value >= 0, but got -1 instead"),
        (JOBS, {**JOB, "suffix": 5}, "suffix", "expected a string, but got 5 instead"),
        (JOBS, {**JOB, "suffix": "x" * 99}, "suffix",
         "expected at most 64 characters, but got 99 instead"),
        (JOBS, {**JOB, "metadata": []}, "metadata", "expected an object, but got an array instead"),
        (JOBS, {**JOB, "metadata": {"a": True}}, "metadata.a",
         "expected a string, but got true instead"),
        (JOBS, hyper(n_epochs=0), "method.supervised.hyperparameters.n_epochs",
         "expected a value >= 1 or 'auto', but got 0 instead"),
        (JOBS, {**JOB, "hyperparameters": {"batch_size": 1000}}, "hyperparameters.batch_size",
         "expected a value <= 256 or 'auto', but got 1000 instead"),
        (JOBS, [1], None, "Invalid body: expected an object, but got an array instead"),
        ("/v1/evals", {"data_source_config": CUSTOM, "testing_criteria": [GRADER]},
         "testing_criteria.0.input", "Missing required parameter: 'testing_criteria.0.input'."),
        ("/v1/evals", {"data_source_config": CUSTOM, "testing_criteria": [{"type": "best"}]},
         "testing_criteria.0.type", "but got another string instead"),
        ("/v1/evals", {"data_source_config": CUSTOM, "testing_criteria": [{"name": "a"}]},
         "testing_criteria.0.type", "Missing required parameter: 'testing_criteria.0.type'."),
        ("/v1/uploads", {"bytes": "x", "filename": "", "mime_type": "a", "purpose": "fine-tune"},
         "filename", "expected at least 1 character, but got 0 instead (and 1 more error)"),
    ],
)  # fmt: skip
async def test_errors_are_worded_like_openais(
    http: httpx.AsyncClient, path: str, body: Any, param: str | None, message: str
):
    answer = await (http.get(path) if body is None else http.post(path, json=body))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    assert message in error["message"]
    for word in ("Input should", "constrained", "valid dictionary", "should have"):
        assert word not in error["message"]


async def test_the_text_of_a_wrong_value_is_not_repeated(http: httpx.AsyncClient):
    answer = await http.post(JOBS, json={**JOB, "metadata": "my secret", "seed": "my secret"})
    assert answer.status_code == 400
    assert "secret" not in answer.text


def models_in(kind: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation, with those of their fields."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind in seen:
            return
        seen.add(kind)
        yield kind
        for field in kind.model_fields.values():
            yield from models_in(field.annotation, seen)
    for part in typing.get_args(kind):
        yield from models_in(part, seen)


def bodies() -> list[type[BaseModel]]:
    seen: set[type[BaseModel]] = set()
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    return [
        model
        for route in routes
        if route.body_field is not None
        for model in models_in(route.body_field.field_info.annotation, seen)
    ]


def test_every_model_of_a_body_is_strict():
    found = bodies()
    assert len(found) > 50
    assert [m.__qualname__ for m in found if m.model_config.get("strict") is not True] == []
    assert [m.__qualname__ for m in found if m.model_config.get("extra") != "forbid"] == []
