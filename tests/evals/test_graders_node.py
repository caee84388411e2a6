"""`client.fineTuning.alpha.graders` of OpenAI's SDK for Node."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.cached import ROOT
from tests.conftest import Api
from tests.node import NODE, env, installed

pytestmark = pytest.mark.slow
CLIENT = ROOT / "clients" / "typescript"


async def test_graders_run_and_are_validated(api: Api, tmp_path: Path) -> None:
    await asyncio.to_thread(installed, CLIENT, in_place=True)
    (tmp_path / "node_modules").symlink_to(CLIENT / "node_modules")
    shutil.copy(Path(__file__).with_name("graders.mjs"), tmp_path)
    run = partial(
        subprocess.run,
        [NODE, "graders.mjs"],
        cwd=tmp_path,
        env=env(FINETUNED_BASE_URL=api.base_url, FINETUNED_API_KEY=await api.key()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ran = await asyncio.to_thread(run)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = json.loads(ran.stdout)
    assert said["valid"]["grader"]["name"] == "city"
    assert said["ran"]["reward"] == 1
    assert said["ran"]["metadata"]["errors"]["other_error"] is False
    assert said["refused"] == {"status": 400, "param": "grader.input", "code": "invalid_grader"}
