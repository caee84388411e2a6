"""Tests of TLS between the parts, with certificates of a private CA."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web
from pydantic import ValidationError
from redis.exceptions import ConnectionError

from service.config import Settings
from service.core.redis import connect
from service.inference.upstreams.client import EngineClient, Timeouts
from service.standalone.services import free_port, http_ok
from tests.cached import ROOT
from tests.certificates import Certificates, make_certificates
from tests.e2e.conftest import wait_for

START = "the-name-of-a-start"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("others")).ca


@pytest.fixture(scope="module")
def valkey(redis_url: str, certificates: Certificates) -> Iterator[str]:
    """The URL of a Valkey behind TLS: the one of the tests is built without it."""
    target = urlsplit(redis_url)
    loop, context = asyncio.new_event_loop(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pipe(reader, inner[1]), pipe(inner[0], writer))

    server = loop.run_until_complete(asyncio.start_server(forward, "127.0.0.1", 0, ssl=context))
    loop.set_exception_handler(lambda *_: None)  # clients that refuse the certificate
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    login = f"{target.netloc.rpartition('@')[0]}@" if "@" in target.netloc else ""
    port = server.sockets[0].getsockname()[1]
    yield f"rediss://{login}127.0.0.1:{port}{target.path}"

    async def end() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def api(valkey: str, certificates: Certificates, tmp_path_factory) -> Iterator[str]:
    """The URL of an API process that speaks https, and TLS with its Redis."""
    folder, port = tmp_path_factory.mktemp("api"), free_port()
    env = {
        "FINETUNED_REDIS_URL": f"{valkey}?ssl_ca_certs={certificates.ca}",
        "FINETUNED_STORAGE_URL": f"file://{folder}/storage",
        "FINETUNED_DATA_DIR": str(folder),
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_API_METRICS_PORT": str(free_port()),
        "FINETUNED_API_TLS_CERT": str(certificates.cert),
        "FINETUNED_API_TLS_KEY": str(certificates.key),
    }
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "service.cli", "api"],
            cwd=ROOT,
            env=os.environ | env | {"FINETUNED_START_ID": START},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        url = f"https://127.0.0.1:{port}"

        def is_up() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            return httpx.get(f"{url}/livez", verify=False).status_code == 200

        wait_for(is_up, 60, "the start of the api")
        yield url
        process.terminate()
        process.wait()


async def test_the_api_speaks_https_to_clients_and_tls_to_redis(api: str, certificates, other_ca):
    trusted = ssl.create_default_context(cafile=certificates.ca)
    answer = httpx.get(f"{api}/readyz", verify=trusted)
    assert answer.json() == {"status": "ok", "parts": {"redis": "ok", "storage": "ok"}}
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{api}/readyz", verify=ssl.create_default_context(cafile=other_ca))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{api.replace('https', 'http')}/readyz")
    # The probe of `up`, which no process of another start answers.
    assert await http_ok(f"{api}/livez", START)()
    assert not await http_ok(f"{api}/livez", "another")()
    assert START not in str(httpx.get(f"{api}/livez", verify=trusted).headers)


def test_the_health_check_of_the_image_speaks_https_too(api: str, certificates):
    check = [sys.executable, str(ROOT / "scripts" / "healthcheck.py")]
    env = {"FINETUNED_API_PORT": api.rpartition(":")[2], "PATH": os.environ["PATH"]}
    for tls, code in (({"FINETUNED_API_TLS_CERT": str(certificates.cert)}, 0), ({}, 1)):
        done = subprocess.run(
            [*check, "FINETUNED_API_PORT", "/livez"],
            env=env | tls,
            check=False,
            capture_output=True,
        )
        assert done.returncode == code


async def test_redis_with_a_certificate_of_another_ca_is_refused(valkey: str, other_ca: Path):
    client = connect(f"{valkey}?ssl_ca_certs={other_ca}", retries=0)
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await client.ping()
    await client.aclose(close_connection_pool=True)


async def test_an_engine_needs_a_certificate_of_the_ca(certificates, other_ca, monkeypatch):
    hosts: set[str] = set()

    async def health(request: web.Request) -> web.Response:
        hosts.add(request.host)
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    for ca, healthy in ((certificates.ca, True), (other_ca, False)):
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        async with EngineClient(Timeouts(5, 5, 5)) as client:
            assert await client.is_healthy(url, timeout_s=60) is healthy
            # Found by a name, it must have a certificate for the name.
            for name, named in (("localhost", True), ("other.example", False)):
                found = url.replace("127.0.0.1", f"{name}@127.0.0.1")
                assert await client.is_healthy(found, timeout_s=60) is (healthy and named)
    assert hosts == {urlsplit(url).netloc, f"localhost:{runner.addresses[0][1]}"}
    await runner.cleanup()


def test_a_certificate_needs_its_key(certificates):
    with pytest.raises(ValidationError, match="api_tls_cert and api_tls_key: set both, or neither"):
        Settings(api_tls_cert=certificates.cert)
