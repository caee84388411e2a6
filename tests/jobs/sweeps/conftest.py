"""Trainers that compute nothing, and sweeps of project acme."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.config import Settings
from tests.adapters import base_folder
from tests.conftest import BASE_MODEL
from tests.faults.children import InlineDatasetProcess, ScriptedTrainer

SWEEPS = "/v1/sweeps"
SHARE: dict[str, Any] = {"hyperparameters": {"validation_share": 0.25}}
RATES: dict[str, Any] = {"learning_rate": [0.004, 0.001, 0.003, 0.002]}


@pytest.fixture
def scripted(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in this process start scripted trainers, whose loss follows the learning rate."""
    monkeypatch.setattr("service.jobs.attempt.trainer_process.Child", ScriptedTrainer)
    monkeypatch.setattr("service.jobs.attempt.train_task._LOOK_S", 0.05)
    monkeypatch.setattr("service.files.curation.dataset_process.Child", InlineDatasetProcess)
    settings.models_file.write_text(
        f"models:\n- {{id: {BASE_MODEL}, path: {base_folder(tmp_path / 'base')}, license: mit, "
        "context_length: 2048, parameters: 135000000}\n",
        "utf-8",
    )


async def ended(http: httpx.AsyncClient, sweep_id: str) -> dict[str, Any]:
    """The sweep once it has ended."""
    async with asyncio.timeout(120):
        while True:
            found: dict[str, Any] = (await http.get(f"{SWEEPS}/{sweep_id}")).json()
            if found["finished_at"] is not None:
                return found
            await asyncio.sleep(0.05)
