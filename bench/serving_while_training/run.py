"""Chat latency next to a training on the same CPU, and the speed of the training.

    python -m bench.serving_while_training.run [--rounds 8] [--seconds 15] [--budget-ms 400]

Runs the demo model's vLLM, the API and a real trainer on all cores of this machine. `--clients`
clients stream chats with random pauses, the same ones for each contestant: no training, a training
that is not paced, two with a low CPU priority, one that is paced as with FINETUNED_TRAIN_SLO_MS,
and one with both. The contestants take turns of `--seconds`, and stopped trainings wait. Without
`--budget-ms`, the budget is twice the p95 latency without a training. Reports the latency (time to
the first token), the time per further token, and the trained tokens per second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.engine.base_model import base_model
from bench.gateway.real_engine import gateway, key_of_a_project
from service.core.child import Child, environment
from service.core.redis import Client, connect
from service.inference.chat_load import ChatLoad, p95
from service.jobs.attempt.pacing import Pacing
from service.training import StepDone, TrainSpec, parse_message
from tests.inference.engine.support import BASE, Engine, catalogued, settings_on, valkey
from tests.training.specs import spec_of

ROWS, WORDS, BATCH = 400, 120, 4
PAUSE_S, TOKENS = 1.0, 16
SETTLE_S = 2.0  # after a training continues; its pacer then knows that no chat is in flight


@dataclass(frozen=True)
class Contestant:
    """A way to train next to the chats."""

    name: str
    trains: bool = True
    paced: bool = False
    niceness: int = 0
    idle: bool = False


CONTESTANTS = (
    Contestant("no training", trains=False),
    Contestant("not paced"),
    Contestant("nice 10", niceness=10),
    Contestant("SCHED_IDLE", idle=True),
    Contestant("paced", paced=True),
    Contestant("paced, nice 10", paced=True, niceness=10),
)


NAMES = [contestant.name for contestant in CONTESTANTS]


@dataclass
class Figures:
    """What was measured of a contestant: milliseconds of chats, and trained tokens per second."""

    first_token: list[float] = field(default_factory=list)
    per_token: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    """Load averages of the machine when its turns began."""
    speed: float = 0.0


async def chat(http: aiohttp.ClientSession, text: str, figures: Figures) -> None:
    """Stream an answer and note its times."""
    body = {
        "model": BASE,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    began = time.perf_counter()
    async with http.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        times = [
            time.perf_counter() async for line in answer.content if line.startswith(b"data: {")
        ]
    figures.first_token.append((times[0] - began) * 1000)
    figures.per_token.append((times[-1] - times[0]) / (len(times) - 1) * 1000)


async def chats(url: str, key: str, clients: int, seconds: float, figures: Figures) -> None:
    """Let clients chat with pauses between their chats."""
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        chance, count = random.Random(number), 0
        while time.perf_counter() < until:
            await asyncio.sleep(chance.expovariate(1 / PAUSE_S))
            words = " ".join(chance.choices(("sun", "rain", "tea", "road", "song"), k=30))
            await chat(http, f"{number} {count}: {words}", figures)
            count += 1

    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(base_url=url, headers=headers) as http:
        await asyncio.gather(*(client(number) for number in range(clients)))


def spec_for(root: Path, base: Path, contestant: Contestant, budget_ms: int) -> TrainSpec:
    """Return the spec of a training that is longer than any measurement."""
    rows, chance = root / "rows.jsonl", random.Random(0)
    words = ("once", "upon", "a", "time", "there", "was", "king", "who", "sang")
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"Tell story {number}."},
                {"role": "assistant", "content": " ".join(chance.choices(words, k=WORDS))},
            ]
        }
        for number in range(ROWS)
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return spec_of(
        job_id="bench",
        base_model=BASE,
        base_model_path=base,
        training_file=rows,
        output_dir=root / f"out-{time.monotonic_ns()}",
        n_epochs=10,
        batch_size=BATCH,
        learning_rate=1e-4,
        max_seq_length=512,
        quantization="none",
        n_checkpoints=1,
        lora={"r": 8},
        chat_budget_ms=budget_ms if contestant.paced else None,
    )


def set_priority(pid: int, contestant: Contestant) -> None:
    """Set the priority of all threads. Only now, because loading at a low one can take minutes."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), contestant.niceness)
        if contestant.idle:
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))


class Training:
    """A training that is stopped between its turns. It sees only the chats of its own turns."""

    def __init__(self, child: Child, redis: Client) -> None:
        self.child = child
        self.load = ChatLoad()
        self._redis = redis
        self.tokens, self.seconds = 0, 0.0
        self._trained = 0
        self.first_step = asyncio.Event()

    async def read(self) -> None:
        """Read its steps until it is killed."""
        async for line in self.child.lines():
            message = parse_message(line)
            if isinstance(message, StepDone):
                self._trained = message.trained_tokens
                self.first_step.set()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Train during a block, and count its tokens and seconds."""
        async with self.listening():
            os.killpg(self.child.pid, signal.SIGCONT)
            await asyncio.sleep(SETTLE_S)
            began, before = time.perf_counter(), self._trained
            yield
            self.seconds += time.perf_counter() - began
            self.tokens += self._trained - before
            os.killpg(self.child.pid, signal.SIGSTOP)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Receive reports of chats during a block."""
        task = asyncio.create_task(self.load.listen(self._redis))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def speed(self) -> float:
        """Trained tokens per second of its turns."""
        return self.tokens / self.seconds


