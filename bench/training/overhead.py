"""Service overhead of a training job: time to its first step, and from its last to the first token.

    python bench/training/overhead.py [--rounds 3]

The overhead is the time from the job's creation to its first step, plus the time from its last step
to the first token of the tuned model. The stack is warm, since one job runs first. The time of a
step itself is subtracted (the mean of the steps after the first). There is no validation loss,
since that is part of training. The training file is validated beforehand, as a caller's would be.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from openai.types.fine_tuning.job_create_params import Method

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples")]

from job_watch import events  # noqa: E402
from local_server import local_server  # noqa: E402

MODEL = "smollm2-135m-instruct"


@dataclass
class Overhead:
    """Overhead of one job, in seconds."""

    before_s: float
    after_s: float
    marks: dict[str, float]

    @property
    def total_s(self) -> float:
        return self.before_s + self.after_s


def measure(client: openai.OpenAI, file_id: str) -> Overhead:
    method: Method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    began = time.monotonic()
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file_id, method=method)
    steps: list[float] = []
    marks: dict[str, float] = {}
    for event in events(client, job.id):
        now = time.monotonic() - began
        if event.type == "metrics":
            steps.append(now)
        else:
            marks[event.message[:60]] = now
    model = _model(client, job.id)
    with client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hi"}], max_tokens=4, stream=True
    ) as stream:
        next(iter(stream))
    first_token = time.monotonic() - began
    step = (steps[-1] - steps[0]) / (len(steps) - 1)
    return Overhead(steps[0] - step, first_token - steps[-1], marks)


def _rows() -> bytes:
    """Return a few rows, since training time itself is not measured."""
    chats = ROOT / "examples" / "lighthouse-bookshop.jsonl"
    return b"".join(chats.read_bytes().splitlines(keepends=True)[:32])


def _model(client: openai.OpenAI, job_id: str) -> str:
    job: Any = client.fine_tuning.jobs.retrieve(job_id)
    if job.status != "succeeded":
        raise SystemExit(f"the job is {job.status}: {job.error}")
    return str(job.fine_tuned_model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with local_server(None) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key=server.api_key)
        file = client.files.create(file=("chats.jsonl", _rows()), purpose="fine-tune")
        client.files.wait_for_processing(file.id, poll_interval=0.2)
        measure(client, file.id)
        found = [measure(client, file.id) for _ in range(given.rounds)]
    for o in found:
        print(f"before {o.before_s:5.1f} s  after {o.after_s:5.1f} s  in all {o.total_s:5.1f} s")
    best = min(found, key=lambda o: o.total_s)
    for what, at in best.marks.items():
        print(f"  {at:6.1f} s  {what}")


if __name__ == "__main__":
    main()
