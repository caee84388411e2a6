"""Tests that call each method group once against a real api."""

from __future__ import annotations

import asyncio

import finetuned
import pytest
from finetuned import params, types

from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api

pytestmark = pytest.mark.slow

CHAT = '{"messages": [{"role": "user", "content": "Q%d"}, {"role": "assistant", "content": "A"}]}'


def rows(n: int) -> bytes:
    return "\n".join(CHAT % i for i in range(n)).encode()


async def test_file_is_checked_reported_and_cleaned(client, work):
    async with work("cpu"):
        data = rows(12) + b"\n" + (CHAT % 3).encode()  # a duplicate
        file = await client.files.create(data, filename="chats.jsonl")
        file = await client.files.wait(file.id, timeout_s=30)
        assert (file.status, file.rows) == ("processed", 13)
        report = await client.datasets.report(file_id=file.id, timeout_s=60)
        assert report.exact_duplicates.extra_rows == 1
        copies = [row async for row in client.datasets.rows(file.id, issue="exact_duplicate")]
        assert [(row.line, row.findings[0].other_line) for row in copies] == [(13, 4)]
        page = await client.datasets.rows(file.id, after=2, limit=3)
        assert [row.line for row in page.data] == [3, 4, 5]
        assert [row.line async for row in page] == list(range(3, 14))
        worst = (await client.datasets.rows(file.id, sort="score", limit=2)).data
        assert [(row.line, row.score, row.findings[0].weight) for row in worst[:1]] == [
            (13, 0.6, 0.4)
        ]
        assert worst[1].score == 1
        assert "13" in await client.datasets.report_text(file_id=file.id)
        page_text = await client.datasets.report_text(file_id=file.id, format="html")
        assert page_text.lstrip().startswith("<!")
        cleaning = await client.datasets.clean(file_id=file.id, near_duplicates=False, timeout_s=60)
        assert cleaning.result is not None
        assert cleaning.result.dropped == {"exact_duplicate": 1}
        listed = [c.id async for c in client.dataset_cleanings.list(file_id=file.id)]
        assert listed == [cleaning.id]
        later = cleaning.result.training_file_id
        assert len((await client.files.content(later)).splitlines()) == 12
        diff = await client.datasets.diff(file_id=file.id, other_file_id=later, timeout_s=60)
        assert diff.result is not None
        assert (diff.result.unchanged, diff.result.removed, diff.result.added) == (12, 1, 0)
        removed = [row async for row in client.dataset_diffs.rows(diff.id, change="removed")]
        assert [(row.line, row.other_row) for row in removed] == [(13, None)]
        limited = types.FileToMerge(file_id=file.id, max_rows=5)
        merge = await client.datasets.merge([limited, later], filename="both.jsonl", timeout_s=60)
        assert merge.result is not None
        assert (merge.result.rows, merge.filename) == (12, "both.jsonl")
        assert await client.dataset_merges.retrieve(merge.id) == merge
        assert [found.id async for found in client.dataset_merges.list()] == [merge.id]
        with pytest.raises(finetuned.BadRequest, match="twice"):
            await client.datasets.merge([file.id, file.id])
        assert (await client.files.delete(file.id)).deleted


async def test_file_that_cannot_be_trained_on_is_told(client, work):
    async with work("cpu"):
        file = await client.files.create(b'{"messages": []}\n', filename="bad.jsonl")
        with pytest.raises(finetuned.FileRefused, match=f"files report {file.id}"):
            await client.files.wait(file.id, timeout_s=30)
        assert (await client.datasets.report(file_id=file.id, timeout_s=60)).validation.errors > 0
        preview = await client.datasets.preview(file_id=file.id, timeout_s=60)
        assert [(row.line, row.row, row.record) for row in preview.rows] == [
            (1, None, {"messages": []})
        ]
        other = await client.datasets.preview(
            file_id=file.id, format={"columns": {"prompt": "ask"}}, limit=1, timeout_s=60
        )
        assert isinstance(other, types.DatasetPreviewContent)
        assert other.error is not None
        assert other.error.code == "missing_column"


