"""Tests of CORS: no other origins by default, and the configured ones on every route."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from service.app import create_app
from service.config import Settings
from tests.conftest import Api, running

PAGE = "https://tools.example"
ROUTES = [("GET", "/v1/files"), ("POST", "/v1/chat/completions"), ("PUT", "/v1/aliases/a")]


def asked_before(method: str, origin: str = PAGE) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_cors_is_off_by_default(http, method, path):
    asked = await http.options(path, headers=asked_before(method))
    answered = await http.request(method, path, headers={"origin": PAGE})
    for answer in (asked, answered):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_configured_origin_may_send_and_read(settings: Settings, method, path):
    app = create_app(settings.model_copy(update={"cors_origins": (PAGE,)}))
    async with running(app) as url, httpx.AsyncClient(base_url=url) as http:
        asked = await http.options(path, headers=asked_before(method))
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert method in asked.headers["access-control-allow-methods"]
        assert "x-stainless-lang" in asked.headers["access-control-allow-headers"]

        refused = await http.request(method, path, headers={"origin": PAGE})
        assert refused.status_code == 401  # an error, too, must be readable
        assert refused.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in refused.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in refused.headers

        other = await http.options(path, headers=asked_before(method, "https://other.example"))
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers


async def test_cors_does_not_wrap_the_app_by_default(api: Api):
    assert api.app.serve is None


@pytest.mark.parametrize("origin", ["tools.example", "https://tools.example/", "https://a.b/page"])
def test_invalid_origins_are_refused(origin):
    with pytest.raises(ValidationError, match="https://HOST"):
        Settings(cors_origins=(origin,))


def test_origins_are_set_as_json(monkeypatch):
    monkeypatch.setenv("FINETUNED_CORS_ORIGINS", f'["{PAGE}"]')
    assert Settings().cors_origins == (PAGE,)
