"""Which requests leave which entries in the audit log, and who may read them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from service.app import create_app
from service.audit import sealing_loop
from service.config import Settings
from service.core import clock
from service.core.redis import connect
from service.projects.records import Role
from service.usage import keys
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.permissions import Permission, event_of, needed_by
from tests.audit import table
from tests.conftest import Api, upload
from tests.projects.test_access import served

LOGS = "/v1/organization/audit_logs"
SECRET = "Patient 4711 prefers mornings."

# They compute something from the request, and neither change nor read what is stored.
_NOTHING_RECORDED = {"estimateFineTuningJob", "validateGrader"}
# Who may read answers may say which are better, and take that back.
_CHANGED_BY_READERS = {"putFineTuningJobEvaluationLabel", "deleteFineTuningJobEvaluationLabels"}


async def logged(http: httpx.AsyncClient, **filters: Any) -> list[dict[str, Any]]:
    """The entries that match, oldest first."""
    answer = await http.get(LOGS, params={"limit": 100, **filters})
    assert answer.status_code == 200, answer.text
    return [e for e in reversed(answer.json()["data"]) if e["type"] != "audit_logs.read"]


def test_every_route_that_changes_or_reads_data_declares_its_event():
    """Declare what a new route leaves in the audit log: `needs(Permission.…, AuditEvent.…)`."""
    declared = set()
    for route in served(create_app(Settings())):
        permission, event = needed_by(route.route), event_of(route.route)
        declared.add(event)
        if permission is None or route.operation in _NOTHING_RECORDED:
            assert event is None
        elif permission is Permission.DATA_READ:
            assert event is not None, route.operation
            is_of_readers = route.operation in _CHANGED_BY_READERS
            assert event.is_read or is_of_readers or route.operation.startswith("create")
        elif route.method != "GET":
            assert event is not None, route.operation
            assert not event.is_read, route.operation
        else:
            about_the_log = (AuditEvent.AUDIT_LOGS_READ, AuditEvent.MODEL_EVIDENCE_READ)
            assert event is None or event in about_the_log, route.operation
    assert declared == {*AuditEvent, None} - table.OTHERS.keys()


async def test_changes_and_reads_leave_entries_without_contents(api: Api):
    row = json.dumps(
        {"messages": [{"role": "user", "content": SECRET}, {"role": "assistant", "content": "OK"}]}
    )
    async with (
        await api.client("acme") as http,
        await api.client("acme", Role.PROJECT_ADMIN) as admin,
    ):
        data = f"{row}\n".encode() * 12
        file_id = (await upload(http, data, name=f"{SECRET}.jsonl")).json()["id"]
        headers = {"x-request-id": "req-1", "user-agent": "bank/1.0"}
        answer = await http.get(f"/v1/files/{file_id}/content", headers=headers)
        assert answer.status_code == 200
        assert (await http.delete("/v1/files/file-unknown")).status_code == 404
        assert (await http.delete(f"/v1/files/{file_id}")).status_code == 200
        assert (await http.get("/v1/files")).status_code == 200  # leaves none
        entries = await logged(admin)
        created, read, refused, deleted = entries
        assert [entry["type"] for entry in entries] == [
            *("file.created", "file.content.read", "file.deleted", "file.deleted")
        ]
        assert created["objects"] == [file_id]
        assert created["result"] == {"outcome": "applied", "status": None, "code": None}
        assert read["result"] == {"outcome": "succeeded", "status": 200, "code": None}
        assert read["file.content.read"] == {"id": file_id}
        assert read["counts"] == {"bytes": len(data)}
        assert read["request"] == {
            "id": "req-1",
            "ip_address": "127.0.0.1",
            "user_agent": "bank/1.0",
            "operation": "getFileContent",
        }
        assert read["actor"]["api_key"]["role"] == "member"
        assert read["actor"]["api_key"]["project_id"] == read["project"]["id"]
        assert refused["result"]["status"] == 404
        assert deleted["result"]["outcome"] == "applied"
        assert SECRET not in json.dumps(entries)
        assert str(http.headers["authorization"]).removeprefix("Bearer ") not in json.dumps(entries)


async def test_a_change_and_its_entry_are_written_in_one_transaction(api: Api):
    """Neither exists without the other, whichever process dies and when."""
    redis = connect(api.settings.redis_url.get_secret_value())
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin, redis.monitor() as monitor:
        project_id = (await admin.get("/v1/whoami")).json()["project"]["id"]
        path = f"/v1/organization/projects/{project_id}/api_keys"
        made = (await admin.post(path, json={"name": "x"})).json()
        commands = []
        async for command in monitor.listen():
            commands.append(command["command"])
            if command["command"] == "EXEC" and any(made["id"] in c for c in commands):
                break
        transaction = commands[len(commands) - commands[::-1].index("MULTI") :]
        assert any(c.startswith("XADD finetuned:audit ") and made["id"] in c for c in transaction)
        assert any(c.startswith(f"SET finetuned:{project_id}:keys:") for c in transaction)
    await redis.aclose(close_connection_pool=True)


async def test_a_service_account_and_its_first_key_have_an_entry_each(api: Api):
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin:
        project_id = (await admin.get("/v1/whoami")).json()["project"]["id"]
        path = f"/v1/organization/projects/{project_id}/service_accounts"
        made = (await admin.post(path, json={"name": "nightly"})).json()
        entries = [(entry["type"], entry["objects"][0]) for entry in await logged(admin)]
        assert entries == [
            ("service_account.created", made["id"]),
            ("api_key.created", made["api_key"]["id"]),
        ]


async def test_entries_of_refused_requests_are_bounded(api: Api):
    async with (
        httpx.AsyncClient(base_url=api.base_url, verify=False) as stranger,
        await api.client("acme", Role.READER) as reader,
        await api.client("acme", Role.AUDITOR) as auditor,
    ):
        for _ in range(20):
            wrong = {"authorization": "Bearer sk-ft-wrong"}
            assert (await stranger.get("/v1/files", headers=wrong)).status_code == 401
            assert (await stranger.post("/v1/chat/completions")).status_code == 401
            assert (await reader.delete("/v1/files/file-x")).status_code == 403
        assert (await reader.post("/v1/completions", json={})).status_code == 403
        found = await logged(auditor)
        codes = [(entry["type"], entry[entry["type"]]["error_code"]) for entry in found]
        assert codes[:3] == [
            ("login.failed", "invalid_api_key"),  # of a wrong key
            ("login.failed", "invalid_api_key"),  # of no key
            ("access.denied", "insufficient_permissions"),
        ]
        assert found[0]["actor"]["session"]["ip_address"] == "127.0.0.1"
        assert found[0]["project"] is None
        assert found[2]["request"]["operation"] == "deleteFile"
        await api.serving.aclose()  # writes what was counted
    redis = connect(api.settings.redis_url.get_secret_value())
    lines = [fields[b"entry"] for _, fields in await redis.xrange(audit_trail.STREAM)]
    entries = [entry for entry in map(audit_trail.decode, lines) if entry.outcome == "refused"]
    assert sum(entry.counts.get("requests", 1) for entry in entries) == 61
    assert len(entries) <= 12  # three groups, in two minutes if one ended during the test
    await redis.aclose(close_connection_pool=True)


async def test_requests_that_cannot_be_recorded_are_not_answered(api: Api, monkeypatch):
    async with (
        await api.client("acme") as http,
        await api.client("acme", Role.PROJECT_ADMIN) as admin,
    ):
        file_id = (await upload(http, b"{}\n" * 12)).json()["id"]
        redis = api.app.state.redis
        monkeypatch.setattr(redis, "patience_s", 0)
        await redis.config_set("min-replicas-to-write", 1)  # it refuses writes from now on
        answer = await http.get(f"/v1/files/{file_id}/content")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "audit_log_unavailable"
        assert (await http.delete(f"/v1/files/{file_id}")).status_code == 503
        await redis.config_set("min-replicas-to-write", 0)
        assert (await http.get(f"/v1/files/{file_id}/content")).status_code == 200
        entries = await logged(admin)
        assert [entry["type"] for entry in entries] == ["file.created", "file.content.read"]


async def test_a_project_sees_only_its_own_entries(api: Api):
    async with (
        await api.client("acme", Role.PROJECT_ADMIN) as acme,
        await api.client("other", Role.PROJECT_ADMIN) as other,
        await api.client("acme", Role.AUDITOR) as auditor,
        await api.client("other", Role.ADMIN) as root,
    ):
        ids = {
            name: (await client.get("/v1/whoami")).json()["project"]["id"]
            for name, client in (("acme", acme), ("other", other))
        }
        path = f"/v1/organization/projects/{ids['acme']}/api_keys"
        assert (await acme.post(path, json={"name": "mine"})).status_code == 200
        assert (await root.post(path, json={"name": "by root"})).status_code == 200
        assert (await other.post(path, json={"name": "intruder"})).status_code == 404
        mine = await logged(acme)
        assert [entry["result"]["outcome"] for entry in mine] == ["applied", "applied"]
        assert {entry["project"]["id"] for entry in mine} == {ids["acme"]}
        [attempt] = await logged(other)
        assert attempt["result"]["status"] == 404
        assert attempt["api_key.created"]["id"] == ids["acme"]
        assert len(await logged(auditor)) == 3
        chosen = await logged(other, **{"project_ids[]": ids["acme"]})
        assert chosen == []
        cursor = await other.get(LOGS, params={"after": mine[0]["id"]})
        assert cursor.status_code == 400


async def test_the_sdk_filters_and_pages(api: Api):
    async with await api.client("acme", Role.ADMIN) as http:
        project = (await http.get("/v1/whoami")).json()["project"]["id"]
        made = [
            (
                await http.post(
                    f"/v1/organization/projects/{project}/api_keys", json={"name": f"k{n}"}
                )
            ).json()["id"]
            for n in range(5)
        ]
        await http.post("/v1/organization/projects", json={"name": "clinic"})
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with openai.AsyncOpenAI(
            api_key="unused", admin_api_key=key, base_url=f"{api.base_url}/v1"
        ) as sdk:
            logs = sdk.admin.organization.audit_logs
            created = [entry async for entry in logs.list(event_types=["api_key.created"], limit=2)]
            found = [entry.to_dict() for entry in reversed(created)]
            assert [entry["api_key.created"]["id"] for entry in found] == made  # type: ignore[index]
            actor = created[0].actor
            assert actor is not None
            assert actor.api_key is not None
            assert str(actor.api_key.id).startswith("key_")
            both = await logs.list(event_types=["project.created"])
            assert both.data[0].project_created is not None
            one = await logs.list(resource_ids=[made[2]])
            assert [entry.id for entry in one.data] == [created[2].id]
            before = await logs.list(event_types=["api_key.created"], before=created[3].id, limit=2)
            assert [entry.id for entry in before.data] == [created[1].id, created[2].id]
            assert before.has_more
            at = created[0].effective_at
            late = await logs.list(effective_at={"gt": at + 600})
            assert late.data == []
            same = await logs.list(effective_at={"gte": at - 60, "lte": at + 1}, limit=1)
            assert same.has_more
            assert not (await logs.list(actor_emails=["a@example.org"])).data
            with pytest.raises(openai.BadRequestError):
                await logs.list(after="audit_log-unknown")


def test_rows_whose_personal_data_is_shown_are_named():
    trail = audit_trail.Trail(
        AuditEvent.FILE_ROWS_READ, audit_trail.UNKNOWN, project_id="proj_a", objects=["file-a"]
    )
    with audit_trail.following(trail):
        audit_trail.reveal_rows([*range(1, 12), 40])
    entry = trail.entry("succeeded")
    assert entry.type == AuditEvent.FILE_ROWS_REVEALED
    assert entry.objects == ("file-a", "lines:1,2,3,4,5,6,7,8,9,10", "lines:11,40")
    assert entry.counts == {"rows": 12}
    assert trail.event.is_read


def test_the_page_lists_what_each_operation_records():
    """Run `python -m tests.audit.table --write`."""
    text = table.PAGE.read_text("utf-8")
    assert text == table.page(text)


async def test_requests_to_models_are_counted_by_key_and_minute(api: Api):
    redis = api.app.state.redis
    minute = int(clock.now() // 60) * 60
    counts = {
        keys.audited("proj_a", "key_a", minute - 120, batch=False): 3,
        keys.audited("proj_a", "key_a", minute - 120, batch=True): 2,
        keys.audited("proj_a", "key_b", minute, batch=False): 1,
    }
    await redis.hset(keys.AUDITED, mapping=counts)
    written = [await sealing_loop.record_model_requests(redis) for _ in range(2)]
    assert written == [2, 0]
    assert len(await redis.hgetall(keys.AUDITED)) == 1  # this minute has not ended
    async with await api.client("acme", Role.AUDITOR) as auditor:
        found = await logged(auditor, event_types="model.requested")
    assert [entry["counts"] for entry in found] == [{"requests": 3}, {"requests": 2, "batch": 1}]
    assert found[0]["actor"]["api_key"]["id"] == "key_a"
    assert found[0]["effective_at"] == minute - 120
