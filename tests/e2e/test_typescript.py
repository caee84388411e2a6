"""Tests our packaged client, next to the OpenAI SDK for Node, on the real stack."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from service.standalone.up import DEMO_MODEL
from tests.cached import ROOT
from tests.e2e.conftest import VOICE_ROWS, Stack
from tests.e2e.jobs import models_deleted
from tests.node import NODE, built, env, npm

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
CLIENT = ROOT / "clients" / "typescript"
SCRIPTS = Path(__file__).parent / "typescript"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a program in which the packaged client and the OpenAI SDK are installed."""
    built(CLIENT)
    folder = tmp_path_factory.mktemp("program")
    npm("pack", "--pack-destination", str(folder), cwd=CLIENT)
    modules = folder / "node_modules"
    (modules / "@noble").mkdir(parents=True)
    for library in ("openai", "eventsource-parser", "js-md5", "@noble/hashes"):
        (modules / library).symlink_to(CLIENT / "node_modules" / library)
    with tarfile.open(next(folder.glob("*.tgz"))) as packed:
        packed.extractall(folder, filter="data")
    (modules / "@finetuned").mkdir()
    (folder / "package").rename(modules / "@finetuned" / "client")
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


@pytest.fixture
def node(program: Path, stack: Stack, chats: Callable[[int], bytes]) -> Callable[..., str]:
    """Run a script of the program against the stack, and return its output."""
    (program / "chats.jsonl").write_bytes(chats(12))

    def run(script: str, *arguments: str) -> str:
        done = subprocess.run(
            [NODE, script, *arguments],
            cwd=program,
            env=env(FINETUNED_BASE_URL=stack.url, FINETUNED_API_KEY=stack.key),
            capture_output=True,
            text=True,
            timeout=420,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_example_of_the_readme_runs(node, program: Path, sdk: openai.OpenAI):
    example = re.search(r"```js\n(.*?)```", (CLIENT / "README.md").read_text("utf-8"), re.DOTALL)
    assert example
    assert len(example[1].splitlines()) <= 25
    # By default, it would train eight epochs on so few rows.
    chosen = "n_epochs: 1, batch_size: 12, validation_share: 0.25"
    short = example[1]
    for long, less in (
        ("validation_share: 0.1", chosen),
        ("max_tokens: 80", "max_tokens: 8"),
    ):
        assert long in short
        short = short.replace(long, less)
    (program / "example.mjs").write_text(short, "utf-8")
    with models_deleted(sdk):
        printed = node("example.mjs").splitlines()
    text = "\n".join(printed)
    assert "sentBytes" in text
    created, completed = "Created fine-tuning job", "The job has successfully completed"
    assert text.index("sentBytes") < text.index(created) < text.index("Step 1/")
    assert completed in printed
    verdict, *answer = printed[printed.index(completed) + 1 :]
    assert verdict.endswith(".")
    assert "".join(answer).strip()
    assert tarfile.is_tarfile(program / "voice.tar")


def test_estimate_evaluation_and_alias_of_a_trained_model(node, tuned: FineTuningJob):
    seen = json.loads(node("extras.mjs", tuned.id))
    assert seen["estimate"]["rows"] == VOICE_ROWS
    assert seen["estimate"]["fits"] is True
    assert seen["estimate"]["steps"] > 0
    evaluation = seen["evaluation"]
    assert (evaluation["status"], evaluation["rows"]) == ("completed", seen["rows"]), evaluation
    assert seen["rows"] > 0
    assert evaluation["figures"].keys() >= {"gain", "forgetting", "memorized"}
    assert evaluation["verdict"]["sentence"] in seen["report"]
    assert seen["answer"]["choices"][0]["message"]["content"]
    assert seen["back"]["targets"] == [{"model": DEMO_MODEL, "weight": 100}]
    assert seen["conflict"] == "precondition_failed"
