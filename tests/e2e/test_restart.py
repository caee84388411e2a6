"""Tests an engine that is killed with SIGKILL: clients get an error, and it restarts."""

from __future__ import annotations

import os
import signal

import openai
import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_killed_engine_is_503_with_retry_after_and_comes_back(stack: Stack, sdk):
    with stack.client(max_retries=0) as impatient:

        def ask() -> str | None:
            return (
                impatient.chat.completions.create(
                    model=DEMO_MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=3
                )
                .choices[0]
                .message.content
            )

        assert ask()
        os.kill(stack.pid_of("inference.engine.server"), signal.SIGKILL)

        def refused() -> openai.InternalServerError | None:
            try:
                ask()
            except openai.InternalServerError as e:
                return e
            return None

        response = wait_for(refused, 60, "the refusal").response
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["type"] == "server_error"
        assert sdk.files.list() is not None  # the control plane continues
        wait_for(stack.ready, 240, "the return of the engine")
        assert ask()
