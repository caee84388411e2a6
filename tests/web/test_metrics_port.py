"""Tests that metrics have a separate port, and that the public port does not serve them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import create_app
from service.config import Settings
from service.web.side_port import PortTaken, serve_metrics
from tests.conftest import Api, running
from tests.web.test_security_headers import DEFAULTS, safe


async def test_the_public_port_has_no_metrics_and_keeps_its_probes(api: Api):
    async with httpx.AsyncClient(base_url=api.base_url) as client:
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_the_metrics_port_serves_only_metrics(api: Api):
    async with (
        serve_metrics(api.app.state.redis, "127.0.0.1", 0) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "finetuned_queue_depth" in answer.text
        assert (await client.get("/v1/models")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 405),
        ("GET", "/v1/models", 404),
        ("POST", "/metrics", 405),
    ],
)
async def test_the_metrics_port_answers_like_the_public_port(api: Api, method, path, status):
    async with (
        serve_metrics(api.app.state.redis, "127.0.0.1", 0) as url,
        httpx.AsyncClient() as client,
    ):
        answer = await client.request(method, f"{url}{path}")
        assert answer.status_code == status
        assert safe(answer.headers) == DEFAULTS
        assert "server" not in answer.headers
        if status >= 400:
            # The public port has the same body for a path and a method that it does not know.
            other = "/livez" if status == 405 else "/v1/nothing"
            public = await client.request(method, f"{api.base_url}{other}")
            assert answer.headers.get("allow") == public.headers.get("allow")
            if method != "HEAD":
                assert answer.json() == json.loads(public.text.replace(other, path))


async def test_a_taken_port_is_named(api: Api):
    redis = api.app.state.redis
    async with serve_metrics(redis, "127.0.0.1", 0) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(PortTaken, match=f"{port}.*FINETUNED_API_METRICS_PORT"):
            async with serve_metrics(redis, "127.0.0.1", port):
                pass


async def test_the_app_serves_metrics_during_its_lifespan(settings: Settings, caplog):
    caplog.set_level("INFO", logger="service.web.side_port")
    app = create_app(settings.model_copy(update={"api_metrics_port": 0}), with_metrics_port=True)
    async with running(app), httpx.AsyncClient() as client:
        (url,) = re.findall(r"http://\S+/metrics", caplog.text)
        assert (await client.get(url)).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient().get(url)


@pytest.fixture
async def process(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """The api as a separate process: its URL and that of its metrics."""
    env = {
        "FINETUNED_REDIS_URL": settings.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_DATA_DIR": str(settings.data_dir),
        "FINETUNED_MODELS_FILE": str(settings.models_file),
        "FINETUNED_API_PORT": "0",
        "FINETUNED_API_METRICS_PORT": "0",
        "FINETUNED_CLIENT_TIMEOUT_S": "0.5",
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "service.cli", "api"),
        env=os.environ | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert child.stdout is not None
    try:
        said = ""
        async with asyncio.timeout(60):
            while "running on" not in said:
                line = await child.stdout.readline()
                assert line, said
                said += line.decode()
        metrics, public = re.findall(r"http://[0-9.]+:[0-9]+", said)
        yield public, metrics
    finally:
        child.terminate()
        await child.communicate()


@pytest.mark.e2e
async def test_the_process_has_both_ports_and_the_limits_of_its_settings(process):
    public, metrics = process
    async with httpx.AsyncClient() as client:
        assert "finetuned_build_info" in (await client.get(f"{metrics}/metrics")).text
        assert (await client.get(f"{public}/metrics")).status_code == 404
    host, port = public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /livez HTTP/1.1\r\n")
    assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 408 ")
    writer.close()
