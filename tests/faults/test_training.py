"""Trainings, their evaluation, and the reconciler, with a fault at each operation."""

from __future__ import annotations

import pytest

from tests.faults.actor.every import NAMES
from tests.faults.enumeration import enumerate_faults

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    # What killed tasks held is closed by nobody.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("name", NAMES["training"])
async def test_training(redis_url, tmp_path, name):
    await enumerate_faults(name, redis_url, tmp_path)
