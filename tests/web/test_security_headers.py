"""Tests of security headers and CORS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import ValidationError

from service.app import create_app
from service.config import Settings
from service.web.security_headers import SAFE
from tests.conftest import Api, running

DEFAULTS = {name.decode(): value.decode() for name, value in SAFE}


def safe(headers: Mapping[str, str]) -> dict[str, str]:
    """Return these headers of a response, each of which must be there once."""
    # httpx joins the values of headers that occur twice, and aiohttp keeps both.
    assert sum(name.lower() in DEFAULTS for name in headers) == len(DEFAULTS), headers
    return {name: headers[name] for name in DEFAULTS}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/files", 200),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/files", 405),
        ("GET", "/livez", 200),
        ("POST", "/v1/chat/completions", 400),
    ],
)
async def test_every_response_has_security_headers(http, method, path, status):
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert safe(answer.headers) == DEFAULTS


async def test_responses_to_wrong_keys_have_security_headers(api: Api):
    async with await api.client() as http:
        for path in ("/v1/files", "/v1/models"):
            answer = await http.get(path, headers={"authorization": "Bearer sk-ft-wrong"})
            assert answer.status_code == 401
            assert safe(answer.headers) == DEFAULTS


async def test_a_browser_without_a_key_gets_a_page(api: Api):
    path = "/v1/evals/eval_1/runs/evalrun_1/output_items"
    async with await api.client() as http:
        del http.headers["authorization"]
        page = await http.get(f"{path}?a='<b>", headers={"accept": "text/html,*/*;q=0.8"})
        assert page.status_code == 401
        assert page.headers["content-type"].startswith("text/html")
        assert f"&#x27;{api.base_url}{path}?a=" in page.text
        assert "<b>" not in page.text
        assert safe(page.headers) == DEFAULTS
        plain = await http.get(path)
        assert plain.json()["error"]["code"] == "invalid_api_key"


async def test_reference_pages_have_their_own_headers(api: Api):
    async with await api.client() as http:
        page = safe((await http.get("/docs")).headers)
        assert "script-src 'self'" in page.pop("content-security-policy")
        assert page.items() <= DEFAULTS.items()
        asset = safe((await http.get("/docs/swagger-ui.css")).headers)
        assert asset["cache-control"] == "public, max-age=86400"
        assert asset["x-content-type-options"] == "nosniff"


async def test_malformed_requests_get_security_headers(api: Api):
    address = urlsplit(api.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"NONSENSE\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"http/1.1 400")
    for name, value in SAFE:
        assert head.count(name + b": " + value.lower()) == 1


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
