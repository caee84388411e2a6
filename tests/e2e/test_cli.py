"""Tests the complete workflow with the command line as a process, against the real stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai.types.fine_tuning import FineTuningJob

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import EXAMPLES, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROWS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working folder of the commands, and their home."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def cli(stack: Stack, folder: Path):
    """Run a command and return its output."""

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith("FINETUNED_")}
        done = subprocess.run(
            [sys.executable, "-m", "finetuned_cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=env | {"HOME": str(folder), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""},
            cwd=folder,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        assert stack.key not in done.stdout + done.stderr
        return done.stdout

    return run


def test_the_loop(stack: Stack, cli, folder: Path, tuned: FineTuningJob):
    """All but the training itself, which docs/quick-start.md starts with the command line."""
    cli("login", "--url", stack.url, stdin=stack.key)
    lines = (EXAMPLES / "lighthouse-bookshop.jsonl").read_text("utf-8").splitlines()[:ROWS]
    (folder / "rows.jsonl").write_text("\n".join(lines), "utf-8")

    file = json.loads(cli("files", "upload", "rows.jsonl", "--json"))
    assert file["rows"] == ROWS
    report = json.loads(cli("files", "report", file["id"], "--json"))
    assert report["validation"]["errors"] == 0
    assert report["tokens"][0]["model"] == DEMO_MODEL

    told = cli("jobs", "watch", tuned.id, "--json")
    *events, job = [json.loads(line) for line in told.splitlines()]
    steps = [e["data"]["step"] for e in events if e["type"] == "metrics"]
    assert steps == [*range(1, len(steps) + 1)]
    assert steps[-1] > 2
    assert job["status"] == "succeeded"
    model = job["fine_tuned_model"]
    assert model == tuned.fine_tuned_model

    cli("aliases", "set", "shop/voice", model)
    for name in (model, "shop/voice"):
        assert cli("chat", name, "Do you ship abroad?", "--max-tokens", "3").strip()
    both = cli(
        *("chat", "shop/voice", "--compare", "base", "--max-tokens", "3"), stdin="Do you ship?"
    )
    assert [line[3:] for line in both.splitlines() if line.startswith("== ")] == [
        DEMO_MODEL,
        "shop/voice",
    ]
    assert model in cli("models")
    cli("models", "delete", model, "--yes", code=1)  # an alias points at it

    buckets = json.loads(cli("usage", "--since", "1h", "--width", "1h", "--json"))
    by_model = {r["model"]: r for bucket in buckets for r in bucket["results"]}
    assert by_model[model]["num_model_requests"] >= 2
    assert by_model[model]["output_tokens"] > 0
    cli("aliases", "delete", "shop/voice", "--yes")
    cli("chat", "shop/voice", "Are you there?", code=4)
