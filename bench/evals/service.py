"""Trainings and evaluations through the API of a service that runs on this machine."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from openai.types.fine_tuning import FineTuningJob, SupervisedHyperparametersParam

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

from local_server import local_server  # noqa: E402

Pair = tuple[str, str]
"""A question and its answer."""

BASE_MODEL = "smollm2-135m-instruct"
SEED = 7
FINAL = ("succeeded", "failed", "cancelled")
POLL_S = 1.0
START_S = 1800.0  # the machine may have other work


@dataclass(frozen=True)
class Evaluated:
    """A training and its evaluation, and how long both took together."""

    job_id: str
    evaluation: dict[str, Any]
    minutes: float

    @property
    def path(self) -> str:
        """Path of the evaluation in the API."""
        return f"/fine_tuning/jobs/{self.job_id}/evaluation"


@contextmanager
def service(data_dir: Path) -> Iterator[openai.OpenAI]:
    """Run the service on a folder and return a client. Later runs continue on the same folder."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops the service as Ctrl-C does
    with (
        local_server(data_dir, start_timeout_s=START_S) as server,
        openai.OpenAI(
            base_url=server.base_url,
            api_key=server.api_key,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        ) as client,
    ):
        yield client


def train_and_evaluate(
    client: openai.OpenAI,
    name: str,
    learned: Sequence[Pair],
    held_out: Sequence[Pair],
    options: SupervisedHyperparametersParam,
) -> Evaluated:
    """Train the demo model and wait for the evaluation. Ends the program if either fails.

    Continues with the job of an earlier call on the same rows and options, if there is one.
    """
    rows = json.dumps([chats(learned), chats(held_out), {**options}]).encode()
    digest = hashlib.sha256(rows).hexdigest()[:32]
    job = earlier_job(client, digest) or client.fine_tuning.jobs.create(
        model=BASE_MODEL,
        training_file=upload(client, f"{name}.jsonl", learned),
        validation_file=upload(client, f"{name}.validation.jsonl", held_out),
        method={"type": "supervised", "supervised": {"hyperparameters": options}},
        suffix=name,
        seed=SEED,
        metadata={"rows": digest},
    )
    while job.status not in FINAL:
        time.sleep(POLL_S)
        job = client.fine_tuning.jobs.retrieve(job.id)
    if job.status != "succeeded":
        raise SystemExit(f"the training {name} ended as {job.status}: {job.error}")
    evaluation: Any = {"status": "in_progress"}
    while evaluation["status"] == "in_progress":
        time.sleep(POLL_S)
        evaluation = client.get(f"/fine_tuning/jobs/{job.id}/evaluation", cast_to=object)
    if evaluation["status"] != "completed":
        raise SystemExit(f"the evaluation of {name} did not complete: {evaluation['error']}")
    return Evaluated(job.id, evaluation, (evaluation["finished_at"] - job.created_at) / 60)


def earlier_job(client: openai.OpenAI, digest: str) -> FineTuningJob | None:
    """Return the job with these rows that did not fail, or None."""
    jobs = client.fine_tuning.jobs.list(limit=100, metadata={"rows": digest})
    return next((job for job in jobs if job.status not in ("failed", "cancelled")), None)


def upload(client: openai.OpenAI, name: str, pairs: Sequence[Pair]) -> str:
    """Upload pairs as chats and return the file's ID."""
    file = (name, "\n".join(map(json.dumps, chats(pairs))).encode())
    return client.files.create(file=file, purpose="fine-tune").id


def chats(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return a chat of one question and one answer for each pair."""
    return [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
        for question, answer in pairs
    ]
