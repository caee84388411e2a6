"""Tests of the commands for service accounts, admin keys, sharing, storage and erasures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.core import clock
from service.models.records import ModelRecord
from service.projects.records import Role
from tests.clients.python.commands import Cli
from tests.conftest import BASE_MODEL, Api

pytestmark = pytest.mark.slow

SHARED = f"ft:{BASE_MODEL}:acme:x:abc123def456"


async def project_of(api: Api, name: str) -> str:
    await api.key(name)
    return str((await api.app.state.projects.by_name(name)).id)


async def role_of(cli: Cli, path: Path) -> Any:
    """The role of a key in a file, as the service sees it, or the exit code if it is refused."""
    assert path.stat().st_mode & 0o777 == 0o600
    done = await cli("whoami", "--json", FINETUNED_API_KEY=path.read_text().strip())
    return json.loads(done.out)["api_key"]["role"] if done.code == 0 else done.code


async def test_a_service_account_has_keys_of_its_role(api: Api, cli: Cli, tmp_path: Path):
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.PROJECT_ADMIN)
    project = await project_of(api, "acme")
    accounts = ("admin", "service-accounts")
    made = await cli(*accounts, "create", project, "nightly", "--to", "first", "--json")
    assert made.code == 0, made.err
    assert (tmp_path / "first").read_text().strip() not in made.out + made.err
    account = json.loads(made.out)["id"]
    more = await cli(*accounts, "create-key", project, account, "--to", "other", "--name", "b")
    assert (more.code, more.out.startswith("key_")) == (0, True)
    assert [await role_of(cli, tmp_path / name) for name in ("first", "other")] == ["member"] * 2
    shown = await cli("admin", "keys", "show", project, more.out.strip())
    assert f"account    {account}" in shown.out

    changed = await cli(*accounts, "update", project, account, "--role", "owner")
    assert changed.out == f"{account}  nightly  owner\n"
    assert await role_of(cli, tmp_path / "other") == "project_admin"
    assert (await cli(*accounts, "update", project, account)).code == 2
    listed = await cli(*accounts, "list", project)
    assert listed.out.split("\t")[:3] == [account, "nightly", "owner"]

    unsure = await cli(*accounts, "delete", project, account)
    assert (unsure.code, "--yes" in unsure.err) == (2, True)
    assert (await cli(*accounts, "delete", project, account, "--yes")).out == f"{account}\n"
    assert [await role_of(cli, tmp_path / name) for name in ("first", "other")] == [3, 3]
    assert (await cli(*accounts, "delete", project, account, "--yes")).code == 4


async def test_an_admin_key_is_made_once_and_revoked(api: Api, cli: Cli, tmp_path: Path):
    refused = await cli("admin", "admin-keys", "create", "x", "--to", "admin-key")
    assert (refused.code, "organization.write" in refused.err) == (3, True)
    assert not (tmp_path / "admin-key").exists()
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    arguments = ("create", "x", "--to", "admin-key", "--expires-in-days", "7")
    made = await cli("admin", "admin-keys", *arguments)
    assert await role_of(cli, tmp_path / "admin-key") == "admin"
    assert (await cli("admin", "admin-keys", *arguments)).code == 2  # the file exists
    key = made.out.strip()
    listed = json.loads((await cli("admin", "admin-keys", "list", "--json")).out)
    assert [one["name"] for one in listed if one["id"] == key] == ["x"]
    assert len(listed) == 2
    assert (await cli("admin", "admin-keys", "revoke", key, "--yes")).out == f"{key}\n"
    assert await role_of(cli, tmp_path / "admin-key") == 3


async def test_a_model_is_shared_with_a_project_by_its_id(api: Api, cli: Cli):
    owner, other = await project_of(api, "acme"), await project_of(api, "other")
    await api.app.state.registry.register(
        ModelRecord(
            id=SHARED,
            project_id=owner,
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            artifact=f"{owner}/jobs/x/a1/adapter",
            digest="0" * 64,
            step=1,
        )
    )
    assert (await cli("models", "share", SHARED, other)).code == 3
    user = {"FINETUNED_API_KEY": await api.key("other")}
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    assert (await cli("models", "share", SHARED, other)).out == f"{other}\n"
    listed = await cli("models", "shared-with", SHARED)
    assert listed.out.startswith(f"{other}\tcp_")
    assert SHARED in (await cli("models", "list", **user)).out
    assert "owner       acme" in (await cli("models", "show", SHARED, **user)).out

    assert (await cli("models", "unshare", SHARED, other)).out == f"{other}\n"
    again = await cli("models", "unshare", SHARED, other)
    assert (again.code, "`finetuned models shared-with" in again.err) == (4, True)
    assert (await cli("models", "shared-with", SHARED)).out == ""
    assert SHARED not in (await cli("models", "list", **user)).out
    assert (await cli("models", "share", SHARED, "proj_unknown")).code == 1


async def test_projects_show_their_storage_and_archived_ones(api: Api, cli: Cli):
    project = await project_of(api, "shop")
    (cli.folder / "note.json").write_text('{"note": "kept"}')
    upload = ("files", "upload", "note.json", "--purpose", "user_data", "--no-wait")
    sent = await cli(*upload, FINETUNED_API_KEY=await api.key("shop"))
    assert sent.code == 0, sent.err
    mine = await cli("whoami", FINETUNED_API_KEY=await api.key("shop"))
    assert re.search(r"storage +([0-9]+ B) \(files \1\)\n", mine.out), mine.out
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    await cli("admin", "projects", "limit", project, "--storage-bytes", "1048576")
    shown = await cli("admin", "projects", "show", project)
    assert re.search(r"status +active\n", shown.out)
    assert re.search(r"storage +[1-9][0-9]* B of 1.0 MiB", shown.out)
    listed = (await cli("admin", "projects", "list")).out
    assert re.search(r"\t[1-9][0-9]* B of 1.0 MiB\tactive\n", listed)
    assert (await cli("admin", "projects", "archive", project, "--yes")).code == 0
    assert project not in (await cli("admin", "projects", "list")).out
    assert project in (await cli("admin", "projects", "list", "--archived")).out


async def test_a_key_is_shown_with_all_that_limits_it(api: Api, cli: Cli):
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    project = await project_of(api, "acme")
    options = ("--role", "inference", "--model", "support", "--allow-ip", "192.0.2.0/24")
    made = await cli("admin", "keys", "create", project, "--to", "bot", *options)
    key = made.out.strip()
    assert (await cli("admin", "keys", "limit", project, key)).code == 2
    limited = await cli("admin", "keys", "limit", project, key, "--tokens-per-minute", "900")
    assert limited.out == f"{key}  tokens per minute 900\n"
    await cli("admin", "keys", "rotate", project, key, "--to", "new-bot")
    secret = (cli.folder / "new-bot").read_text().strip()
    refused = await cli("whoami", FINETUNED_API_KEY=secret)
    assert (refused.code, "finetuned login" in refused.err) == (3, False)
    shown = (await cli("admin", "keys", "show", project, key)).out
    for text in ("support", "192.0.2.0/24", "tokens per minute 900", "never", "old secret"):
        assert text in shown, text


async def test_erase_says_what_it_did_and_fails_if_rows_are_left(api: Api, cli: Cli, work):
    from tests.erasure.test_erasure import MODEL, trained

    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.PROJECT_ADMIN)
    row = '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "A"}]}'
    texts = [*(f"Q{n}" for n in range(12)), *("I am Tanaka.",) * 12]
    (cli.folder / "chats.jsonl").write_text("\n".join(row % text for text in texts))
    erase = ("erasures", "create", "-", "--by", "substring")
    async with work("cpu"):
        file_id = json.loads((await cli("files", "upload", "chats.jsonl", "--json")).out)["id"]
        async with await api.client("acme", Role.PROJECT_ADMIN) as http:
            await trained(api, http, file_id)
        nobody = await cli(*erase, stdin="Sato")
        assert (nobody.code, nobody.out, nobody.err) == (0, "", "no such rows were found\n")
        found = await cli(*erase, stdin="Tanaka\n")
        lines = ", ".join(map(str, range(13, 23)))
        assert found.out == f"{file_id}  chats.jsonl: 12 rows (line {lines}, …)\n"

        await cli("aliases", "set", "helper", MODEL)
        apply = (*erase, "--apply", "--cascade", "--yes")
        kept = await cli(*apply, stdin="Tanaka")
        assert kept.code == 5
        assert "alias 'helper'" in kept.err
        assert f"Not erased from {file_id}" in kept.err
        await cli("aliases", "delete", "helper", "--yes")
        gone = await cli(*apply, stdin="Tanaka")
        assert (gone.code, ", replaced by file-" in gone.out) == (0, True)


async def test_the_audit_log_is_shown_between_two_times(api: Api, cli: Cli):
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    project = (await cli("admin", "projects", "create", "shop")).out.strip()
    audit = ("admin", "audit", "--event", "project.created")
    for options, expected in (
        ((), True),
        (("--since", "2026-01-01"), True),
        (("--until", "1h"), False),
        (("--since", "2026-01-01", "--until", "2026-01-02"), False),
    ):
        done = await cli(*audit, *options)
        assert (done.code, project in done.out) == (0, expected), options
    for wrong in ("yesterday", "2026-02-30"):
        refused = await cli(*audit, "--since", wrong)
        assert (refused.code, wrong in refused.err) == (2, True)


async def test_a_second_person_approves_a_model(api: Api, cli: Cli):
    owner = await project_of(api, "acme")
    await api.app.state.registry.register(
        ModelRecord(
            id=SHARED,
            project_id=owner,
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            artifact=f"{owner}/jobs/x/a1/adapter",
            digest="0" * 64,
            step=1,
        )
    )
    await api.app.state.projects.change(
        owner, lambda project: project.model_copy(update={"four_eyes": True})
    )
    refused = await cli("aliases", "set", "support", SHARED)
    assert (refused.code, "finetuned models approve" in refused.err) == (1, True)
    made = await cli("models", "approve", SHARED, "--note", "read 20 answers", "--json")
    approval = json.loads(made.out)["id"]
    listed = await cli("models", "approvals", SHARED)
    assert listed.out.startswith(approval)
    assert "read 20 answers" in listed.out
    assert (await cli("aliases", "set", "support", SHARED)).code == 0
    revoked = await cli("models", "revoke-approval", SHARED, approval)
    assert revoked.out == f"{approval}\n"
    assert (await cli("models", "approvals", SHARED)).out == ""
