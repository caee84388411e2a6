"""Tests of `up` as an operator meets it: a taken port, a full disk, its end, and a moved folder.

The data folder is on a small disk of its own, which a test fills.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from service.standalone.up import DEMO_MODEL
from tests.cached import ROOT
from tests.e2e.conftest import ONE_THREAD, Stack, alive, started, wait_for
from tests.small_disk import fill, small_disk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
STREAMS, TOKENS = 4, 10
GRACE_S = 20  # shorter than an endless stream, which is cut off
MESSAGES: Any = [{"role": "user", "content": "Tell me a long story."}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk."""
    with small_disk(tmp_path_factory.mktemp("up") / "disk", "100m") as disk:
        yield disk


@pytest.fixture(scope="module")
def here(home: Path, demo_model_path: Path) -> Iterator[Stack]:
    """A stack on the small disk. Its model is in the data folder, named by an absolute path."""
    data_dir = home / "data"
    (data_dir / "models").mkdir(parents=True)
    model = data_dir / "models" / DEMO_MODEL
    model.symlink_to(demo_model_path)
    entry = {"id": DEMO_MODEL, "path": str(model), "parameters": 134_515_008}
    grace = {"FINETUNED_STOP_GRACE_S": str(GRACE_S)}
    with started(data_dir, entry, **ONE_THREAD, **grace) as stack:
        yield stack


def command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "service.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)


def usage(stack: Stack) -> dict[str, int]:
    since = int(time.time()) - 86_400
    answer = httpx.get(
        f"{stack.url}/v1/organization/usage/completions?start_time={since}",
        headers={"authorization": f"Bearer {stack.key}"},
        timeout=60,
    ).json()
    rows = [row for bucket in answer["data"] for row in bucket["results"]]
    return {
        name: sum(row[name] for row in rows) for name in ("num_model_requests", "output_tokens")
    }


def ask(client: openai.OpenAI) -> int:
    """Return the tokens of a short answer."""
    answer = client.chat.completions.create(model=DEMO_MODEL, messages=MESSAGES, max_tokens=3)
    assert answer.usage is not None
    return answer.usage.completion_tokens


def test_another_up_on_its_port_names_it_and_starts_nothing(here: Stack, tmp_path: Path):
    assert here.process is not None
    before = set(here.all_pids())
    done = command("up", "--data-dir", str(tmp_path), "--port", str(here.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"port {here.port} is in use by another finetuned (pid " in done.stderr
    assert f"data folder {here.data_dir})" in done.stderr
    assert not (tmp_path / "run" / "valkey.conf").exists()
    assert set(here.all_pids()) == before

    doctor = ("doctor", "--json", "--port", str(here.port), "--data-dir")
    port = f"port {here.port}"
    own, other = (
        {one["what"]: one for one in json.loads(command(*doctor, str(folder)).stdout)}[port]
        for folder in (here.data_dir, tmp_path)
    )
    assert own["level"] == "ok"
    assert other["level"] == "missing"
    assert str(here.data_dir) in other["found"]


def test_chats_go_on_while_others_fill_the_disk(here: Stack, home: Path):
    """Valkey refuses writes instead of exiting, and the usage of the time is not lost."""
    before = usage(here)
    with here.client(max_retries=0, timeout=60) as client:
        tokens = ask(client)
        fill(home / "of-others")
        until = time.monotonic() + 10  # longer than keys and models are cached
        asked = 1
        while time.monotonic() < until:
            tokens += ask(client)
            asked += 1
            with pytest.raises(openai.InternalServerError) as refused:
                client.files.create(file=("a.txt", b"a"), purpose="user_data")
            assert refused.value.status_code in (503, 507)
        (home / "of-others").unlink()

        def writes() -> bool:
            with contextlib.suppress(openai.APIError):
                return bool(client.files.create(file=("a.txt", b"a"), purpose="user_data").id)
            return False

        wait_for(writes, 60, "a write")
    spent = {"num_model_requests": asked, "output_tokens": tokens}
    wait_for(lambda: {k: v - before[k] for k, v in usage(here).items()} == spent, 60, "accounting")
    ended = (here.data_dir / "up.log").read_text("utf-8").count("valkey ended")
    assert ended <= 1  # if the disk filled up between two looks at it


def test_streams_are_metered_if_all_processes_get_sigterm_and_a_moved_folder_serves(
    here: Stack, home: Path
):
    """systemd stops a service so: each of its processes gets SIGTERM at once."""
    assert here.process is not None
    before = usage(here)
    received, ends = [0] * STREAMS, [""] * STREAMS

    def read(number: int) -> None:
        with (
            here.client(max_retries=0, timeout=120) as client,
            contextlib.suppress(openai.APIError, httpx.HTTPError),
        ):
            stream = client.chat.completions.create(
                model=DEMO_MODEL,
                messages=MESSAGES,
                stream=True,
                # The first one does not end by itself.
                max_tokens=TOKENS if number else 2000,
                extra_body={"ignore_eos": True},
            )
            for chunk in stream:
                ends[number] = chunk.choices[0].finish_reason or ""
                received[number] += chunk.choices[0].delta.content is not None

    threads = [threading.Thread(target=read, args=(number,)) for number in range(STREAMS)]
    for thread in threads:
        thread.start()
    wait_for(lambda: min(received) >= 2, 300, "the start of the streams")
    pids = here.all_pids()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    here.process.wait(timeout=120)
    for thread in threads:
        thread.join(timeout=120)
    assert "did not stop within" not in (here.data_dir / "up.log").read_text("utf-8")
    wait_for(lambda: not alive(pids), 20, "the end of the last processes of processes")
    assert ends == ["", *["length"] * (STREAMS - 1)]

    moved = Stack(home / "moved", here.port, here.env)
    shutil.move(here.data_dir, moved.data_dir)
    try:
        moved.start()
        spent = {k: v - before[k] for k, v in usage(moved).items()}
        assert spent["num_model_requests"] == STREAMS - 1  # the first one ended with an error
        # Of the stream that was cut off, events are counted, also the first one without a text.
        assert 0 <= spent["output_tokens"] - (STREAMS - 1) * TOKENS - received[0] <= 2
        with moved.client() as client:
            assert ask(client)
    finally:
        moved.stop()
