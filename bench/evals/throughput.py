"""Speed of the evaluation of a job: its time, and its share of the engine's batch throughput.

    python -m bench.evals.throughput [--rows 100] [--rounds 2] [--folder FOLDER]

Starts the service, trains the demo model briefly and lets the service evaluate it on `rows` short
rows in three columns. The target is 4 minutes for 100 rows on two free cores.

The evaluation is then repeated in this process, on the same engine. Its requests are recorded, and
sent again as one batch with the same concurrency but nothing between them. The target is a share of
at least 0.8 of the batch's tokens per second. Both have their own prefix cache in each round
(`cache_salt`), which neither shares with an earlier round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.evals.service import BASE_MODEL, Pair, chats, service, train_and_evaluate
from bench.evals.trainings import voice_pairs
from service.core.redis import connect
from service.core.storage import Storage
from service.grading.sandbox.sandbox import Sandbox
from service.inference.upstreams import Upstreams
from service.jobs.evaluation.columns import Columns
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.examples import Data, read_data
from service.jobs.evaluation.measure import Evaluator
from service.jobs.evaluation.records import Evaluations, JobEvaluation
from service.jobs.evaluation.scoring import Scoring
from service.jobs.records import JobRecord, Jobs
from service.models.catalogue import Catalogue
from service.projects.records import Projects
from service.standalone.layout import DataLayout
from service.standalone.services import running_store
from service.training.contract.methods import METHODS

CONCURRENCY = 16  # the default of FINETUNED_EVAL_REQUESTS_AT_ONCE
LEARNED = 96
TOKENS = re.compile(r"^vllm:(?:prompt|generation)_tokens_total\{[^}]*\} (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


class Recorder(Upstreams):
    """The engine, with a record of the requests that were sent to it."""

    requests: list[Request]
    salt: str

    async def send(
        self,
        base: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        adapter: str | None = None,
    ) -> Any:
        fields = json.loads(body)
        named = {} if adapter is None else {"x-finetuned-adapter": adapter}
        self.requests.append(Request(path, fields, named))
        salted = json.dumps({**fields, "cache_salt": self.salt}).encode()
        return await super().send(base, path, salted, headers, adapter=adapter)


@dataclass(frozen=True)
class Site:
    """The running service, and the evaluated job."""

    job: JobRecord
    evaluation: JobEvaluation
    layout: DataLayout
    engine_url: str

    @property
    def key(self) -> str:
        return self.layout.secret("engine-key")


def main() -> None:
    options = _parse()
    draw = random.Random("throughput")
    learned, held_out = voice_pairs(draw, LEARNED, options.rows)
    with service(options.folder) as client:
        found = train_and_evaluate(
            client, "throughput", learned, held_out, {"batch_size": 8, "n_epochs": 1}
        )
        seconds = found.evaluation["finished_at"] - found.evaluation["created_at"]
        print(f"evaluation of {options.rows} rows by the service: {seconds} s", flush=True)
        asyncio.run(shares(options.folder, found.job_id, learned, held_out, options.rounds))


async def shares(
    folder: Path, job_id: str, learned: list[Pair], held_out: list[Pair], rounds: int
) -> None:
    """Print the throughput of the evaluation and of the batch in each round."""
    site = await find(folder, job_id)
    data = rows_of(site.job, learned, held_out)
    best = [0.0, 0.0]
    for number in range(rounds):
        async with Recorder({BASE_MODEL: [site.engine_url]}, api_key=site.key) as upstreams:
            upstreams.requests, upstreams.salt = [], f"evaluation-{number}"
            evaluated = await rate(site, evaluate(site, data, upstreams))
            batch = await rate(site, replay(site, upstreams.requests, f"batch-{number}"))
        best = [max(best[0], evaluated), max(best[1], batch)]
        print(
            f"round {number + 1}: {len(upstreams.requests)} requests, evaluation "
            f"{evaluated:,.0f} tokens/s, batch {batch:,.0f}, share {evaluated / batch:.2f}",
            flush=True,
        )
    print(f"share of the best rounds: {best[0] / best[1]:.2f}")


async def find(folder: Path, job_id: str) -> Site:
    """Find the job and the engine of the service that runs on a folder."""
    redis = connect(running_store(folder) or "")
    try:
        project = await Projects(redis).by_name("default")
        assert project is not None
        job = await Jobs(redis).get(project.id, job_id)
        evaluation = await Evaluations(redis).get(project.id, job_id)
    finally:
        await redis.aclose(close_connection_pool=True)
    assert job is not None
    assert evaluation is not None
    started = (folder / "logs" / "demo-up.log").read_text(encoding="utf-8")
    url = re.findall(rf"{BASE_MODEL} on (http://\S+)", started)[-1]
    return Site(job, evaluation, DataLayout(folder), url)


def rows_of(job: JobRecord, learned: list[Pair], held_out: list[Pair]) -> Data:
    """Return the job's data as its evaluation reads it."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("training.jsonl", "validation.jsonl")]
        for path, pairs in zip(paths, (learned, held_out), strict=True):
            path.write_text("\n".join(map(json.dumps, chats(pairs))), encoding="utf-8")
        row_format = METHODS[job.method].row_format
        return read_data(*paths, row_format=row_format, share=None, seed=job.seed)


async def evaluate(site: Site, data: Data, upstreams: Upstreams) -> None:
    """Evaluate the job as its task does, without what an earlier evaluation stored."""
    engine = EvaluationEngine(upstreams, BASE_MODEL, patience_s=60, concurrency=CONCURRENCY)
    entry = Catalogue(site.layout.models_file).get(BASE_MODEL)
    assert entry is not None
    rows = data.held_out

    async def enter(_phase: object) -> None:
        return None

    with tempfile.TemporaryDirectory() as folder:
        storage = Storage.from_url(Path(folder).as_uri())
        async with Sandbox() as sandbox:
            evaluator = Evaluator(
                site.evaluation,
                site.job,
                entry,
                rows=rows,
                data=data,
                columns=Columns(site.evaluation, rows, engine=engine, storage=storage),
                scoring=Scoring(data.rows, sandbox),
                engine=engine,
                enter=enter,
            )
            await evaluator.compare(None)


async def replay(site: Site, requests: list[Request], salt: str) -> None:
    """Send recorded requests to the engine, as many at a time as the evaluation does."""
    slots = asyncio.Semaphore(CONCURRENCY)
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(
        site.engine_url, timeout=timeout, connector=connector, headers=_authorized(site)
    ) as http:

        async def send(request: Request) -> None:
            body = {**request.body, "cache_salt": salt}
            async with (
                slots,
                http.post(request.path, json=body, headers=request.headers) as answer,
            ):
                await answer.read()

        await asyncio.gather(*map(send, requests))


async def rate(site: Site, work: Any) -> float:
    """Return the tokens per second, of prompts and answers, that the engine had during work."""
    before, began = await tokens(site), time.monotonic()
    await work
    return (await tokens(site) - before) / (time.monotonic() - began)


async def tokens(site: Site) -> float:
    """Return the engine's count of the tokens of all prompts and answers."""
    async with (
        aiohttp.ClientSession(site.engine_url, headers=_authorized(site)) as http,
        http.get("/metrics") as answer,
    ):
        return sum(map(float, TOKENS.findall(await answer.text())))


def _authorized(site: Site) -> dict[str, str]:
    return {"authorization": f"Bearer {site.key}"}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the speed of the evaluation of a job.")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="the service's data; temporary by default")
    options = parser.parse_args()
    options.folder = options.folder or Path(tempfile.mkdtemp(prefix="finetuned-bench-"))
    return options


if __name__ == "__main__":
    main()
