"""The evidence of trained and imported models: what it has, who gets it, and what is missing."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from service.audit import inclusion
from service.cli.connections import record_changes
from service.core.encryption.signing import InstallationKey
from service.evidence import collect, signing
from service.jobs.attempt.replay import keep
from service.jobs.evaluation.labels.records import LabelRecord
from service.jobs.records import ReplayedWindow, ReplayRecord
from service.models.adapters import sign_adapter
from service.models.records import ModelOrigin
from service.projects.records import Role
from service.web.audit_events import AuditEvent
from tests.clients.python.commands import Cli
from tests.evidence.conftest import SECRET, Site


def members(archive: bytes) -> dict[str, bytes]:
    """The members of an archive by path."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as files:
        for info in files:
            stream = files.extractfile(info)
            assert stream is not None
            found[info.name.partition("/")[2]] = stream.read()
    return found


def parts(archive: bytes) -> dict[str, Any]:
    """The JSON members of an archive by name."""
    found = members(archive).items()
    return {name[:-5]: json.loads(data) for name, data in found if name.endswith(".json")}


@pytest.mark.slow
async def test_an_archive_says_where_a_model_comes_from_and_verifies(trained: Site, tmp_path: Path):
    """Also unpacked, and against the adapter's own files."""
    site = trained
    archive = await site.evidence()
    path = tmp_path / "evidence.tar"
    path.write_bytes(archive)
    state = site.api.app.state
    record = await state.registry.get(site.job["organization_id"], site.model)
    await state.storage.get_folder(record.artifact, tmp_path / "adapter")
    note = (await state.redis.get("finetuned:audit-head")).decode()
    found = site.check(path, checkpoints=[note], adapter=tmp_path / "adapter")
    assert found.problems == []
    assert (found.model, found.key_id) == (site.model, site.key.public.id)
    assert found.entries >= 3

    with tarfile.open(path) as files:
        files.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.glob("evidence-*")
    assert site.check(folder).problems == []

    have = parts(archive)
    assert have["training"]["job"]["id"] == site.job["id"]
    assert len(have["training"]["losses"]) == len(
        {row["step"] for row in have["training"]["losses"]}
    )
    assert all(row["train_loss"] > 0 for row in have["training"]["losses"])
    (file,) = have["lineage"]["files"]
    assert file["id"] == site.file_id == have["passport"]["data"]["training"]["file"]
    assert file["rows_sha256"] == have["passport"]["data"]["training"]["rows_sha256"]
    assert have["passport"]["libraries"].keys() > {"torch", "fastapi"}
    assert have["passport"]["environment"]["device"] == "cpu"
    (alias,) = have["access"]["aliases"]
    assert (alias["id"], len(alias["changes"])) == ("support", 1)
    assert {key["role"] for key in have["access"]["keys"]} == {"member", "project_admin"}
    events = {json.loads(one["line"])["type"] for one in have["audit"]["entries"]}
    assert events >= {"file.created", "fine_tuning.job.created", "alias.updated", "api_key.created"}
    assert (
        have["approvals"].items() >= {"is_required": False, "approvals": [], "replays": []}.items()
    )
    assert SECRET.encode() not in archive
    page = members(archive)["index.html"].decode()
    assert f"Evidence of {site.model}" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.slow
