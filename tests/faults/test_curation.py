"""Reports, previews, cleanings and imports, with a fault at each operation."""

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


@pytest.mark.parametrize("name", NAMES["curation"])
async def test_curation(redis_url, tmp_path, name):
    await enumerate_faults(name, redis_url, tmp_path)
