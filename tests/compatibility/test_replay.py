"""Tests that a program written against version 0.2 works with this version."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict, replace
from email.utils import parsedate_to_datetime
from typing import Final

import pytest

from tests.compatibility.exchange import Comparison, Exchange, read
from tests.compatibility.record import RECORDING, Replay, run

pytestmark = pytest.mark.slow

_STATE, _ROOM, _CURSOR = ("invalid_state", 409), ("limit_reached", 429), ("invalid_cursor", 400)
# Errors that 0.3 changed: code and parameter before, code and status now.
CHANGED_CODES: Final = {
    ("invalid_export_status", None): _STATE,
    ("invalid_generation_status", None): _STATE,
    ("invalid_sweep_status", None): _STATE,
    ("export_not_succeeded", None): _STATE,
    ("encoder_not_found", "encoder"): ("unsupported_parameter", 400),
    ("not_served", "model"): ("model_not_served", 503),
    ("too_many_advice", None): _ROOM,
    ("too_many_exports", None): _ROOM,
    ("too_many_file_tasks", None): _ROOM,
    ("too_many_queued_jobs", None): _ROOM,
    ("too_many_unfinished_generations", None): _ROOM,
    ("invalid_value", "after"): _CURSOR,
}
_DEPRECATED_FROM: Final = (0, 3)
# Receipts are read where they were.
_KEPT: Final = {"GET /v1/erasure_receipts", "GET /v1/erasure_receipts/{receipt_id}"}
_LINK: Final = re.compile(r'<([^>]+)>; ?rel="successor-version"')


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return read(RECORDING)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    return asyncio.run(run(tmp_path_factory.mktemp("replay")))


def differences(before: list[Exchange], after: list[Exchange]) -> list[str]:
    comparison = Comparison(CHANGED_CODES)
    pairs = zip(before, after, strict=False)
    return [found for pair in pairs for found in comparison.differences(*pair)]


def responses_to(recorded: list[Exchange]) -> list[Exchange]:
    """Return the recorded exchanges as a server could answer, with values for placeholders."""
    text = json.dumps([asdict(one) for one in recorded])
    text = re.sub(r'"<(?:time|number)>"', "1800000000", text)
    text = re.sub("<([0-9]+)>", lambda match: f"{int(match[1]):024}", text)
    return [Exchange(**one) for one in json.loads(text.replace('"<each>", ', ""))]


def test_responses_are_those_of_0_2(recorded, replay):
    found = differences(recorded, replay.exchanges)
    assert not found, "\n".join(found)
    if replay.failure is not None:
        raise replay.failure
    assert len(recorded) == len(replay.exchanges)


def test_deprecated_routes_name_their_successors(recorded, replay):
    """From 0.3 on, all routes that the program uses are deprecated, except those of receipts."""
    paths = replay.description["paths"]
    deprecated = {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method, described in methods.items()
        if described.get("deprecated")
    }
    if _numbers(replay.description["info"]["version"]) >= _DEPRECATED_FROM:
        assert not {exchange.operation for exchange in recorded} - _KEPT - deprecated
    present = [path for path, methods in paths.items() if set(methods) - _methods(deprecated, path)]
    for exchange in replay.exchanges:
        if exchange.operation in deprecated:
            _check_headers(exchange, present)
        else:
            assert "deprecation" not in exchange.headers, str(exchange)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall("[0-9]+", version)[:2])


def _methods(operations: set[str], path: str) -> set[str]:
    """Return the methods that operations have at a path."""
    found = (operation.split(" ") for operation in operations)
    return {method.lower() for method, at in found if at == path}


def _check_headers(exchange: Exchange, present: list[str]) -> None:
    headers = exchange.headers
    deprecated_at = re.fullmatch("@([0-9]+)", headers.get("deprecation", ""))
    assert deprecated_at is not None, str(exchange)
    assert {"sunset", "link"} <= headers.keys(), str(exchange)
    sunset = parsedate_to_datetime(headers["sunset"])
    assert int(deprecated_at[1]) < sunset.timestamp(), str(exchange)
    link = _LINK.fullmatch(headers["link"])
    assert link is not None, f"{exchange}: {headers['link']}"
    patterns = [re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)) for path in present]
    target = link[1].partition("?")[0]
    assert any(re.fullmatch(pattern, target) for pattern in patterns) or target in present, target


def test_what_breaks_a_client_would_be_found(recorded):
    present = responses_to(recorded)
    assert differences(recorded, present) == []
    first = present[0]
    without = {name: value for name, value in first.body.items() if name != "training_file"}
    for body, found in (
        ({**without, "cleaned_file": None}, "training_file is missing"),
        ({**first.body, "status": "queued"}, "'in_progress' is now 'queued'"),
        ({**first.body, "created_at": "2026-01-01"}, "created_at"),
        ({**first.body, "file_id": first.body["id"]}, "file_id"),
    ):
        [told] = differences(recorded, [replace(first, body=body)])
        assert found in told
    assert differences(recorded, [replace(first, body={**first.body, "metadata": {}})]) == []
    assert differences(recorded, [replace(first, status=202)]) != []
    assert differences(recorded, [replace(first, headers={})]) != []


def test_an_object_keeps_its_id(recorded):
    present = responses_to(recorded)
    first, again = present[:2]
    assert first.body["id"] == again.body["id"]
    other = replace(again, body={**again.body, "id": "fileclean-" + "9" * 24})
    assert differences(recorded, [first, other]) != []


def test_only_known_codes_of_errors_may_change(recorded):
    error = next(one for one in recorded if one.status == 429)
    assert CHANGED_CODES[error.body["error"]["code"], None] == _ROOM
    for code, status, is_known in (
        ("limit_reached", 429, True),
        ("limit_reached", 400, False),
        ("no_room", 429, False),
    ):
        body = {"error": {**error.body["error"], "code": code}}
        found = differences([error], [replace(error, status=status, body=body)])
        assert (found == []) is is_known