async def test_what_persons_and_replays_found_is_shown_and_proven(trained: Site, tmp_path: Path):
    """A label, an approval with who created the approver's key, and a replay."""
    site, state, project_id = trained, trained.api.app.state, trained.job["organization_id"]
    keys = f"/v1/organization/projects/{project_id}/api_keys"
    made = (await site.admin.post(keys, json={"name": "approver"})).json()
    headers = {"authorization": f"Bearer {made['value']}"}
    body = {"note": "read 20 answers"}
    answer = await site.admin.post(f"/v1/models/{site.model}/approvals", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    evaluation = await state.evaluations.get(project_id, site.job["id"])
    label = LabelRecord(row=3, compared=("tuned", "base"), winner="tuned", reviewer="key_a",
                        answers="0", created_at=1, labeled_at=1)  # fmt: skip
    await state.evaluation_labels.set(evaluation, label, "SECRET NOTE")
    record = await state.registry.get(project_id, site.model)
    window = ReplayedWindow(first_step=4, last_step=6, loss_error=0.0, gradient_error=0.0)
    replay = ReplayRecord(created_at=1_900_000_000, outcome="equal", model=site.model,
                          digest=record.digest, seed="5eed", total_windows=9, drawn=1,
                          windows=(window,), is_same_machine=True, machine={}, libraries={},
                          seconds=1.0)  # fmt: skip
    with record_changes(AuditEvent.JOB_REPLAYED, project_id) as trail:
        trail.name(AuditEvent.JOB_REPLAYED, [site.job["id"], site.model])
        trail.count(windows=1, findings=0)
        await state.jobs.change(project_id, site.job["id"], lambda job: keep(job, replay))
    await site.seal()

    archive = await site.evidence()
    (tmp_path / "one.tar").write_bytes(archive)
    assert site.check(tmp_path / "one.tar").problems == []
    have = parts(archive)
    (approval,) = have["approvals"]["approvals"]
    creator = (await site.admin.get("/v1/whoami")).json()["api_key"]["id"]
    assert approval["api_key_created_by"] == creator
    assert have["approvals"]["replays"][0]["seed"] == "5eed"
    (labels,) = have["evaluation"]["of_job"]["human_labels"]
    assert (labels["reviewer"], labels["better"]) == ("key_a", {"base": 0, "tuned": 1})
    assert b"SECRET NOTE" not in archive
    page = members(archive)["index.html"].decode()
    for text in (creator, "read 20 answers", "1 of 9", "4 to 6", "5eed", "key_a", "tuned 1"):
        assert text in page, text


async def test_the_same_evidence_has_the_same_bytes(site: Site, monkeypatch):
    monkeypatch.setattr("service.core.clock.now_s", lambda: 1_900_000_000)
    first, second = await site.evidence(), await site.evidence()
    before, after = parts(first), parts(second)
    # Reading is recorded in the log, so the second archive has an entry more.
    assert len(after["audit"]["not_sealed_yet"]) == len(before["audit"]["not_sealed_yet"]) + 1
    del before["audit"], after["audit"], before["manifest"], after["manifest"]
    assert before == after


async def test_text_is_included_only_if_asked_for_with_a_role_that_reads_it(
    site: Site, tmp_path: Path
):
    archive = await site.evidence(include_text="true")
    path = tmp_path / "evidence.tar"
    path.write_bytes(archive)
    assert site.check(path).problems == []
    assert SECRET.encode() in members(archive)[f"text/{site.file_id}.jsonl"]
    entry = json.loads(parts(await site.evidence())["audit"]["not_sealed_yet"][-1])
    assert (entry["type"], entry["counts"]["included_text"]) == ("model.evidence.read", 1)
    route = f"/v1/models/{site.model}/evidence"
    async with await site.api.client(role=Role.AUDITOR) as auditor:
        assert (await auditor.get(route)).status_code == 200
        refused = await auditor.get(route, params={"include_text": "true"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            403,
            "insufficient_permissions",
        )


async def test_who_gets_evidence(site: Site, monkeypatch):
    route = f"/v1/models/{site.model}/evidence"
    for role in (Role.MEMBER, Role.TRAINER, Role.READER, Role.INFERENCE):
        async with await site.api.client(role=role) as http:
            assert (await http.get(route)).status_code == 403
    async with await site.api.client("other", Role.PROJECT_ADMIN) as other:
        assert (await other.get(route)).status_code == 404
    for name in ("support", site.job["model"], f"{site.model}x"):
        answer = await site.admin.get(f"/v1/models/{name}/evidence")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    monkeypatch.setattr(site.api.app.state.collecting_evidence, "_wait_s", 0)
    async with site.api.app.state.collecting_evidence.hold("other"):
        answer = await site.admin.get(route)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    monkeypatch.setattr(collect, "MAX_TEXT_BYTES", 10)
    answer = await site.admin.get(route, params={"include_text": "true"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "include_text")


async def test_a_worker_signs_for_an_api_without_the_key(
    site: Site, work, tmp_path: Path, monkeypatch
):
    elsewhere = InstallationKey(tmp_path / "no key")
    signer = signing.EvidenceSigner(site.api.app.state.redis, elsewhere)
    monkeypatch.setattr(site.api.app.state, "evidence_signer", signer)
    async with work("cpu"):
        archive = await site.evidence()
    (tmp_path / "evidence.tar").write_bytes(archive)
    assert site.check(tmp_path / "evidence.tar").problems == []
    monkeypatch.setattr(signing, "_WAIT_S", 0.5)
    answer = await site.admin.get(f"/v1/models/{site.model}/evidence")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")


async def test_erased_files_deleted_jobs_and_exports_are_named(site: Site, http, tmp_path: Path):
    export = await http.post("/v1/model_exports", json={"model": site.model, "format": "adapter"})
    deleted = await http.delete(f"/v1/files/{site.file_id}")
    assert deleted.status_code == 200, deleted.text
    receipt = deleted.json()["receipts"][0]
    archive = await site.evidence()
    have = parts(archive)
    assert [one["id"] for one in have["exports"]["exports"]] == [export.json()["id"]]
    assert [one["id"] for one in have["erasures"]["receipts"]] == [receipt]
    (tmp_path / "one.tar").write_bytes(archive)
    found = site.check(tmp_path / "one.tar")
    assert found.problems == []
    assert f"lineage: the file {site.file_id} was deleted or has expired" in found.missing

    project_id = site.job["organization_id"]
    await site.api.app.state.jobs.records.delete(project_id, site.job["id"])
    archive = await site.evidence()
    assert "training" not in parts(archive)
    (tmp_path / "two.tar").write_bytes(archive)
    found = site.check(tmp_path / "two.tar")
    assert found.problems == []
    assert f"training: the job {site.job['id']} no longer exists" in found.missing
    assert SECRET.encode() not in archive


async def test_a_model_that_continues_another_one_names_it(site: Site):
    state, project_id = site.api.app.state, site.job["organization_id"]
    job = await state.jobs.get(project_id, site.job["id"])
    chosen = job.hyperparameters.model_copy(update={"warm_start": site.model})
    later = job.model_copy(update={"id": "ftjob-later", "hyperparameters": chosen})
    await state.jobs.records.create(later)
    record = await state.registry.get(project_id, site.model)
    again = f"{site.model[:-12]}continued000"
    await state.registry.register(record.model_copy(update={"id": again, "job_id": later.id}))
    have = parts(await site.evidence(again))
    (base,) = have["lineage"]["continued_from"]
    assert (base["model"], base["digest"]) == (site.model, record.digest)
    assert "evaluation" in {one["part"] for one in have["manifest"]["missing"]}


async def test_an_imported_model_has_no_training(site: Site, tmp_path: Path):
    state, project_id = site.api.app.state, site.job["organization_id"]
    record = await state.registry.get(project_id, site.model)
    name = f"{site.model[:-12]}imported0000"
    origin = ModelOrigin(import_id="modelimport-gone", archive_sha256="0" * 64)
    signature = sign_adapter(site.key, name, record.base_model, record.digest)
    changed = {"id": name, "job_id": None, "origin": origin, "signature": signature}
    await state.registry.register(record.model_copy(update=changed))
    archive = await site.evidence(name)
    have = parts(archive)
    assert have["model"]["origin"]["archive_sha256"] == "0" * 64
    assert "training" not in have
    assert {"part": "training", "reason": "the model was imported"} in have["manifest"]["missing"]
    (tmp_path / "one.tar").write_bytes(archive)
    assert site.check(tmp_path / "one.tar").problems == []


async def test_a_log_in_many_parts_is_read_up_to_a_limit(
    site: Site, http, tmp_path: Path, monkeypatch
):
    for number in range(4):
        await http.put("/v1/aliases/other", json={"model": site.model})
        if number < 3:
            await site.seal()
    archive = await site.evidence()
    (tmp_path / "one.tar").write_bytes(archive)
    found = site.check(tmp_path / "one.tar")
    assert (found.problems, found.notes) != ([], [])
    assert found.problems == []
    checkpoints = parts(archive)["audit"]["checkpoints"]
    assert len(checkpoints) == 4
    monkeypatch.setattr(inclusion, "MAX_FOLDERS", 2)
    (tmp_path / "two.tar").write_bytes(await site.evidence())
    note = (await site.api.app.state.redis.get("finetuned:audit-head")).decode()
    found = site.check(tmp_path / "two.tar", checkpoints=[note])
    assert found.problems == []
    assert any("the log is too large" in reason for reason in found.missing)


@pytest.mark.parametrize("fault", ["segment", "checkpoint"])
async def test_a_damaged_part_of_the_log_is_named(site: Site, tmp_path: Path, fault: str):
    storage = Path(site.api.settings.data_dir, "storage", "audit")
    pattern = "*/*/*.jsonl" if fault == "segment" else "*/*/checkpoint"
    (damaged,) = storage.glob(pattern)
    await asyncio.to_thread(damaged.write_bytes, b"damaged\n")
    (tmp_path / "one.tar").write_bytes(await site.evidence())
    found = site.check(tmp_path / "one.tar")
    assert any(reason.startswith("audit: 1 parts of the log") for reason in found.missing)


async def test_the_commands_name_what_is_wrong(site: Site, tmp_path: Path):
    secret = site.admin.headers["authorization"].removeprefix("Bearer ")
    address = {"FINETUNED_BASE_URL": site.api.base_url, "FINETUNED_API_KEY": secret}
    cli = Cli({"HOME": str(tmp_path), **address}, tmp_path)
    done = await cli("models", "evidence", site.model, "-o", "evidence.tar")
    assert (done.code, done.out) == (0, "evidence.tar\n")
    assert (await cli("models", "evidence", site.model, "-o", "evidence.tar")).code == 2
    (tmp_path / "key.pem").write_text(site.key.public.pem)
    verify = ("evidence", "verify", "evidence.tar", "--key")
    done = await cli(*verify, "key.pem")
    assert done.code == 0, done.err
    assert f"{site.model}: valid" in done.out
    assert "not in the archive: evaluation" in done.out
    shown: Any = (await cli(*verify, "key.pem", "--json")).json()
    assert (shown["problems"], shown["model"]) == ([], site.model)
    assert (await cli(*verify, "evidence.tar")).code == 3  # which is no key
    data = (tmp_path / "evidence.tar").read_bytes()
    (tmp_path / "evidence.tar").write_bytes(
        data.replace(b'"train_loss": 1.0', b'"train_loss": 0.1')
    )
    done = await cli(*verify, "key.pem")
    assert (done.code, "problem: training.json was changed" in done.out) == (5, True)
