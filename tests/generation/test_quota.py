"""Generations of a project whose storage quota is used up."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import Api
from tests.generation.conftest import Model, created, document, ended, handbook, rows_of
from tests.quota import leave_room

pytestmark = pytest.mark.slow
_ROOM = 6000


async def test_a_generation_beyond_the_quota_fails_and_keeps_its_rows(
    api: Api, http: httpx.AsyncClient, model: Model, work
):
    made = await created(http, await document(http, handbook(*range(1, 41))), n=40)
    await leave_room(api, _ROOM)
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["error"]["code"]) == ("failed", "quota_exceeded")
    assert "storage quota" in made["error"]["message"]
    rows = await rows_of(http, made)
    assert 0 < len(rows) == made["counts"]["kept"] < 40


async def test_a_generation_whose_rows_fit_is_not_failed_by_its_own_parts(
    api: Api, http: httpx.AsyncClient, model: Model, work
):
    made = await created(http, await document(http, handbook(1, 2, 3, 4)), n=4)
    await leave_room(api, _ROOM)
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["counts"]["kept"]) == ("completed", 4)
    assert len(await rows_of(http, made)) == 4
    file = (await http.get(f"/v1/files/{made['result']['output_file_id']}")).json()
    assert 2 * file["bytes"] > _ROOM
