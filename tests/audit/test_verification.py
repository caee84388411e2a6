"""Tests of the route that verifies the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.audit.sealing_loop import SealingLoop
from service.audit.stored_log import FOLDER
from service.core.encryption.signing import InstallationKey, SigningKey
from service.projects.records import Role
from tests.conftest import Api

PATH = "/v1/organization/audit_logs/verify"


@pytest.fixture
async def auditor(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with await api.client(role=Role.AUDITOR) as http:
        yield http


async def seal(api: Api) -> None:
    """Seal what requests left in the log, as a worker does."""
    state = api.app.state
    sealer = SealingLoop(state.redis, state.storage, api.settings).sealer()
    await sealer.resume()
    await sealer.seal(now=True)


async def verified(auditor: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await auditor.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_intact_log_is_verified_up_to_its_newest_sealed_entry(api: Api, auditor):
    found = await verified(auditor)
    assert (found["status"], found["sealed"]) == ("empty", None)
    assert (await verified(auditor))["entries_unsealed"] == found["entries_unsealed"] + 1
    await seal(api)
    found = await verified(auditor)
    assert (found["status"], found["problems"]) == ("intact", [])
    newest = (await auditor.get("/v1/organization/audit_logs", params={"limit": 100})).json()
    sealed = found["sealed"]
    assert sealed["last_entry_id"] in [entry["id"] for entry in newest["data"]]
    assert (sealed["number"], sealed["entries"] > 0) == (1, True)
    assert sealed["at"] <= found["verified_at"]
    verifications = [e for e in newest["data"] if e["type"] == "audit_logs.verified"]
    assert len(verifications) == 3  # each verification is itself in the log
    key = InstallationKey(api.settings.signing_key).get().public.pem
    assert (await verified(auditor, public_keys=[key]))["status"] == "intact"


async def test_a_damaged_log_is_described(api: Api, auditor):
    await verified(auditor)
    await seal(api)
    note = (await api.app.state.redis.get("finetuned:audit-head")).decode()
    (segment,) = Path(api.settings.data_dir, "storage", FOLDER).glob("*/*/*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"auditor", b"adm1nis"))
    found = await verified(auditor)
    assert found["status"] == "damaged"
    assert "does not have the entries that were sealed" in found["problems"][0]
    other = SigningKey.generate().public.pem
    found = await verified(auditor, public_keys=[other])
    assert "has a checkpoint that is not valid" in found["problems"][0]
    assert found["sealed"] is None
    later = await verified(auditor, checkpoints=[note.replace("\n", "x\n", 1), "nonsense"])
    assert any("a known checkpoint is not valid" in problem for problem in later["problems"])


async def test_without_the_key_the_caller_is_asked_for_it(api: Api, auditor):
    api.settings.signing_key.rename(api.settings.data_dir / "elsewhere")
    answer = await auditor.post(PATH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_verifiable")
    assert "audit key" in answer.json()["error"]["message"]
    wrong = await auditor.post(PATH, json={"public_keys": ["no key"]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "public_keys")


async def test_one_verification_runs_at_a_time(api: Api, auditor):
    async with api.app.state.audit_verifications.hold("other"):
        answer = await auditor.post(PATH)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert (await auditor.post(PATH)).status_code == 200


@pytest.mark.parametrize("role", [Role.PROJECT_ADMIN, Role.MEMBER])
async def test_a_project_cannot_verify_the_log_of_all(api: Api, role):
    async with await api.client(role=role) as http:
        assert (await http.post(PATH)).status_code == 403