@contextlib.asynccontextmanager
async def training(
    root: Path, base: Path, contestant: Contestant, budget_ms: int, redis: Client
) -> AsyncIterator[Training]:
    """Start a training, and stop it after its first step."""
    file = root / "spec.json"
    file.write_text(spec_for(root, base, contestant, budget_ms).model_dump_json())
    child = await Child.start(
        [sys.executable, "-m", "service.training", str(file)],
        env=environment(),
        stderr=root / "trainer.log",
    )
    made = Training(child, redis)
    reading = asyncio.create_task(made.read())
    try:
        async with contextlib.AsyncExitStack() as stack:
            if contestant.paced:
                await stack.enter_async_context(Pacing(made.load, budget_ms).report_chats_to(child))
            async with made.listening():
                await asyncio.wait_for(made.first_step.wait(), 300)
            set_priority(child.pid, contestant)
            os.killpg(child.pid, signal.SIGSTOP)
            yield made
    finally:
        await child.kill()
        await reading


async def measure(
    asked: argparse.Namespace, root: Path, base: Path, url: str, key: str, redis_url: str
) -> dict[str, Figures]:
    """Measure all contestants in turns."""
    redis = connect(redis_url)
    contestants = [c for c in CONTESTANTS if c.name in (asked.only or NAMES)]
    found = {contestant.name: Figures() for contestant in contestants}
    alone = Figures()
    await chats(url, key, asked.clients, 5, Figures())  # warm-up
    await chats(url, key, asked.clients, asked.seconds, alone)
    budget_ms = asked.budget_ms or round(2 * (p95(alone.first_token) or 0))
    print(f"budget {budget_ms} ms", flush=True)
    async with contextlib.AsyncExitStack() as stack:
        trainings = {
            contestant.name: await stack.enter_async_context(
                training(root, base, contestant, budget_ms, redis)
            )
            for contestant in contestants
            if contestant.trains
        }
        for turn in range(asked.rounds):
            for name, figures in found.items():
                figures.loads.append(os.getloadavg()[0])
                before = len(figures.first_token)
                async with (
                    trainings[name].turn() if name in trainings else contextlib.nullcontext()
                ):
                    await chats(url, key, asked.clients, asked.seconds, figures)
                latest = figures.first_token[before:]
                print(
                    f"round {turn + 1}  {name:<16} {len(latest)} chats, first token p95 "
                    f"{p95(latest) or 0:.0f} ms, load {figures.loads[-1]:.1f}",
                    flush=True,
                )
        for name, made in trainings.items():
            found[name].speed = made.speed
    await redis.aclose(close_connection_pool=True)
    return found


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--seconds", type=float, default=15)
    options.add_argument("--clients", type=int, default=2)
    options.add_argument("--budget-ms", type=int)
    options.add_argument("--only", nargs="*", choices=NAMES, help="contestants; all by default")
    asked = options.parse_args()
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url = stack.enter_context(valkey())
        settings = settings_on(root, redis_url, max_model_len=1024)
        entry = catalogued(settings, base_model())
        os.environ["FINETUNED_TRAIN_SLO_MS"] = "1"  # the gateway reports
        engine = stack.enter_context(Engine(settings, entry, root / "engine.log"))
        url, _ = stack.enter_context(gateway(settings, engine.url, root / "api.log"))
        key = asyncio.run(key_of_a_project(redis_url))
        report(asyncio.run(measure(asked, root, base_model(), url, key, redis_url)))


def report(found: dict[str, Figures]) -> None:
    """Print the figures of all rounds, and ratios to the first two contestants."""
    alone = found["no training"]
    full = found["not paced"].speed if "not paced" in found else 0.0
    print(f"{'':<20}  first token p50, p95   per token p95   training")
    for name, figures in found.items():
        first, token = p95(figures.first_token) or 0, p95(figures.per_token) or 0
        ratio = first / (p95(alone.first_token) or 1)
        token_ratio = token / (p95(alone.per_token) or 1)
        print(
            f"{name:<20}  {statistics.median(figures.first_token):4.0f}, {first:5.0f} ms "
            f"({ratio:.2f})   {token:4.0f} ms ({token_ratio:.2f})   {figures.speed:4.0f} tokens/s "
            f"({figures.speed / (full or 1):.2f})   {len(figures.first_token)} chats, "
            f"load {statistics.mean(figures.loads):.1f}"
        )


if __name__ == "__main__":
    main()
