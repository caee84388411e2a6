"""Tests of traces: no cost if disabled, connected if enabled, and without any content."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest
from fastapi import FastAPI

from service.core import tracing
from service.core.child import environment
from service.web.middleware import Traced
from tests.conftest import running
from tests.e2e.collector import collecting

COMMON, OWN = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({COMMON: ""}, None),
        ({COMMON: "http://c:4318"}, "http://c:4318/v1/traces"),
        ({COMMON: "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({COMMON: "http://c:4318", OWN: "http://t:1/x"}, "http://t:1/x"),
        ({OWN: "http://t:1/x", "OTEL_SDK_DISABLED": "True"}, None),
        ({COMMON: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_standard_variables_decide(environ, url):
    assert tracing.endpoint(environ) == url


@pytest.mark.slow
def test_opentelemetry_is_not_imported_if_tracing_is_off():
    code = (
        "import sys, service.server, service.worker.main\n"
        "from service.core import tracing\n"
        "tracing.start('api', '1')\n"
        "with tracing.span('a') as s: s.set(x=1); s.event('e'); s.fail('f')\n"
        "assert tracing.carrier() == {} and not tracing.is_on()\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_child_does_not_get_the_collectors_key(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    assert not [name for name in environment() if name.startswith("OTEL_")]


@pytest.fixture
def spans(monkeypatch):
    pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")
    with collecting() as collector:
        monkeypatch.setenv(COMMON, collector.url)
        tracing.start("api", "1")
        assert tracing.is_on()
        yield collector
        tracing.stop()


def api() -> Traced:
    app = FastAPI()

    @app.get("/things/{name}")
    async def thing(name: str) -> dict[str, str]:
        with tracing.span("inner", thing="one"):
            return tracing.carrier()

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("the words of a customer")

    return Traced(app, routes=frozenset())


async def test_requests_are_spans_by_route_below_the_callers(spans):
    async with running(api()) as url, httpx.AsyncClient(base_url=url) as http:
        trace, span = "1" * 32, "2" * 16
        headers = {"traceparent": f"00-{trace}-{span}-01", "tracestate": "a=b"}
        inside = (await http.get("/things/jane", headers=headers)).json()
        await http.get("/nothing")
        await http.get("/livez")
    tracing.stop()
    [inner], [outer] = spans.named("inner"), spans.named("GET /things/{name}")
    assert (outer.trace, outer.parent) == (trace, span)
    assert (inner.trace, inner.parent) == (trace, outer.id)
    assert inside["traceparent"] == f"00-{trace}-{inner.id}-01"
    assert inside["tracestate"] == "a=b"
    assert inner.attributes == {"finetuned.thing": "one"}
    assert outer.attributes["http.route"] == "/things/{name}"
    assert len(spans.named("GET unmatched")) == 1
    assert b"jane" not in b"".join(spans.raw)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_spans_of_failures_have_no_messages(spans):
    async with running(api()) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/broken")).status_code == 500
    with pytest.raises(KeyError), tracing.span("work"):
        raise KeyError("the words of a customer")
    tracing.stop()
    for name in ("GET /broken", "work"):
        [failed] = spans.named(name)
        assert failed.is_error
    assert b"words of a customer" not in b"".join(spans.raw)


async def test_an_unavailable_collector_delays_no_request(monkeypatch):
    pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")
    monkeypatch.setenv(COMMON, "http://127.0.0.1:1")
    tracing.start("api", "1")
    try:
        async with running(api()) as url, httpx.AsyncClient(base_url=url) as http:
            for _ in range(20):
                assert (await http.get("/things/a")).status_code == 200
    finally:
        monkeypatch.setattr("opentelemetry.sdk.trace.export.BatchSpanProcessor.shutdown", _nothing)
        tracing.stop()


def _nothing(_: object) -> None:
    """Do nothing. Stopping may take seconds, which these tests do not measure."""


def test_an_unsupported_protocol_is_refused(monkeypatch, caplog):
    monkeypatch.setenv(COMMON, "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    tracing.start("api", "1")
    assert not tracing.is_on()
    assert "http/protobuf" in caplog.text