async def test_waiting_ends(client):
    file = await client.files.create(rows(12), filename="chats.jsonl")
    with pytest.raises(finetuned.TimedOut, match="continues"):
        await client.files.wait(file.id, timeout_s=0.1)


async def test_jobs_are_made_listed_and_cancelled(client):
    file = await client.files.create(rows(12), filename="chats.jsonl")
    hyperparameters = types.SupervisedHyperparameters(n_epochs=2, lora=types.LoraOptions(r=8))
    method = types.FineTuningMethod(
        type="supervised", supervised=types.SupervisedMethod(hyperparameters=hyperparameters)
    )
    job = await client.fine_tuning.jobs.create(
        model=BASE_MODEL, training_file=file.id, method=method, metadata={"team": "a"}, seed=7
    )
    asked = job.method["supervised"]["hyperparameters"]
    assert (asked["n_epochs"], asked["lora"]["r"], job.seed) == (2, 8, 7)
    other = await client.fine_tuning.jobs.create(
        model=BASE_MODEL, training_file=file.id, metadata={"team": "b c"}
    )
    assert [j.id async for j in client.fine_tuning.jobs.list()] == [other.id, job.id]
    assert [j.id async for j in client.fine_tuning.jobs.list(metadata={"team": "b c"})] == [
        other.id
    ]
    page = await client.fine_tuning.jobs.list(limit=1)
    assert ([j.id for j in page.data], page.has_more) == ([other.id], True)
    assert [j.id async for j in page] == [other.id, job.id]
    assert [e.message async for e in client.fine_tuning.jobs.list_events(job.id)][-1].endswith(
        job.id
    )
    assert [c async for c in client.fine_tuning.jobs.checkpoints.list(job.id)] == []
    assert (await client.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    with pytest.raises(finetuned.Conflict):
        await client.fine_tuning.jobs.pause(job.id)
    with pytest.raises(finetuned.Conflict):
        await client.fine_tuning.jobs.resume(job.id)


async def test_same_idempotency_key_makes_one_job(client):
    file = await client.files.create(rows(12), filename="chats.jsonl")
    jobs = [
        await client.fine_tuning.jobs.create(
            model=BASE_MODEL, training_file=file.id, idempotency_key="nightly-7"
        )
        for _ in range(2)
    ]
    assert jobs[0].id == jobs[1].id


async def test_an_estimate_waits_for_the_measurement(client, work):
    file = await client.files.create(rows(20), filename="chats.jsonl")
    given = {"model": BASE_MODEL, "training_file": file.id}
    with pytest.raises(finetuned.TimedOut, match=file.id):
        await client.fine_tuning.jobs.wait_for_estimate(**given, timeout_s=0)
    async with work("cpu"):
        estimate = await client.fine_tuning.jobs.wait_for_estimate(**given, timeout_s=60)
    assert (estimate.rows, estimate.model) == (20, BASE_MODEL)
    assert estimate.steps > 0


async def test_long_lists_are_read_page_by_page(client):
    for n in range(3):
        await client.aliases.set(f"alias/{n}", model=BASE_MODEL)
    page = await client.aliases.list(limit=2)
    assert [a.id for a in page.data] == ["alias/2", "alias/1"]
    rest = await page.next_page()
    assert rest is not None
    assert ([a.id for a in rest.data], rest.has_more) == (["alias/0"], False)
    assert await rest.next_page() is None
    assert [a.id async for a in client.aliases.list(limit=2)] == [f"alias/{n}" for n in (2, 1, 0)]


async def test_pages_follow_each_other(api: Api):
    async with finetuned.AsyncClient(
        api_key=await api.key(role=Role.ADMIN), base_url=api.base_url
    ) as admin:
        project = await admin.organization.projects.create(name="many")
        made = await asyncio.gather(
            *(
                admin.organization.projects.api_keys.create(project.id, name=f"key {n}")
                for n in range(103)
            )
        )
        listed = [k.id async for k in admin.organization.projects.api_keys.list(project.id)]
    assert len(listed) == 103
    assert set(listed) == {key.id for key in made}


async def test_models_and_aliases(client):
    names = [m.id async for m in client.models.list()]
    assert names == [BASE_MODEL]
    made = await client.aliases.set("team/support", model=BASE_MODEL, if_none_match="*")
    assert (await client.models.retrieve("team/support")).alias_of == made.targets
    with pytest.raises(finetuned.Conflict):
        await client.aliases.set("team/support", model=BASE_MODEL, if_none_match="*")
    with pytest.raises(finetuned.Conflict):
        await client.aliases.set("team/support", model=BASE_MODEL, if_match="stale")
    targets: list[params.AliasTarget] = [
        {"model": name, "weight": 50} for name in (BASE_MODEL, "ft:none")
    ]
    with pytest.raises(finetuned.NotFound):
        await client.aliases.set("team/support", targets=targets)
    again = await client.aliases.set("team/support", model=BASE_MODEL, if_match=made.etag)
    assert (await client.aliases.retrieve("team/support")).etag == again.etag
    assert len((await client.aliases.history("team/support")).data) >= 1
    with pytest.raises(finetuned.BadRequest):
        await client.aliases.set("team/support")
    assert (await client.aliases.delete("team/support")).deleted
    with pytest.raises(finetuned.PermissionDenied):
        await client.models.delete(BASE_MODEL)


async def test_keys_are_changed_and_rotated(api: Api):
    async with finetuned.AsyncClient(
        api_key=await api.key(role=Role.ADMIN), base_url=api.base_url
    ) as admin:
        keys = admin.organization.projects.api_keys
        project = await admin.organization.projects.create(name="shop")
        key = await keys.create(
            project.id,
            name="bot",
            role="inference",
            models=["support"],
            expires_in_seconds=60,
            allowed_ips=["192.0.2.0/24"],
        )
        assert await keys.retrieve(project.id, key.id) == types.ApiKey(
            **key.model_dump(exclude={"value"})
        )
        changed = await keys.update(
            project.id, key.id, models=None, expires_in_seconds=None, allowed_ips=None
        )
        assert (changed.models, changed.expires_at, changed.allowed_ips) == (None, None, None)
        changed = await keys.update(
            project.id, key.id, name="web", models=["a"], expires_in_seconds=9, allowed_ips=["::1"]
        )
        assert (changed.name, changed.models, changed.allowed_ips) == ("web", ["a"], ["::1/128"])
        assert changed.expires_at is not None
        rotated = await keys.rotate(project.id, key.id, overlap_seconds=0)
        assert rotated.value != key.value
        assert (rotated.role, rotated.previous_secrets) == ("inference", [])


async def test_openai_client_talks_to_the_same_server(client, sync_client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-other")
    assert [m.id async for m in client.openai.models.list()] == [BASE_MODEL]
    assert client.openai is client.openai
    headers = sync_client.openai.default_headers
    assert "org-private" not in str(headers)
    for openai in (client.openai, sync_client.openai):
        assert openai.admin_api_key == openai.api_key != "sk-admin-other"
    assert str(sync_client.openai.base_url).startswith(sync_client.base_url)


async def test_what_is_newer_than_the_client_is_kept():
    given = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "f"}
    file = types.FileObject.model_validate(given | {"purpose": "new", "status": "new", "x": 1})
    assert (file.purpose, file.status, file.model_extra) == ("new", "new", {"x": 1})


async def test_empty_id_is_refused_here(client):
    with pytest.raises(finetuned.BadRequest, match="empty"):
        await client.files.delete("")
