"""A real vLLM with our plugin and guard, behind a real gateway, on the demo model."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from service.config import Settings
from service.core.redis import connect
from service.core.storage import Storage
from service.inference.engine.launch import engine_command
from service.inference.upstreams import Timeouts
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry
from tests.inference.engine.support import settings_on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BASE = "demo"
START_TIMEOUT_S = 180
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]

# Random adapters, strong enough to change what the model says.
MAKE_ADAPTERS = """
import sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
base, *targets = sys.argv[1:]
for seed, target in enumerate(targets):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    model = get_peft_model(
        model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.2)
    model.save_pretrained(target)
"""


def name_of(adapter: str) -> str:
    return f"ft:{BASE}:acme:{adapter}:e2e001"


@dataclass
class Installation:
    """One engine and what it stands on."""

    settings: Settings
    model: BaseModelEntry
    folder: Path
    log: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def adapters(demo_model_path, tmp_path_factory) -> dict[str, Path]:
    """Folders as PEFT writes them: three that work, and one made for another model."""
    root = tmp_path_factory.mktemp("adapters")
    folders = {name: root / name for name in ("one", "two", "three")}
    subprocess.run(
        [sys.executable, "-c", MAKE_ADAPTERS, str(demo_model_path), *map(str, folders.values())],
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    shutil.copytree(folders["one"], root / "stranger")
    _rename_layers(root / "stranger" / "adapter_model.safetensors")
    return {**folders, "stranger": root / "stranger"}


def _rename_layers(file: Path) -> None:
    """Move all tensors to layers that no model of this size has."""
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + length].replace(b".layers.", b".layers.9")
    file.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])


@pytest.fixture(scope="module")
def installation(demo_model_path, redis_url, adapters, tmp_path_factory):
    """A running engine; adapters are in storage and in the registry."""
    folder = tmp_path_factory.mktemp("installation")
    settings = settings_on(
        folder,
        _database_1(redis_url),
        max_loras=2,
        max_cpu_loras=2,
        max_lora_rank=8,
        max_model_len=1024,
        adapter_cache_bytes=1,
        lookup_cache_s=0.1,
    )
    model = BaseModelEntry(
        id=BASE, path=Path(demo_model_path), license="apache-2.0", context_length=8192
    )
    Catalogue(settings.models_file).add(model)
    asyncio.run(_register(settings, adapters))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "engine.log"
    process = _start(settings, model, port, log)
    yield Installation(settings, model, folder, log, port, process)
    _stop(process)


def _database_1(url: str) -> str:
    """Apart from the database that other tests of the session empty."""
    return urlsplit(url)._replace(path="/1").geturl()


async def _register(settings: Settings, adapters: dict[str, Path]) -> None:
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    registry = ModelRegistry(redis, Catalogue(settings.models_file), cache_s=0.0)
    storage = Storage.from_url(settings.storage_url)
    sources = {**adapters, "spoiled": adapters["one"], "lost": adapters["one"]}
    for adapter, source in sources.items():
        manifest = await storage.put_folder(f"adapters/{adapter}", source)
        await registry.register(
            ModelRecord(
                id=name_of(adapter),
                project_id="proj_acme",
                created_at=1,
                base_model=BASE,
                job_id="ftjob-1",
                artifact=f"adapters/{adapter}",
                digest=manifest.digest,
                step=1,
            )
        )
    await redis.aclose(close_connection_pool=True)
    root = Path(settings.storage_url.removeprefix("file://")) / "adapters"
    spoiled = root / "spoiled" / "adapter_model.safetensors"
    raw = bytearray(spoiled.read_bytes())
    raw[-1] ^= 0xFF
    spoiled.write_bytes(raw)
    shutil.rmtree(root / "lost")


def _start(settings, model, port, log) -> subprocess.Popen[bytes]:
    command = engine_command(settings, model, port)
    env = command.environment(os.environ) | {
        "FINETUNED_REDIS_URL": settings.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_MODELS_FILE": str(settings.models_file),
        "FINETUNED_ADAPTER_CACHE_BYTES": str(settings.adapter_cache_bytes),
        "FINETUNED_MAX_LORA_RANK": str(settings.max_lora_rank),
        "PATH": str(_without_compilers(log.parent)),
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command.argv, env=env, stdout=sink, stderr=sink, start_new_session=True
        )
    until = time.monotonic() + START_TIMEOUT_S
    while not _healthy(port):
        if process.poll() is not None or time.monotonic() > until:
            _stop(process)
            pytest.fail(f"the engine did not start:\n{log.read_text('utf-8')[-4000:]}")
        time.sleep(0.2)
    return process


def _without_compilers(parent: Path) -> Path:
    """A PATH as in our images: vLLM asks lscpu for the cores."""
    folder = parent / "bin"
    if not folder.exists():
        folder.mkdir()
        (folder / "lscpu").symlink_to(shutil.which("lscpu"))
    return folder


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
async def client(installation, gateway):
    """A caller of a gateway in front of the engine."""
    redis = connect(installation.settings.redis_url.get_secret_value())
    models = ModelRegistry(redis, Catalogue(installation.settings.models_file), cache_s=0.0)
    # The machine may have other work to do.
    patient = Timeouts(connect_s=10, first_byte_s=240, between_chunks_s=240)
    yield await gateway([installation.url], base=BASE, models=models, timeouts=patient)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def ask(client):
    """Ask a model through the gateway; returns status and body."""

    async def ask(model: str, *, key="sk-ft-acme", **changes):
        body = {"model": model, "messages": QUESTION, "max_tokens": 12, "temperature": 0}
        async with client.post(key=key, json={**body, **changes}) as response:
            return response.status, await response.json()

    return ask


@pytest.fixture
def ask_engine(installation, client):
    """Ask the engine itself, with its key, as nothing but the gateway should."""

    async def ask(model: str):
        async with client.session.post(
            installation.url + "/v1/chat/completions",
            headers={"authorization": "Bearer engine-secret"},
            json={"model": model, "messages": QUESTION},
        ) as response:
            return response.status, await response.json()

    return ask


def said(answer) -> str:
    status, body = answer
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


async def test_an_adapter_answers_on_its_first_request(ask):
    base = said(await ask(BASE))
    one = said(await ask(name_of("one")))
    assert "Paris" in base
    assert one != base
    assert said(await ask(name_of("one"))) == one


async def test_base_and_two_adapters_at_once(ask):
    models = [BASE, name_of("one"), name_of("two")]
    alone = [said(await ask(m)) for m in models]
    assert len(set(alone)) == 3
    together = await asyncio.gather(*(ask(m) for m in models * 3))
    assert [a[1]["model"] for a in together] == models * 3
    answers = {m: {said(a) for a in together[i::3]} for i, m in enumerate(models)}
    # vLLM's own CPU operators would give the base model an adapter here, see cpu_lora.py.
    assert answers[BASE] == {alone[0]}
    # Batches of other sizes round otherwise, so an adapter's words may change.
    assert answers[models[1]].isdisjoint(answers[models[2]] | answers[BASE])
    assert answers[models[2]].isdisjoint(answers[BASE])


@pytest.mark.parametrize("model", [BASE, name_of("one")])
async def test_log_probabilities_need_no_compiler(ask, model):
    status, body = await ask(model, logprobs=True, top_logprobs=2)
    assert status == 200, body
    tokens = body["choices"][0]["logprobs"]["content"]
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in tokens)
    assert "Paris" in said(await ask(BASE))  # it lives on


async def test_more_adapters_than_the_engine_keeps_in_memory(ask):
    """It drops one and reads it from its folder again; without the folder it would end."""
    first = {name: said(await ask(name_of(name))) for name in ("one", "two", "three")}
    assert len(set(first.values())) == 3
    again = {name: said(await ask(name_of(name))) for name in ("one", "two", "three")}
    assert again == first


async def test_streams_come_in_events(client):
    body = {"model": BASE, "messages": QUESTION, "max_tokens": 8, "stream": True}
    async with client.post(json=body) as response:
        assert response.content_type == "text/event-stream"
        events = (await response.text()).strip().split("\n\n")
    assert len(events) > 3
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0].removeprefix("data: "))["object"] == "chat.completion.chunk"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
async def test_other_routes_answer(client, path):
    body = {"model": name_of("one"), "temperature": 0}
    body |= (
        {"prompt": "Hello", "max_tokens": 4}
        if path == "/v1/completions"
        else {"input": "Hello", "max_output_tokens": 4}
    )
    async with client.post(path, json=body) as response:
        assert response.status == 200, await response.text()
    async with client.post("/v1/embeddings", json={"model": BASE, "input": "x"}) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "unsupported_model"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (name_of("nobody"), "sk-ft-acme"),
        (name_of("one"), "sk-ft-other"),
        ("ft:demo:acme:../../one:e2e001", "sk-ft-acme"),
    ],
)
async def test_unknown_and_foreign_names_are_404(ask, model, key):
    status, body = await ask(model, key=key)
    assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_the_engine_itself_knows_no_name_that_is_not_registered(installation, ask_engine):
    for name in (name_of("nobody"), "ft:demo:acme:..:../../x", str(installation.folder)):
        status, body = await ask_engine(name)
        assert status == 404, body


@pytest.mark.parametrize("adapter", ["spoiled", "stranger"])
async def test_a_broken_adapter_is_an_error_and_not_the_base_model(ask, adapter):
    status, body = await ask(name_of(adapter))
    assert (status, body["error"]["code"]) == (500, "model_not_loadable")
    assert "Paris" in said(await ask(BASE))


async def test_an_adapter_that_storage_has_lost_is_503(ask, ask_engine):
    """By the guard, and by the resolver for those who come without the gateway."""
    status, body = await ask(name_of("lost"))
    assert (status, body["error"]["code"]) == (503, "adapter_unavailable")
    status, body = await ask_engine(name_of("lost"))
    assert status == 503, body
    status, body = await ask_engine(name_of("spoiled"))
    assert status == 500, body


async def test_requests_that_vllm_refuses_have_our_error_body(ask):
    status, body = await ask(BASE, max_tokens=-1)
    assert status == 400
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "invalid_request_error"
    status, body = await ask(BASE, messages=[{"role": "user", "content": "x " * 5000}])
    assert status == 400
    assert "context length" in body["error"]["message"]


async def test_a_client_that_leaves_frees_the_engine(installation, client):
    body = {"model": BASE, "messages": QUESTION, "max_tokens": 900, "stream": True}
    body["ignore_eos"] = True
    async with client.post(json=body) as response:
        await response.content.readany()
        assert await _running(client, installation.url) == 1
        response.close()
    until = time.monotonic() + 30
    while await _running(client, installation.url):
        assert time.monotonic() < until, "the engine goes on for a client that left"
        await asyncio.sleep(0.2)


async def _running(client, url: str) -> float:
    async with client.session.get(url + "/metrics") as response:
        text = await response.text()
    lines = [x for x in text.splitlines() if x.startswith("vllm:num_requests_running{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_no_prompt_is_in_the_log(installation):
    text = installation.log.read_text("utf-8")
    assert "capital of France" not in text
    assert "engine-secret" not in text


def test_nothing_outlives_a_killed_engine(installation):
    """Last: vLLM's own children would stay for ever, with their memory."""
    children = psutil.Process(installation.process.pid).children(recursive=True)
    assert len(children) >= 2
    installation.process.kill()
    installation.process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
