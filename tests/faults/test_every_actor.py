"""Every actor, with a fault at each of its operations."""

from __future__ import annotations

import pytest

from tests.faults.actor.every import BY_NAME
from tests.faults.enumeration import enumerate_faults

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    # What killed tasks held is closed by nobody.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("name", BY_NAME)
async def test_every_actor(redis_url, tmp_path, name):
    await enumerate_faults(name, redis_url, tmp_path)
