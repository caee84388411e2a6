"""Tests that the doctor sees where the processes of the stack connect to."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e


def test_the_stack_connects_only_to_loopback(stack: Stack, sdk):
    """The exporter of spans and the receiver of webhooks are on loopback, too."""
    words = ["doctor", "--egress", "--seconds", "2", "--json", "--data-dir", str(stack.data_dir)]
    chat = threading.Thread(
        target=sdk.chat.completions.create,
        kwargs={
            "model": DEMO_MODEL,
            "messages": [{"role": "user", "content": "Hello?"}],
            "max_tokens": 2,
        },
    )
    chat.start()
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *words], capture_output=True, text=True, check=False
    )
    chat.join()
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert (done.returncode, found["connections"]["level"]) == (0, "ok"), found
    assert found["libraries"]["level"] == "ok", found
    for name, command in (("api", "service.cli api"), ("engine", "inference.engine.server")):
        assert f"{name} ({stack.pid_of(command)})" in found["processes"]["found"]
