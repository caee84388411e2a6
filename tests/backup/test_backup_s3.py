"""Tests of backups from S3 to S3, each with credentials of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.backup.contents import BackupError
from service.backup.target import Target
from tests.backup.conftest import Site
from tests.conftest import upload
from tests.e2e.seaweed import BUCKET, Seaweed, seaweed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("s3") / "weed") as server:
        yield server


async def test_a_folder_is_backed_up_to_s3_and_restored_to_s3(
    server: Seaweed, http, site: Site, monkeypatch
):
    small = (await upload(http, b"small", purpose="user_data")).json()["id"]
    large = (await upload(http, b"l" * (20 * MIB), purpose="user_data")).json()["id"]
    # The credentials of the storage are wrong for the target, which has its own.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for name, value in server.env().items():
        monkeypatch.setenv(f"FINETUNED_BACKUP_{name}", value)
    site.place = f"s3://{BUCKET}/backups"
    assert (await site.back_up()).copied_objects == 4
    assert (await site.back_up(keep=1)).copied_objects == 0
    assert len([key for key in server.objects() if "/objects/" in key]) == 4
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    url = f"s3://{BUCKET}/restored"
    site.empty = site.empty.model_copy(update={"storage_url": url})
    await site.restore()
    key = http.headers["authorization"].removeprefix("Bearer ")
    async with site.restored(key) as restored:
        for file_id, data in ((small, b"small"), (large, b"l" * (20 * MIB))):
            content = await restored.get(f"/v1/files/{file_id}/content")
            assert content.content == data
    # Back up the restored installation, whose storage is S3 too, to the same target.
    site.settings = site.empty
    assert (await site.back_up()).copied_objects == 0, "the same bytes were copied again"


def test_buckets_of_different_endpoints_may_have_the_same_name(monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    target = Target.open("s3://finetuned/a", create=True)
    with pytest.raises(BackupError, match="are inside each other"):
        target.require_apart("s3://finetuned")
    target.require_apart("s3://finetuned/ab")
    monkeypatch.setenv("FINETUNED_BACKUP_AWS_ENDPOINT_URL", "https://elsewhere")
    target.require_apart("s3://finetuned")
