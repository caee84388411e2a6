"""Fixtures of the jobs' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config import Settings
from tests.conftest import BASE_MODEL
from tests.training.forked import ForkedChild


@pytest.fixture
def forked_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers in this process start trainers as forks, without seconds of imports."""
    monkeypatch.setattr("service.jobs.attempt.trainer_process.Child", ForkedChild)


@pytest.fixture
def tiny(settings: Settings, tiny_model_path: Path) -> str:
    """A base model in the catalog with some hundred thousand weights."""
    settings.lease_s = 10.0  # the worker shares the event loop with the test
    settings.models_file.write_text(
        f"models:\n- {{id: {BASE_MODEL}, path: {tiny_model_path}, license: mit, "
        "context_length: 512, parameters: 200000}\n",
        "utf-8",
    )
    return BASE_MODEL
