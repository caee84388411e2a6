"""Tests of deletions: what is deleted, which models are named, and signed receipts."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.core import clock, ids
from service.core.encryption.signing import InstallationKey, PublicKey, SigningKey, SigningKeyError
from service.core.leases import Leases
from service.core.storage import Storage
from service.erasure.receipts import NotVerified, verify
from service.jobs.records import CheckpointRecord
from service.models.records import ModelRecord, checkpoint_name
from service.projects.records import Role
from service.web import audit_trail
from tests.conftest import BASE_MODEL, Api, checked, upload
from tests.exports.conftest import succeeded
from tests.files_below import files_below

pytestmark = pytest.mark.slow
MODEL = f"ft:{BASE_MODEL}:acme:helper:abc123def456"
RECEIPTS = "/v1/erasure_receipts"
EVAL: dict[str, Any] = {
    "name": "answers",
    "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
    "testing_criteria": [
        {
            "type": "string_check",
            "name": "is",
            "input": "{{ item.a }}",
            "reference": "4",
            "operation": "eq",
        }
    ],
}
EVAL_RUN: dict[str, Any] = {
    "data_source": {
        "type": "jsonl",
        "source": {"type": "file_content", "content": [{"item": {"a": "4"}}]},
    }
}


async def receipt_of(http: httpx.AsyncClient, receipt_id: str) -> dict[str, Any]:
    answer = await http.get(f"{RECEIPTS}/{receipt_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def finish_erasures(api: Api) -> None:
    """What the reconciler of a worker does."""
    await api.app.state.eraser.deletions.rewrite()
    await api.app.state.eraser.deletions.sweep()


async def signed(api: Api, http: httpx.AsyncClient, receipt_id: str) -> dict[str, Any]:
    """The receipt, after the reconciler of a worker has finished it."""
    async with asyncio.timeout(60):
        while (receipt := await receipt_of(http, receipt_id))["status"] != "completed":
            await finish_erasures(api)
    return receipt


async def public_key(api: Api) -> PublicKey:
    return InstallationKey(api.settings.signing_key).get().public


def stored(api: Api) -> list[Path]:
    root = api.settings.data_dir / "storage"
    return [path for path in files_below(root) if path.name != ".health"]


async def test_a_deleted_file_leaves_a_receipt_and_no_bytes(api: Api, http, work):
    table = b"question,answer\n" + b"".join(b"q%d,a%d\n" % (i, i) for i in range(12))
    file = (await upload(http, table, name="table.csv")).json()
    async with work("cpu"):
        await checked(http, file["id"])
    gone = (await http.delete(f"/v1/files/{file['id']}")).json()
    assert gone["deleted"]
    assert gone["models"] == gone["deleted_models"] == gone["derived_files"] == []
    assert stored(api) == []
    receipt = await receipt_of(http, gone["receipts"][0])
    assert (receipt["status"], receipt["signature"]) == ("in_progress", None)
    receipt = await signed(api, http, receipt["id"])
    rewrite = {"append_only_file": "rewritten", "journal": "none", "replicas": 0}
    assert receipt["rewrite"] == {"began_at": receipt["rewrite"]["began_at"], **rewrite}
    assert receipt["subject_id"] == file["id"]
    names = {found["key"].rsplit("/", 1)[-1]: found for found in receipt["objects"]}
    assert set(names) == {"content", "canonical.jsonl", "manifest.json"}
    assert names["content"]["sha256"] == hashlib.sha256(table).hexdigest()
    assert names["content"]["bytes"] == len(table)
    who = (await http.get("/v1/whoami")).json()
    assert receipt["requested_by"] == who["api_key"]["id"]
    verify(receipt, await public_key(api))
    listed = (await http.get(RECEIPTS, params={"subject_id": file["id"]})).json()["data"]
    assert listed == [receipt]


async def test_a_receipt_is_verified_without_the_service(api: Api, http, chats, tmp_path):
    file = (await upload(http, chats(3), "user_data")).json()
    gone = (await http.delete(f"/v1/files/{file['id']}")).json()
    receipt, key = await signed(api, http, gone["receipts"][0]), await public_key(api)
    verify(receipt, key)
    other = {**receipt["rewrite"], "append_only_file": "off"}
    for name, value in (
        *(("objects", []), ("completed_at", 1), ("requested_by", "key_x")),
        *(("rewrite", None), ("rewrite", other)),
    ):
        with pytest.raises(NotVerified, match="changed"):
            verify({**receipt, name: value}, key)
    with pytest.raises(NotVerified, match="no signature"):
        verify({**receipt, "signature": None}, key)
    with pytest.raises(NotVerified, match="--key"):
        verify(receipt, SigningKey.generate().public)

    path, pem = tmp_path / "receipt.json", tmp_path / "key.pem"
    path.write_text(json.dumps(receipt, indent=1))
    pem.write_text(key.pem)
    arguments = ["erasure", "verify", str(path), "--key", str(pem)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert f"{receipt['id']} is valid: the file {file['id']} was erased" in done.output
    path.write_text(json.dumps(receipt | {"subject_id": "file-x"}))
    assert CliRunner().invoke(app, arguments).exit_code == 5
    path.write_text("[]")
    assert CliRunner().invoke(app, arguments).exit_code == 1


async def test_a_receipt_waits_for_a_worker_that_may_still_write(api: Api, http, chats):
    state = api.app.state
    file = (await upload(http, chats(3))).json()
    leases = Leases(state.redis, "worker", lease_s=60)
    async with leases.hold(file["id"], 1):
        gone = (await http.delete(f"/v1/files/{file['id']}")).json()
        receipt = await receipt_of(http, gone["receipts"][0])
        assert (receipt["status"], receipt["signature"]) == ("in_progress", None)
        late = f"{receipt['folders'][0]}/canonical.jsonl"
        await state.storage.put_bytes(late, b"{}\n")
    receipt = await signed(api, http, receipt["id"])
    assert stored(api) == []
    verify(receipt, await public_key(api))


async def trained(api: Api, http: httpx.AsyncClient, file_id: str) -> str:
    """A job on the file with a model and a checkpoint of it, and the job's ID."""
    body = {"model": BASE_MODEL, "training_file": file_id}
    job = (await http.post("/v1/fine_tuning/jobs", json=body)).json()
    state, storage = api.app.state, api.app.state.storage
    names = (MODEL, checkpoint_name(MODEL, 3))
    folder = f"{job['organization_id']}/jobs/{job['id']}/a1"
    for name, part in zip(names, ("adapter", "step-3/adapter"), strict=True):
        artifact = f"{folder}/{part}"
        manifest = await put_adapter(storage, artifact, api.settings.data_dir / "adapter")
        record = ModelRecord(
            id=name,
            project_id=job["organization_id"],
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            job_id=job["id"],
            artifact=artifact,
            digest=manifest.digest,
            step=3,
        )
        await state.registry.register(record)
    await storage.put_bytes(f"{folder}/step-3/state/optimizer.pt", b"state")
    checkpoint = CheckpointRecord(
        id=ids.new(ids.CHECKPOINT),
        project_id=job["organization_id"],
        created_at=clock.now_s(),
        job_id=job["id"],
        attempt=1,
        step=3,
        model=names[1],
        adapter=f"{folder}/step-3/adapter",
        state=f"{folder}/step-3/state",
        metrics={},
    )
    await state.jobs.checkpoints(job["id"]).create(checkpoint)
    await state.jobs.change(
        job["organization_id"],
        job["id"],
        lambda current: current.model_copy(update={"fine_tuned_model": MODEL}),
    )
    return str(job["id"])


