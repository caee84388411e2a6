"""Schemathesis: requests that are made up from openapi.json, in sequences, with all its checks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.fuzz.mutations import patient
from tests.fuzz.service import serving
from tests.venvs import python_with

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = os.environ.get("FINETUNED_FUZZ_SECONDS")

pytestmark = [
    patient,
    pytest.mark.skipif(not SECONDS, reason="12 minutes: 'make proof NAME=fuzz' runs it"),
]


async def test_made_up_requests_are_answered_as_described(
    demo_model_path: Path, tmp_path: Path
) -> None:
    python = await asyncio.to_thread(python_with, HERE / "requirements.txt", "fuzz-venv")
    async with serving(tmp_path, demo_model_path) as (url, key):
        # Not the script `st`, which contains the path of the environment when it was made.
        command = [str(python), "-m", "schemathesis.cli"]
        command += ["--config-file", str(HERE / "schemathesis.toml"), "run"]
        command += [str(ROOT / "openapi.json"), "--url", url, "--continue-on-failure"]
        fuzzing = await asyncio.create_subprocess_exec(
            *command,
            *("--max-time", SECONDS or "", "--suppress-health-check", "all"),
            env=os.environ | {"FINETUNED_API_KEY": key},
            cwd=tmp_path,
        )
        assert await fuzzing.wait() == 0
