"""Tests that models are added to and removed from a running `up`, which restarts nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import openai
import psutil
import pytest

from tests.cached import ROOT
from tests.e2e.conftest import ONE_THREAD, Stack, started, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
FIRST, SECOND = "first", "second"


def models(stack: Stack, *words: str) -> str:
    argv = [
        sys.executable,
        "-m",
        "service.cli",
        "models",
        *words,
        "--data-dir",
        str(stack.data_dir),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def processes(stack: Stack) -> dict[str, set[int]]:
    """Return the processes of the API, the worker and the engine of the first model."""
    found: dict[str, set[int]] = {"api": set(), "worker": set(), FIRST: set(), SECOND: set()}
    for pid in stack.all_pids():
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:  # it ends just now
            continue
        for name, ids in found.items():
            if f"--served-model-name={name}" in words or words[-1:] == [name]:
                ids.add(pid)
    return found


def answers(client: openai.OpenAI, model: str) -> bool:
    message = [{"role": "user", "content": "Hi"}]
    chat = client.chat.completions.create(model=model, messages=message, max_tokens=3)  # type: ignore[arg-type]
    return chat.usage is not None


def test_a_model_comes_and_goes_while_the_others_stay(tiny_model_path: Path, tmp_path: Path):
    entry = {"id": FIRST, "path": str(tiny_model_path)}
    with started(tmp_path, entry, **ONE_THREAD) as stack, stack.client(max_retries=0) as client:
        assert answers(client, FIRST)
        before = processes(stack)
        assert {name: len(ids) for name, ids in before.items()} == {
            "api": 1,
            "worker": 1,
            FIRST: 1,
            SECOND: 0,
        }
        words = ["add", str(tiny_model_path), "--id", SECOND, "--license", "mit"]
        assert "unless it is running" in models(stack, *words)

        def second_answers() -> bool:
            assert answers(client, FIRST)
            assert stack.ready()  # a model that loads does not make the service unready
            try:
                return answers(client, SECOND)
            except openai.InternalServerError:
                return False

        wait_for(second_answers, 300, "the new engine")
        assert processes(stack) == {**before, SECOND: processes(stack)[SECOND]}
        models(stack, "remove", SECOND)
        wait_for(lambda: not processes(stack)[SECOND], 60, "the end of its engine")
        assert answers(client, FIRST)
        with pytest.raises(openai.NotFoundError):
            answers(client, SECOND)
        assert processes(stack) == before
