"""Speed of the evaluation of a job: its time, and its share of the engine's batch throughput.

    python -m bench.evals.throughput [--rows 100] [--rounds 2] [--keep FOLDER]

Trains the demo model briefly, lets the service evaluate it on short rows in three columns, and
records the requests to the engine. The same requests are then sent straight to the engine as one
batch, with the same concurrency and nothing between them. Both count the tokens of prompts and
answers, and neither finds the other's prompts in the engine's prefix cache.

Targets on two free cores: less than 4 minutes for 100 rows, and at least 0.8 of the batch's tokens
per second. The best round counts, since the machine may have other work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import openai
from openai.types.fine_tuning import SupervisedHyperparametersParam

from bench.evals.recorder import Recorder, Request, recorded_service, tokens_of
from bench.evals.service import train_and_evaluate
from bench.evals.trainings import voice_pairs

CONCURRENCY = 64
LEARNED = 64
OPTIONS: SupervisedHyperparametersParam = {"batch_size": 8, "n_epochs": 1}
TARGET_S, TARGET_SHARE = 240, 0.8


@dataclass(frozen=True)
class Measured:
    """One round: the evaluation's seconds, and the tokens per second of both."""

    seconds: float
    evaluation: float
    batch: float
    requests: int

    @property
    def share(self) -> float:
        return self.evaluation / self.batch

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s, {self.requests} requests, evaluation "
            f"{self.evaluation:,.0f} tokens/s, batch {self.batch:,.0f}, share {self.share:.2f}"
        )


async def main() -> None:
    options = _parse()
    os.environ["FINETUNED_EVALUATION_ROWS"] = str(options.rows)
    os.environ["FINETUNED_EVAL_REQUESTS_AT_ONCE"] = str(CONCURRENCY)
    with tempfile.TemporaryDirectory(prefix="finetuned-bench-") as temporary:
        folder = options.keep or Path(temporary)
        async with recorded_service(folder) as (recorder, url, key):
            with openai.OpenAI(
                base_url=url, api_key=key, http_client=openai.DefaultHttpxClient(trust_env=False)
            ) as client:
                rounds = []
                for number in range(options.rounds):
                    rounds.append(await measure(client, recorder, options.rows, number))
                    print(f"round {number + 1}: {rounds[-1]}", flush=True)
    seconds, share = min(one.seconds for one in rounds), max(one.share for one in rounds)
    print(f"{options.rows} rows: {seconds:.0f} s (target for 100: {TARGET_S} s)")
    print(f"share of the batch throughput: {share:.2f} (target: {TARGET_SHARE})")


async def measure(client: openai.OpenAI, recorder: Recorder, rows: int, number: int) -> Measured:
    """Train and evaluate, and send the recorded requests again as one batch."""
    recorder.requests.clear()
    recorder.salt = f"evaluation-{number}"
    learned, held_out = voice_pairs(random.Random(f"throughput:{number}"), LEARNED, rows)
    name = f"throughput-{number}"
    found = await asyncio.to_thread(train_and_evaluate, client, name, learned, held_out, OPTIONS)
    requests = list(recorder.requests)
    took_s = max(one.ended_s for one in requests) - min(one.began_s for one in requests)
    evaluation = sum(one.tokens for one in requests) / took_s
    return Measured(
        seconds=found.evaluation["finished_at"] - found.evaluation["created_at"],
        evaluation=evaluation,
        batch=await batch_rate(recorder.engine_url, requests, salt=f"batch-{number}"),
        requests=len(requests),
    )


async def batch_rate(engine_url: str, requests: list[Request], *, salt: str) -> float:
    """Send the requests to the engine, and return its tokens per second."""
    slots = asyncio.Semaphore(CONCURRENCY)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(engine_url, timeout=timeout) as http:

        async def send(request: Request) -> int:
            body = {**request.body, "cache_salt": salt}
            async with (
                slots,
                http.post(request.path, json=body, headers=request.headers) as answer,
            ):
                return tokens_of(await answer.read())

        began = time.monotonic()
        tokens = await asyncio.gather(*map(send, requests))
        return sum(tokens) / (time.monotonic() - began)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the speed of the evaluation of a job.")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="folder for data and logs")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
