"""Tests of the CronJobs that make backups and restore them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import run
from tests.conftest import Api, upload
from tests.helm.support import MODEL, env_of
from tests.helm.test_network import peers, selected

pytestmark = pytest.mark.slow

EGRESS = {"to": [{"ipBlock": {"cidr": "10.4.0.0/16"}}], "ports": [{"port": 443}]}
S3: dict[str, Any] = {
    "backup": {
        "enabled": True,
        "type": "s3",
        "s3": {"bucket": "b", "prefix": "/p/", "existingSecret": "keys", "endpoint": "https://s3"},
    },
    "networkPolicy": {"backupEgress": [EGRESS]},
}


def test_no_backups_unless_enabled(render):
    rendered = render({})
    assert not rendered.of_kind("CronJob")
    assert "backup" not in rendered.of_kind("ServiceAccount")


def test_backups_run_on_schedule_and_restores_when_asked(render):
    values = {"enabled": True, "schedule": "30 1 * * 0", "timeZone": "Asia/Bangkok", "keep": 7}
    rendered = render({"backup": {**values, "restoreAt": "2026-11-28T02:00"}})
    backup, restore = (rendered.one("CronJob", name)["spec"] for name in ("backup", "restore"))
    assert (backup["schedule"], backup["timeZone"]) == ("30 1 * * 0", "Asia/Bangkok")
    assert (backup["suspend"], restore["suspend"]) == (False, True)
    assert backup["concurrencyPolicy"] == "Forbid"
    args = rendered.container("CronJob", "backup")["args"]
    assert args == ["backup", "/backups", "--keep", "7"]
    args = rendered.container("CronJob", "restore")["args"]
    assert args == ["restore", "/backups", "--at", "2026-11-28T02:00"]
    for name, is_read_only in (("backup", True), ("restore", False)):
        mounts = {m["name"]: m for m in rendered.container("CronJob", name)["volumeMounts"]}
        assert mounts["storage"]["readOnly"] is is_read_only
        assert "readOnly" not in mounts["backups"]
    claim = rendered.one("PersistentVolumeClaim", "backups")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_a_claim_of_the_operator_is_used(render):
    rendered = render({"backup": {"enabled": True, "pvc": {"existingClaim": "mine"}}})
    volumes = {v["name"]: v for v in rendered.pod("CronJob", "backup")["volumes"]}
    assert volumes["backups"]["persistentVolumeClaim"] == {"claimName": "mine"}
    assert "backups" not in rendered.of_kind("PersistentVolumeClaim")


def test_backups_on_s3_have_credentials_of_their_own(render):
    rendered = render(S3)
    container = rendered.container("CronJob", "backup")
    assert container["args"][1] == "s3://b/p"
    env = env_of(container)
    assert env["FINETUNED_BACKUP_AWS_ENDPOINT_URL"] == "https://s3"
    secret = env["FINETUNED_BACKUP_AWS_SECRET_ACCESS_KEY"]["secretKeyRef"]
    assert secret == {"name": "keys", "key": "secret-access-key"}
    assert "backups" not in {v["name"] for v in rendered.pod("CronJob", "backup")["volumes"]}
    storage = {"type": "s3", "s3": {"bucket": "b", "existingSecret": "s"}}
    shared = render(
        {
            "backup": {"enabled": True, "type": "s3", "s3": {"bucket": "backups"}},
            "storage": storage,
            "networkPolicy": {"storageEgress": [EGRESS]},
        }
    )
    env = env_of(shared.container("CronJob", "backup"))
    assert env["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "s"
    assert not [name for name in env if name.startswith("FINETUNED_BACKUP_")]


def test_backups_reach_redis_and_their_bucket_alone(render):
    rendered = render({**S3, "models": [MODEL]})
    policy = rendered.one("NetworkPolicy", "backup")
    assert selected(rendered, policy) == {"backup", "restore"}
    assert EGRESS in policy["spec"]["egress"]
    assert "valkey" in peers(policy["spec"]["egress"], "to")
    valkey = rendered.one("NetworkPolicy", "valkey")["spec"]["ingress"]
    assert "backup" in peers(valkey, "from")


async def test_the_commands_of_the_manifests_run(api: Api, http, render, tmp_path: Path):
    await upload(http, b"kept", purpose="user_data")
    rendered = render({"backup": {"enabled": True}})
    url = api.settings.redis_url.get_secret_value()
    for name, database, storage in (("backup", 0, "storage"), ("restore", 1, "restored")):
        args = rendered.container("CronJob", name)["args"]
        if name == "restore":
            await api.app.state.redis.execute_command("FLUSHALL")
        done = run(
            *(arg.replace("/backups", str(tmp_path / "backups")) for arg in args),
            FINETUNED_REDIS_URL=f"{url}/{database}",
            FINETUNED_STORAGE_URL=(tmp_path / storage).as_uri(),
            FINETUNED_MODELS_FILE=str(api.settings.models_file),
        )
        assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in tmp_path.glob("restored/*/files/*/content")] == [b"kept"]
