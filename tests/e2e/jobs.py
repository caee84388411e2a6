"""Helpers to create small jobs with the SDK and wait for them."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import openai
from openai.types.fine_tuning import FineTuningJob

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack, wait_for


def small_file(sdk: openai.OpenAI, rows: int = 32) -> str:
    """Upload a training file, wait for its check, and return its id."""
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"What is item {i}?"},
                    {"role": "assistant", "content": f"Item {i} is a book, reader."},
                ]
            }
        )
        for i in range(rows)
    ]
    file = sdk.files.create(file=("small.jsonl", "\n".join(lines).encode()), purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    return file.id


def imported(stack: Stack, sdk: openai.OpenAI, job: FineTuningJob) -> str:
    """Import the adapter of a job, packed as another trainer's user would, and return its name."""
    (folder,) = (stack.data_dir / "storage").glob(f"*/jobs/{job.id}/a*/adapter")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            tar.add(folder / name, arcname=f"voice/{name}")
    purpose: Any = "model-import"
    file = sdk.files.create(file=("voice.tar", packed.getvalue()), purpose=purpose)
    body = {"file_id": file.id, "base_model": DEMO_MODEL, "suffix": "imported"}
    begun: Any = sdk.post("/model_imports", body=body, cast_to=object)

    def ended() -> Any:
        found: Any = sdk.get(f"/model_imports/{begun['id']}", cast_to=object)
        return found["finished_at"] and found

    done = wait_for(ended, 120, "the end of the import")
    assert done["status"] == "completed", done["error"]
    return str(done["result"]["model"])


@contextlib.contextmanager
def models_deleted(sdk: openai.OpenAI) -> Iterator[None]:
    """Delete, at the end of the block, the models that were trained in it.

    Their evaluations end with them. Each would keep the engine busy for half a minute.
    """
    known = {model.id for model in sdk.models.list()}
    try:
        yield
    finally:
        for model in sdk.models.list():
            if model.id.startswith("ft:") and model.id not in known:
                with contextlib.suppress(openai.NotFoundError, openai.ConflictError):
                    sdk.models.delete(model.id)


def messages(sdk: openai.OpenAI, job_id: str) -> list[str]:
    """Return the messages of all events, newest first."""
    return [e.message for e in sdk.fine_tuning.jobs.list_events(job_id, limit=100)]


def wait_for_message(sdk: openai.OpenAI, job_id: str, start: str, timeout_s: float = 180) -> None:
    """Wait until an event starts with this text."""
    wait_for(
        lambda: any(m.startswith(start) for m in messages(sdk, job_id)),
        timeout_s,
        f"the event {start!r}",
    )


def attempt_of(job: openai.types.fine_tuning.FineTuningJob) -> int:
    """Return the number of the job's attempt, a field that OpenAI does not have."""
    assert job.model_extra is not None
    return int(job.model_extra["attempt"])


def wait_for_success(
    sdk: openai.OpenAI, job_id: str, timeout_s: float = 300
) -> openai.types.fine_tuning.FineTuningJob:
    """Wait until the job has succeeded, and return it."""
    job = wait_for(
        lambda: (
            (j := sdk.fine_tuning.jobs.retrieve(job_id)).status
            in ("succeeded", "failed", "cancelled")
            and j
        ),
        timeout_s,
        "the end of the job",
    )
    assert job.status == "succeeded", job.error
    return job
