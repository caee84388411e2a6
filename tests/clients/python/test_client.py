"""Tests of the options of requests, raw responses, request IDs, pages, logs and pickling."""

from __future__ import annotations

import http.server
import logging
import pickle
import ssl
import threading
from pathlib import Path

import finetuned
import httpx2
import openai
import pytest

from tests.certificates import make_certificates
from tests.clients.python.relay import answering
from tests.conftest import BASE_MODEL, Api

pytestmark = pytest.mark.slow


async def test_options_of_one_request(api: Api, client: finetuned.AsyncClient):
    headers = {"x-request-id": "req_of_the_caller"}
    found = await client.models.retrieve(BASE_MODEL, extra_headers=headers)
    assert found._request_id == "req_of_the_caller"
    async with answering(b"") as url:
        silent = finetuned.AsyncClient(api_key="k", base_url=url)
        with pytest.raises(finetuned.TimedOut):
            await silent.models.retrieve("m", timeout=0.2, max_retries=0)
        with pytest.raises(finetuned.TimedOut):
            await silent.with_options(timeout=0.2, max_retries=0).models.retrieve("m")


def test_unknown_parameters_are_errors():
    client = finetuned.Client(api_key="k", base_url="http://127.0.0.1:1")
    with pytest.raises(TypeError, match="validaton_file"):
        client.fine_tuning.jobs.create(model="m", training_file="f", validaton_file="v")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="limt"):
        client.files.list(limt=1)  # type: ignore[call-arg]


class _Models(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"object": "list", "data": [], "has_more": false}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_a_private_certificate_on_loopback_needs_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = make_certificates(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Models)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(files.ca))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nothing listens
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        with finetuned.Client(api_key="k", base_url=url, max_retries=0) as client:
            assert client.models.list().data == []
            assert client.openai.models.list().data == []
    finally:
        server.shutdown()
        server.server_close()


async def test_with_options_shares_the_connections(client: finetuned.AsyncClient):
    named = client.with_options(extra_headers={"x-request-id": "req_of_all"})
    assert (await named.models.retrieve(BASE_MODEL))._request_id == "req_of_all"
    assert (await client.models.retrieve(BASE_MODEL))._request_id != "req_of_all"
    await named.close()
    assert (await client.models.retrieve(BASE_MODEL)).id == BASE_MODEL


@pytest.mark.parametrize("timeout", [None, 0.5, 2.0])
def test_waits_allow_the_server_to_wait_itself(timeout: float | None):
    limits: list[tuple[float, float]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        limits.append((request.extensions["timeout"]["read"], float(request.url.params["wait"])))
        return httpx2.Response(404, json={"error": {"message": "Unknown."}})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:  # 5 s by default
        client = finetuned.Client(api_key="k", base_url="http://server", http_client=http)
        if timeout is not None:
            client = client.with_options(timeout=timeout)
        with pytest.raises(finetuned.NotFound):
            client.model_exports.wait("export-1")
    assert all(limit > wait == 30 for limit, wait in limits)
    assert limits


def test_a_later_header_replaces_an_earlier_one_whatever_its_case():
    sent: list[httpx2.Headers] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers)
        return httpx2.Response(200, json={"object": "list", "data": []})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = finetuned.Client(
            api_key="k", base_url="http://s", http_client=http, default_headers={"X-Team": "a"}
        )
        client.models.list(extra_headers={"x-team": "b"})
        client.with_options(extra_headers={"X-TEAM": "c"}).models.list()
        client.with_options(extra_headers={"Authorization": "Basic d"}).models.list()
    assert [headers.get_list("x-team") for headers in sent] == [["b"], ["c"], ["a"]]
    assert sent[2].get_list("authorization") == ["Basic d"]


@pytest.mark.parametrize("body", [b"[]", b'{"ok": true}', b'{"data": null}', b"<html>"])
def test_a_response_that_is_no_list_is_told(body: bytes):
    with httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))
    ) as http:
        client = finetuned.Client(api_key="k", base_url="http://s", http_client=http)
        with pytest.raises(finetuned.UnexpectedAnswer, match="is not a valid"):
            client.models.list()


def test_a_response_that_cannot_be_decoded_is_told():
    def answer(_: httpx2.Request) -> httpx2.Response:
        stream = httpx2.ByteStream(b"no gzip")
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=stream)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = finetuned.Client(api_key="k", base_url="http://s", http_client=http)
        with pytest.raises(finetuned.UnexpectedAnswer, match="cannot be decoded"):
            client.whoami.retrieve()


def test_an_own_http_client_has_the_time_limit_that_is_given():
    limits: list[float] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        limits.append(request.extensions["timeout"]["read"])
        return httpx2.Response(200, json={"object": "list", "data": []})

    with httpx2.Client(transport=httpx2.MockTransport(answer), timeout=7.0) as http:
        for given in (None, 2.0):
            finetuned.Client(
                api_key="k", base_url="http://s", http_client=http, timeout=given
            ).models.list()
    assert limits == [7.0, 2.0]


async def test_raw_responses_have_status_and_headers(client: finetuned.AsyncClient):
    raw = await client.models.with_raw_response.retrieve(BASE_MODEL)
    assert (raw.status_code, raw.headers["content-type"]) == (200, "application/json")
    found = raw.parse()
    assert found.id == BASE_MODEL
    assert raw.request_id == found._request_id == raw.headers["x-request-id"]
    page = (await client.models.with_raw_response.list(limit=1)).parse()
    assert [model.id async for model in page] == [BASE_MODEL]
    assert BASE_MODEL.encode() in raw.content


async def test_request_ids_are_no_part_of_objects(client: finetuned.AsyncClient):
    first, second = [await client.models.retrieve(BASE_MODEL) for _ in range(2)]
    assert first._request_id != second._request_id
    assert first == second
    assert "_request_id" not in first.model_dump()
    assert finetuned.types.AliasTarget(model="m", weight=1)._request_id is None


async def test_logs_name_requests_without_keys_and_bodies(
    client: finetuned.AsyncClient, key: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG, "finetuned"):
        await client.aliases.set("secret-name", model=BASE_MODEL, gate={"chrf_gain": ">=5"})
    (record,) = [r for r in caplog.records if r.name == "finetuned"]
    assert record.getMessage().startswith("PUT aliases/secret-name: 200 in ")
    assert "(request req_" in record.getMessage()
    assert key not in caplog.text
    assert "chrf_gain" not in caplog.text


async def test_clients_can_be_pickled(client: finetuned.AsyncClient, key: str):
    copy = pickle.loads(pickle.dumps(client.with_options(max_retries=1)))
    async with copy:
        assert copy.base_url == client.base_url
        assert (await copy.models.retrieve(BASE_MODEL)).id == BASE_MODEL
    with httpx2.Client() as http:
        own = finetuned.Client(api_key=key, http_client=http)
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(own)


async def test_a_wait_is_told_of_changes_alone(client: finetuned.AsyncClient, story):
    seen: list[str] = []
    await story.end()
    found = await client.fine_tuning.jobs.wait(
        story.job.id, on_change=lambda job: seen.append(job.status)
    )
    assert found.status == "succeeded"
    assert seen == ["succeeded"]


async def test_the_openai_sdk_has_the_options_of_the_client(client: finetuned.AsyncClient):
    sdk = client.with_options(timeout=7, extra_headers={"x-team": "search"}).openai
    assert isinstance(sdk, openai.AsyncOpenAI)
    assert (sdk.timeout, sdk.default_headers["x-team"]) == (7, "search")
