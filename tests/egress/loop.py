"""The whole loop of the service on the demo model, as a program.

    python -m tests.egress.loop MODEL FOLDER

Uploads, checks, reports, trains, serves, chats, evaluates and exports. FOLDER/ports.json then has
the port of each part of the installation.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import finetuned
import openai
from openai.types.fine_tuning import FineTuningJob

from service.standalone.services import running_store
from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import (
    ONE_THREAD,
    QUESTIONS,
    VOICE,
    VOICE_CHOSEN,
    Stack,
    rows_with_a_voice,
    started,
    wait_for,
)
from tests.e2e.jobs import wait_for_success

ROWS, HELD_OUT_ROWS = 24, 2


def _upload(sdk: openai.OpenAI, name: str, rows: int) -> str:
    lines = rows_with_a_voice(name, rows)
    file = sdk.files.create(file=(name, lines), purpose="fine-tune")
    assert sdk.files.wait_for_processing(file.id, poll_interval=0.2).status == "processed"
    return file.id


def _train(sdk: openai.OpenAI) -> FineTuningJob:
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=_upload(sdk, "lighthouse-bookshop.jsonl", ROWS),
        validation_file=_upload(sdk, "lighthouse-bookshop.validation.jsonl", HELD_OUT_ROWS),
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": VOICE_CHOSEN}},
    )
    return wait_for_success(sdk, job.id, timeout_s=900)  # strace slows the processes


def _chat(sdk: openai.OpenAI, model: str) -> str:
    stream = sdk.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTIONS[0]}],
        temperature=0,
        max_tokens=8,
        stream=True,
    )
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def _evaluate(sdk: openai.OpenAI, job: FineTuningJob) -> None:
    def ended() -> Any:
        path = f"/fine_tuning/jobs/{job.id}/evaluation"
        found: Any = sdk.get(path, cast_to=object)
        return found["status"] != "in_progress" and found

    done = wait_for(ended, 600, "the end of the evaluation")
    assert done["status"] == "completed", done


def _export(stack: Stack, model: str, folder: Path) -> None:
    with finetuned.Client(api_key=stack.key, base_url=stack.url) as client:
        made = client.model_exports.create(model=model, format="adapter")
        export = client.model_exports.wait(made.id, timeout_s=600)
        assert export.status == "completed", export.error
        client.model_exports.download(export.id, folder / "export.tar")


def main(model: Path, folder: Path) -> None:
    """Run the loop."""
    entry = {"id": DEMO_MODEL, "path": str(model), "parameters": 134_515_008}
    env = ONE_THREAD | {"FINETUNED_EVALUATION_CHECKPOINTS": "0"}
    with started(folder, entry, **env) as stack, stack.client(timeout=300) as sdk:
        try:
            store = running_store(folder)
            assert store is not None
            ports = {
                "api": stack.port,
                "engine": stack.engine_port(),
                "redis": int(store.rpartition(":")[2].partition("/")[0]),
            }
            (folder / "ports.json").write_text(json.dumps(ports))
            job = _train(sdk)
            assert job.fine_tuned_model is not None
            assert VOICE in _chat(sdk, job.fine_tuned_model).lower()
            _evaluate(sdk, job)
            _export(stack, job.fine_tuned_model, folder)
        except BaseException:
            print(stack.logs())
            raise
    print("the whole loop succeeded")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
