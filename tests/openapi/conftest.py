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
    """Folder with Redocly. Skips the test if npm's registry is unreachable."""
    return installed(HERE)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, demo_model_path: Path) -> World:
    """All responses of a running api, each of them checked."""
    return asyncio.run(run(tmp_path_factory.mktemp("world"), demo_model_path))
