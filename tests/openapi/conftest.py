"""Redocly, and one run of the scenarios for all tests of examples."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.node import installed
from tests.openapi.checks import HERE
from tests.openapi.run import run
from tests.openapi.world import World


@pytest.fixture(scope="session")
def tools() -> Path:
    """Where Redocly is installed; skips where npm's registry is not reached."""
    return installed(HERE)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, demo_model_path: Path) -> World:
    """What a running api said to every request; each answer was checked."""
    return asyncio.run(run(tmp_path_factory.mktemp("world"), demo_model_path))
