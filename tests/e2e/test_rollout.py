"""Tests that streams survive the replacement of every api and every engine, two of each.

Their answers are as long as FINETUNED_ROLLOUT_S seconds at the speed of this machine. The processes
have much longer to stop than the 120 s of an installation, because a busy machine gets slower.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.conftest import TINY_CONFIG, make_tiny_model
from tests.core.conftest import Valkey
from tests.e2e.conftest import wait_for
from tests.e2e.site import Node, Site

_START_S = 900.0  # on a busy machine
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not os.environ.get("FINETUNED_ROLLOUT"), reason="make proof NAME=rollout"),
]

SECONDS = float(os.environ.get("FINETUNED_ROLLOUT_S", "120"))
POSITIONS = 32_768
_TRIED, _MOST_TOKENS = 200, 32_000
GRACE_S = 1200
CHAT = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": "Tell me a long story."}]}


@dataclass
class Stream:
    """What a client got."""

    seconds: float
    finish: str | None
    error: str | None
    is_whole: bool
    """Whether the stream ended with [DONE]."""


@dataclass
class Rollout:
    """Two apis and two engines, and the next ones."""

    key: str
    apis: list[Node]
    engines: list[Node]
    ready: list[Node] = field(default_factory=list)
    """The apis to which a Service would send new connections."""

    def stream(self, api: Node, begun: threading.Barrier, tokens: int) -> Stream:
        began, finish, error, is_whole = time.monotonic(), None, None, False
        body = CHAT | {"stream": True, "max_tokens": tokens, "ignore_eos": True}
        waits = [begun.wait]
        with (
            httpx.Client(headers=self._headers, timeout=600) as client,
            client.stream("POST", f"{api.url}/v1/chat/completions", json=body) as response,
        ):
            assert response.status_code == 200, response.read()
            try:
                for line in response.iter_lines():
                    if line and waits:
                        waits.pop()(600)
                    if line == "data: [DONE]":
                        is_whole = True
                    elif line.startswith("data: "):
                        event = json.loads(line.removeprefix("data: "))
                        if "error" in event:
                            error = event["error"]["code"]
                        elif event["choices"]:
                            finish = event["choices"][0]["finish_reason"] or finish
            except httpx.RemoteProtocolError:
                error = "cut"
        return Stream(time.monotonic() - began, finish, error, is_whole)

    def ask(self) -> tuple[int, str]:
        """Send a short request on a new connection to a ready api."""
        url = f"{self.ready[-1].url}/v1/chat/completions"
        # Without ignore_eos, one of 2,000 answers of this model ends earlier.
        body = CHAT | {"max_tokens": 2, "ignore_eos": True}
        answer = httpx.post(url, json=body, headers=self._headers, timeout=600)
        found = answer.json()
        what = found["error"]["code"] if "error" in found else found["choices"][0]["finish_reason"]
        return answer.status_code, what

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def serving(self, api: Node) -> float:
        """Return how many engines serve, in the view of an api."""
        for line in httpx.get(api.metrics_url).text.splitlines():
            if line.startswith("finetuned_engine_replicas{") and 'state="serving"' in line:
                return float(line.rsplit(" ", 1)[1])
        return 0


@pytest.fixture
def rollout(demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    folder = tmp_path_factory.mktemp("r")  # short, because paths of sockets are limited
    model = make_tiny_model(demo_model_path, TINY_CONFIG | {"max_position_embeddings": POSITIONS})
    site = Site(folder, model, Valkey(folder / "valkey"), None, context_length=POSITIONS)
    site.env = {
        "FINETUNED_STORAGE_URL": (folder / "storage").as_uri(),
        "FINETUNED_STOP_GRACE_S": str(GRACE_S),
        "FINETUNED_MAX_MODEL_LEN": str(POSITIONS),
    }
    site.write_catalogue()
    ports = [free_port() for _ in range(8)]
    engines = [
        site.node(f"engine-{i}", ["inference", DEMO_MODEL, "--port", str(port)], port, "/health")
        for i, port in enumerate(ports[:4])
    ]
    told = {"FINETUNED_UPSTREAMS": json.dumps({DEMO_MODEL: ",".join(e.url for e in engines)})}
    apis = [
        site.node(f"api-{i}", ["api"], port, "/livez", told | {"FINETUNED_API_PORT": str(port)})
        for i, port in enumerate(ports[4:])
    ]
    site.make_key()
    nodes = [*engines, *apis]
    try:
        for node in [*engines[:2], *apis[:2]]:
            node.launch()
        for node in [*engines[:2], *apis[:2]]:
            node.until_ready(_START_S)
        found = Rollout(site.key, apis, engines, ready=apis[:2])
        wait_for(lambda: all(found.serving(api) == 2 for api in apis[:2]), 300, "two engines")
        yield found
    finally:
        print("\n".join(f"=== {n.name}\n{n.log[-3000:]}" for n in nodes if n.log))
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(Node.close, nodes))
        site.store.close()


def test_streams_survive_the_replacement_of_every_api_and_every_engine(rollout: Rollout):
    answers: list[tuple[int, str]] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        while not is_over.wait(0.5):
            answers.append(rollout.ask())

    with ThreadPoolExecutor(8) as pool, contextlib.ExitStack() as ending:
        ending.callback(is_over.set)  # the pool waits for its threads, also after a failure
        streams: list[Future[Stream]] = []

        def begin(tokens: int) -> None:
            """Begin two streams through each api, so that each engine has some."""
            begun = threading.Barrier(5)
            streams.extend(
                pool.submit(rollout.stream, api, begun, tokens) for api in rollout.ready * 2
            )
            begun.wait(600)

        begin(_TRIED)
        slowest = max(stream.result().seconds for stream in streams)
        tokens = min(int(SECONDS * _TRIED / slowest), _MOST_TOKENS)
        streams.clear()
        asking = pool.submit(keep_asking)
        for i in range(2):
            begin(tokens)
            old = [rollout.apis[i], rollout.engines[i]]
            new = [rollout.apis[i + 2], rollout.engines[i + 2]]
            new[0].start()
            rollout.ready = [new[0], *(a for a in rollout.ready if a is not old[0])]
            for node in old:
                node.terminate()
            for node in old:
                node.until_ended(GRACE_S + 60)
            new[1].launch()
            new[1].until_ready(_START_S)
            wait_for(lambda: all(rollout.serving(a) == 2 for a in rollout.ready), 300, "engines")
        is_over.set()
        asking.result()
        found = [stream.result() for stream in streams]
    print(f"{tokens} tokens, streams:", *found, sep="\n")
    print("answers:", sorted(set(answers)), len(answers))
    assert {(s.finish, s.error, s.is_whole) for s in found} == {("length", None, True)}
    assert set(answers) == {(200, "length")}
