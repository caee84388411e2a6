"""A model, and an installation to which it is added."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.sources.stores import Installation, carded_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return carded_folder(tmp_path)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "data")