async def put_adapter(storage: Storage, artifact: str, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights of " + artifact.encode())
    return await storage.put_folder(artifact, folder)


async def test_a_cascade_removes_models_checkpoints_exports_and_states(api: Api, http, chats):
    file = (await upload(http, chats(12))).json()
    job_id = await trained(api, http, file["id"])
    export = await succeeded(api, b"archive")
    other = (await upload(http, chats(13))).json()
    before = {path for path in stored(api) if other["id"] in str(path)}
    await http.put("/v1/aliases/helper", json={"model": MODEL})

    refused = await http.delete(f"/v1/files/{file['id']}", params={"cascade": "true"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_in_use")
    assert (await http.get(f"/v1/files/{file['id']}")).status_code == 200
    assert (await http.get(f"/v1/fine_tuning/jobs/{job_id}")).json()["status"] != "cancelled"

    await http.delete("/v1/aliases/helper")
    gone = (await http.delete(f"/v1/files/{file['id']}", params={"cascade": "true"})).json()
    checkpoint = checkpoint_name(MODEL, 3)
    assert (gone["deleted_models"], gone["models"]) == ([MODEL, checkpoint], [])
    assert gone["unfinished_jobs"] == []
    for path in (
        f"/v1/models/{MODEL}",
        f"/v1/models/{checkpoint}",
        f"/v1/model_exports/{export.id}",
    ):
        assert (await http.get(path)).status_code == 404
    assert (await http.get(f"/v1/fine_tuning/jobs/{job_id}")).json()["status"] == "cancelled"
    assert set(stored(api)) == before
    receipts = [await signed(api, http, one) for one in gone["receipts"]]
    assert [one["subject_id"] for one in receipts] == [file["id"], MODEL, checkpoint]
    erased = {found["key"].rsplit("/", 1)[-1] for one in receipts for found in one["objects"]}
    assert erased >= {"content", "optimizer.pt", "adapter_model.safetensors", "a1.tar"}
    for one in receipts:
        verify(one, await public_key(api))


async def test_without_a_cascade_the_models_are_kept_and_named(api: Api, http, chats):
    file = (await upload(http, chats(12))).json()
    await trained(api, http, file["id"])
    gone = (await http.delete(f"/v1/files/{file['id']}")).json()
    assert gone["models"] == [MODEL, checkpoint_name(MODEL, 3)]
    assert gone["deleted_models"] == []
    assert (await http.get(f"/v1/models/{MODEL}")).status_code == 200
    deleted = (await http.delete(f"/v1/models/{MODEL}")).json()
    receipt = await signed(api, http, deleted["receipt"])
    assert (receipt["subject"], receipt["subject_id"]) == ("model", MODEL)
    assert not [path for path in stored(api) if receipt["folders"][0] in str(path)]


async def test_expired_objects_leave_receipts_and_entries_in_the_audit_log(api: Api, http, chats):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = (await upload(http, chats(12), **fields)).json()
    await trained(api, http, file["id"])
    export = await succeeded(api, b"archive")
    redis = api.app.state.redis
    member = {f"{export.project_id}/{export.id}": export.expires_at}
    await redis.zadd("finetuned:exports-expiring", member)
    await redis.delete(audit_trail.STREAM)
    assert await api.app.state.eraser.erase_expired(export.expires_at) == 2

    for subject, subject_id, sha256 in (
        ("file", file["id"], hashlib.sha256(chats(12)).hexdigest()),
        ("export", export.id, export.sha256),
    ):
        params = {"subject_id": subject_id}
        [receipt] = (await http.get(RECEIPTS, params=params)).json()["data"]
        receipt = await signed(api, http, receipt["id"])
        assert receipt["subject"] == subject
        assert receipt["requested_by"] == "expires_after"
        assert sha256 in {found["sha256"] for found in receipt["objects"]}
        verify(receipt, await public_key(api))
        for folder in receipt["folders"]:
            assert not [path for path in stored(api) if folder in str(path)]
    assert (await http.get(f"/v1/models/{MODEL}")).status_code == 200
    entries = [
        audit_trail.decode(fields[b"entry"]) for _, fields in await redis.xrange(audit_trail.STREAM)
    ]
    assert [(one.type, one.actor.id, one.outcome) for one in entries] == [
        ("file.deleted", "finetuned", "applied"),
        ("export.deleted", "finetuned", "applied"),
    ]
    assert file["id"] in entries[0].objects
    assert await api.app.state.eraser.erase_expired(export.expires_at) == 0


async def test_evals_and_their_runs_leave_receipts(api: Api, http):
    made = (await http.post("/v1/evals", json=EVAL)).json()
    runs = [
        (await http.post(f"/v1/evals/{made['id']}/runs", json=EVAL_RUN)).json() for _ in range(2)
    ]
    gone = (await http.delete(f"/v1/evals/{made['id']}/runs/{runs[0]['id']}")).json()
    receipt = await receipt_of(http, gone["receipt"])
    assert (receipt["subject"], receipt["subject_id"]) == ("eval.run", runs[0]["id"])
    assert [found["key"].rsplit("/", 1)[-1] for found in receipt["objects"]] == ["source.jsonl"]

    leases = Leases(api.app.state.redis, "worker", lease_s=60)
    async with leases.hold(f"{made['id']}/{runs[1]['id']}", 1):  # it is in progress
        gone = (await http.delete(f"/v1/evals/{made['id']}")).json()
        receipt = await receipt_of(http, gone["receipt"])
        assert (receipt["subject"], receipt["status"]) == ("eval", "in_progress")
    receipt = await signed(api, http, receipt["id"])
    assert len(receipt["objects"]) == 1
    verify(receipt, await public_key(api))
    assert stored(api) == []


async def test_a_cascade_needs_the_permission_to_delete_models(api: Api, chats):
    async with await api.client("acme", Role.TRAINER) as trainer:
        file = (await upload(trainer, chats(3), "user_data")).json()
        path = f"/v1/files/{file['id']}"
        refused = await trainer.delete(path, params={"cascade": "true"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            403,
            "insufficient_permissions",
        )
        assert (await trainer.delete(path)).status_code == 200


async def test_a_worker_with_the_key_signs_later(api: Api, http, chats):
    """Only workers of the cpu queue have the key, by default."""
    state, file = api.app.state, (await upload(http, chats(3), "user_data")).json()
    key, state.eraser.deletions._key = state.eraser.deletions._key, None
    gone = (await http.delete(f"/v1/files/{file['id']}")).json()
    receipt = await receipt_of(http, gone["receipts"][0])
    assert (receipt["status"], receipt["signature"]) == ("in_progress", None)
    assert stored(api) == []
    state.eraser.deletions._key = key
    await finish_erasures(api)
    verify(await receipt_of(http, receipt["id"]), await public_key(api))


def test_a_key_file_signs_and_a_wrong_one_is_explained(tmp_path):
    file = tmp_path / "key" / "signing-key.pem"
    made = InstallationKey(file).make()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert InstallationKey(file).make().public.id == made.public.id  # of another process
    assert InstallationKey(file).get().public.id == made.public.id
    file.write_text("no key")
    with pytest.raises(SigningKeyError, match="PEM"):
        InstallationKey(file).get()
    with pytest.raises(SigningKeyError, match="openssl genpkey"):
        InstallationKey(tmp_path / "missing.pem").get()
    with pytest.raises(SigningKeyError, match="FINETUNED_SIGNING_KEY_FILE"):
        InstallationKey(file / "below").make()
