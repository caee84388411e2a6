"""Tests of backups, restores and exports of the audit log, and of the log's key and witness."""

from __future__ import annotations

import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from service.core.encryption.signing import SigningKey
from tests.cli.test_cli import run
from tests.conftest import Api, upload
from tests.helm.support import MODEL, env_of, peers, selected

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


def test_backups_run_on_schedule_and_restores_on_demand(render):
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


def test_an_existing_volume_claim_is_used(render):
    rendered = render({"backup": {"enabled": True, "pvc": {"existingClaim": "mine"}}})
    volumes = {v["name"]: v for v in rendered.pod("CronJob", "backup")["volumes"]}
    assert volumes["backups"]["persistentVolumeClaim"] == {"claimName": "mine"}
    assert "backups" not in rendered.of_kind("PersistentVolumeClaim")


def test_backups_on_s3_have_their_own_credentials(render):
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


def test_backups_reach_only_redis_and_their_bucket(render):
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


EXPORT: dict[str, Any] = {
    "models": [MODEL],
    "encryption": {"existingSecret": "master"},
    "audit": {
        "export": {
            "enabled": True,
            "endpoint": "https://collector.example:4318",
            "existingSecret": "collector",
            "days": 2,
        }
    },
    "networkPolicy": {"auditExportEgress": [EGRESS]},
}


def test_the_audit_log_stays_in_the_cluster_by_default(render):
    rendered = render({"models": [MODEL]})
    assert not rendered.of_kind("CronJob")
    assert not {"witness", "audit-export"} & {*rendered.of_kind("NetworkPolicy")}
    assert "audit-export" not in rendered.of_kind("ServiceAccount")
    assert "FINETUNED_AUDIT_WITNESS_URL" not in rendered.settings()


@pytest.mark.parametrize("existing", ["", "own-key"])
def test_only_cpu_workers_have_the_signing_key(render, existing: str):
    pools = [{"name": "both", "queues": ["cpu", "gpu"]}, {"name": "gpu"}]
    audit = {"signingKey": {"existingSecret": existing}}
    rendered = render({"models": [MODEL], "worker": {"gpuPools": pools}, "audit": audit})
    made = [name for name in rendered.of_kind("Secret") if name.endswith("signing-key")]
    if existing:
        assert not made
    else:
        secret = rendered.one("Secret", "signing-key")
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        SigningKey.from_pem(b64decode(secret["data"]["signing-key.pem"]))
    wanted = existing or secret["metadata"]["name"]
    for name in ("worker-cpu", "worker-both"):
        pod, container = (get("Deployment", name) for get in (rendered.pod, rendered.container))
        [volume] = [v for v in pod["volumes"] if v.get("secret", {}).get("secretName") == wanted]
        [mount] = [m for m in container["volumeMounts"] if m["name"] == volume["name"]]
        path = env_of(container)["FINETUNED_SIGNING_KEY_FILE"]
        assert (path, mount["readOnly"]) == (f"{mount['mountPath']}/signing-key.pem", True)
    assert sum(wanted in str(pod) for _, pod in rendered.pods()) == 2
    assert "FINETUNED_SIGNING_KEY_FILE" not in rendered.settings()


def test_a_signing_key_file_of_the_operator_is_used(render):
    file = {"SIGNING_KEY_FILE": "/elsewhere/key.pem"}
    rendered = render({"models": [MODEL], "settings": file})
    assert "FINETUNED_SIGNING_KEY_FILE" not in env_of(
        rendered.container("Deployment", "worker-cpu")
    )
    env = {f"FINETUNED_{name}": value for name, value in file.items()}
    rendered = render({"models": [MODEL], "worker": {"cpu": {"env": env}}})
    assert env_of(rendered.container("Deployment", "worker-cpu")).items() >= env.items()


def test_only_cpu_workers_reach_the_witness(render):
    url = "https://witness.example/checkpoints"
    rendered = render(
        {
            "models": [MODEL],
            "audit": {"witness": {"url": url}},
            "networkPolicy": {"witnessEgress": [EGRESS]},
        }
    )
    policy = rendered.one("NetworkPolicy", "witness")
    assert selected(rendered, policy) == {"worker-cpu"}
    assert policy["spec"]["egress"] == [EGRESS]
    assert rendered.settings()["FINETUNED_AUDIT_WITNESS_URL"] == url


def test_audit_exports_have_only_what_they_need(render):
    rendered = render(EXPORT)
    policy = rendered.one("NetworkPolicy", "audit-export")
    assert selected(rendered, policy) == {"audit-export"}
    assert EGRESS in policy["spec"]["egress"]
    assert "ingress" not in policy["spec"]
    assert "audit-export" in peers(
        rendered.one("NetworkPolicy", "valkey")["spec"]["ingress"], "from"
    )
    env = env_of(rendered.container("CronJob", "audit-export"))
    assert env["OTLP_HEADER"] == {"secretKeyRef": {"name": "collector", "key": "header"}}
    assert env["FINETUNED_ENCRYPTION_KEY"] == {
        "secretKeyRef": {"name": "master", "key": "master-key"}
    }
    assert "redis://worker:" in env["FINETUNED_REDIS_URL"]
    assert "FINETUNED_UPSTREAM_API_KEY" not in env
    mounts = {m["name"]: m for m in rendered.container("CronJob", "audit-export")["volumeMounts"]}
    assert mounts["storage"]["readOnly"] is True


@pytest.mark.parametrize("header", ["", "authorization=Bearer a b"])
def test_an_export_is_of_whole_days(render, tmp_path, header):
    container = render(EXPORT).container("CronJob", "audit-export")
    arguments = tmp_path / "arguments"
    program = tmp_path / "finetuned-server"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {arguments}\n')
    program.chmod(0o755)
    date = tmp_path / "date"  # the first of a month
    date.write_text(
        '#!/bin/sh\n[ "$2" = -d ] && exec /bin/date -u -d "2026-12-01 $3" +%F\necho 2026-12-01\n'
    )
    date.chmod(0o755)
    subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **({"OTLP_HEADER": header} if header else {})},
        check=True,
    )
    expected = ["audit", "export", "--format", "otlp", "--endpoint"]
    expected += ["https://collector.example:4318", "--since", "2026-11-29", "--until", "2026-12-01"]
    assert arguments.read_text().splitlines() == expected + (["--header", header] if header else [])
