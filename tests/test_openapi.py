"""openapi.json is what the app says, and says enough."""

from __future__ import annotations

import json
from pathlib import Path

from service.app import create_app
from service.config import Settings

FILE = Path(__file__).parent.parent / "openapi.json"


def test_openapi_json_is_what_the_app_generates():
    """Renew it with `make openapi`."""
    assert json.loads(FILE.read_text("utf-8")) == create_app(Settings()).openapi()


def test_every_operation_is_described():
    operations = [
        (path, operation)
        for path, methods in json.loads(FILE.read_text("utf-8"))["paths"].items()
        for operation in methods.values()
    ]
    ids = [operation["operationId"] for _, operation in operations]
    assert len(set(ids)) == len(ids)
    for path, operation in operations:
        assert operation["summary"], path
        assert operation["description"], path
        if path.startswith("/v1"):
            assert operation["security"], path
            assert {"400", "401", "404", "503"} <= set(operation["responses"]), path
            assert "422" not in operation["responses"], path
