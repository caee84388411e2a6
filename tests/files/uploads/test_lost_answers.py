"""Tests of a completed upload whose Redis response is lost: its file stays intact."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError

from service.core.redis import connect
from service.files.records import Files
from service.files.uploads import assembly
from service.files.uploads.records import Uploads
from tests.conftest import Api
from tests.lossy import road_to

BEGUN = {"filename": "f", "purpose": "user_data", "bytes": 6, "mime_type": "text/plain"}


@pytest.fixture
async def pending(http) -> tuple[str, str]:
    """An upload and its only part."""
    upload = (await http.post("/v1/uploads", json=BEGUN)).json()["id"]
    part = await http.post(f"/v1/uploads/{upload}/parts", files={"data": ("p", b"a part")})
    return upload, part.json()["id"]


@pytest.mark.parametrize("cut", [False, True])
async def test_the_file_stays(api: Api, http, redis_url, pending, cut):
    upload_id, part_id = pending
    async with road_to(redis_url) as road:
        redis = connect(road.url, retries=0)
        uploads = Uploads(redis, Files(redis, api.app.state.storage))
        project = await api.app.state.projects.by_name("acme")
        upload = await uploads.records.get(project.id, upload_id)
        assert upload is not None
        road.lose(b"EXEC", b"uploads-due", cut=cut)
        if cut:
            with pytest.raises(ConnectionError):
                await assembly.complete(uploads, upload, [part_id], None)
        else:
            await assembly.complete(uploads, upload, [part_id], None)
        assert road.lost == 1
        await redis.aclose(close_connection_pool=True)
    again = await http.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": [part_id]})
    assert again.status_code == 200, again.text
    content = await http.get(f"/v1/files/{again.json()['file']['id']}/content")
    assert content.content == b"a part"


async def test_a_part_counts_once(api: Api, http, redis_url, pending):
    upload_id, _ = pending
    project = await api.app.state.projects.by_name("acme")
    async with road_to(redis_url) as road:
        redis = connect(road.url)
        uploads = Uploads(redis, Files(redis, api.app.state.storage))
        upload = await uploads.records.get(project.id, upload_id)
        assert upload is not None
        (part,) = await uploads.parts(upload)
        road.lose(b"EXEC", b"uploads")
        twin = part.model_copy(update={"id": "part_2"})
        numbered = await uploads.add_part(upload, twin, most_bytes=100)
        await redis.aclose(close_connection_pool=True)
    after = await uploads_of(api).records.get(project.id, upload_id)
    assert after is not None
    assert (road.lost, after.parts, after.received_bytes, numbered.number) == (1, 2, 12, 2)


def uploads_of(api: Api) -> Uploads:
    return api.app.state.uploads
