"""The handlers and tasks of files, with a fault at each of their operations."""

from __future__ import annotations

import pytest

from tests.faults.actors import FILE_ACTORS
from tests.faults.enumeration import enumerate_faults

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("name", FILE_ACTORS)
async def test_files(redis_url, tmp_path, name):
    await enumerate_faults(name, redis_url, tmp_path)
