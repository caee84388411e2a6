"""Tests of what all responses share: error bodies, request ids, probes, an unavailable Redis."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from prometheus_client import generate_latest
from pydantic import SecretStr

from service.app import create_app
from tests.conftest import Api, running
from tests.http_server import http_server

ROOT = Path(__file__).parents[2]
METHODS = {"OPTIONS", "PATCH", "PUT", "DELETE", "POST", "GET"}


async def test_request_id_of_the_caller_is_kept_when_it_is_safe(http):
    kept = await http.get("/livez", headers={"x-request-id": "abc-1"})
    assert kept.headers["x-request-id"] == "abc-1"
    other = await http.get("/livez", headers={"x-request-id": 'a" onload='})
    assert other.headers["x-request-id"].startswith("req_")


async def test_ready_says_which_part_is_away(api: Api, http):
    assert (await http.get("/readyz")).json() == {
        "status": "ok",
        "parts": {"redis": "ok", "storage": "ok"},
    }


async def test_one_missing_engine_of_several_leaves_the_service_ready(settings):
    """A probe that removed the service then would fail the requests for the other model too."""
    healthy = {"a": True, "b": True}

    def engine(model: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            if not healthy[model]:
                await asyncio.sleep(60)  # it hangs
            return web.Response()

        return answer

    async def readiness(**now: bool) -> tuple[int, dict[str, Any]]:
        healthy.update(now)
        expected = {model: "ok" if up else "away" for model, up in healthy.items()}
        async with asyncio.timeout(60):
            while True:  # until the probes have noticed
                found = await client.get("/readyz")
                if found.json().get("models") == expected:
                    return found.status_code, found.json()
                await asyncio.sleep(0.05)

    async with http_server(engine("a")) as a, http_server(engine("b")) as b:
        update = {
            "upstreams": {"a": a, "b": b},
            "ready_parts": ("redis", "inference"),
            "upstream_probe_every_s": 0.2,
        }
        app = create_app(settings.model_copy(update=update))
        async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
            status, body = await readiness()
            assert (status, body["status"]) == (200, "ok")
            status, body = await readiness(b=False)
            assert (status, body["status"]) == (200, "degraded")
            assert body["parts"] == {"redis": "ok", "inference": "degraded"}
            status, body = await readiness(a=False)
            assert (status, body["status"]) == (503, "away")
            assert body["parts"] == {"redis": "ok", "inference": "away"}


@pytest.mark.slow
async def test_without_redis_answers_are_503_with_retry_after(settings):
    away = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    app = create_app(away)
    async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        headers = {"authorization": "Bearer sk-ft-x"}
        for request in (
            client.get("/v1/files", headers=headers),
            client.post("/v1/chat/completions", json={"model": "m"}, headers=headers),
        ):
            answer = await request
            assert answer.status_code == 503
            assert answer.json()["error"]["type"] == "server_error"
            assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["parts"]["redis"] == "away"


async def test_internal_errors_reveal_nothing(api: Api, http):
    async def broken() -> None:
        raise RuntimeError("secret detail")

    api.app.add_api_route("/broken", broken)
    answer = await http.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]


async def test_metrics_label_routes_not_paths(http):
    await http.get("/v1/files/file-abc")
    await http.get("/v1/whatever/123")
    text = generate_latest().decode()
    assert 'route="/v1/files/{file_id}"' in text
    assert "file-abc" not in text
    assert "whatever" not in text


async def test_undeclared_methods_are_405_and_allow_names_the_declared_ones(http):
    document = json.loads((ROOT / "openapi.json").read_text("utf-8"))
    described = {path: {*map(str.upper, methods)} for path, methods in document["paths"].items()}
    for template, methods in described.items():
        path = re.sub(r"\{\w+\}", "x", template)
        # A path may also match the template of another one, such as one with an ID.
        allowed = set().union(
            *(
                known
                for other, known in described.items()
                if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", other), path)
            )
        )
        others = sorted(METHODS - allowed)
        for method in others[:1] if "{" in template else others:
            answer = await http.request(method, path)
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"].split(", ") == sorted(methods), (method, path)
            assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
            assert answer.headers["x-request-id"].startswith("req_")
