"""Tests of what the chart does with the audit log: its witness, and exports to a collector."""

from __future__ import annotations

import subprocess
from base64 import b64decode
from typing import Any

import pytest

from service.core.encryption.signing import SigningKey
from tests.helm.support import MODEL, env_of
from tests.helm.test_network import peers, selected

pytestmark = pytest.mark.slow

EGRESS = {"to": [{"ipBlock": {"cidr": "10.5.0.0/16"}}], "ports": [{"port": 443}]}
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


def test_nothing_of_it_leaves_the_cluster_unless_asked(render):
    rendered = render({"models": [MODEL]})
    assert not rendered.of_kind("CronJob")
    assert not {"witness", "audit-export"} & {*rendered.of_kind("NetworkPolicy")}
    assert "audit-export" not in rendered.of_kind("ServiceAccount")
    assert "FINETUNED_AUDIT_WITNESS_URL" not in rendered.settings()


@pytest.mark.parametrize("existing", ["", "own-key"])
def test_only_the_workers_that_seal_have_the_signing_key(render, existing: str):
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


def test_the_file_of_an_operator_is_used_instead(render):
    file = {"SIGNING_KEY_FILE": "/elsewhere/key.pem"}
    rendered = render({"models": [MODEL], "settings": file})
    assert "FINETUNED_SIGNING_KEY_FILE" not in env_of(
        rendered.container("Deployment", "worker-cpu")
    )
    env = {f"FINETUNED_{name}": value for name, value in file.items()}
    rendered = render({"models": [MODEL], "worker": {"cpu": {"env": env}}})
    assert env_of(rendered.container("Deployment", "worker-cpu")).items() >= env.items()


def test_the_witness_is_reached_by_cpu_workers_alone(render):
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


def test_exports_have_what_they_need_and_no_more(render):
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
    said = tmp_path / "said"
    program = tmp_path / "finetuned-server"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\n')
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
    assert said.read_text().splitlines() == expected + (["--header", header] if header else [])
