"""Tests of `doctor --egress`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from service import offline
from service.cli import egress
from service.cli.app import app
from service.config import OidcGrant, Settings

# A connected UDP socket sends nothing.
PROGRAM = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect(("203.0.113.9", 443))
    print("connected", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that looks like an engine of the service, with a socket to another machine."""
    program = tmp_path / "finetuned-server"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), "inference", "demo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin", **request.param},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # As if it were `up` on this folder, so that other processes of the machine do not count.
        (tmp_path / "lock").write_text(f"pid {process.pid}, port 8000")
        yield process
        process.communicate()


def findings(tmp_path: Path, **env: str) -> dict[str, dict[str, str]]:
    words = ["doctor", "--egress", "--seconds", "0", "--json", "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(app, words, env=env)
    return {found["what"]: found for found in json.loads(done.stdout)}


@pytest.mark.parametrize("engine", [dict(offline.VARIABLES)], indirect=True)
def test_a_connection_to_another_machine_is_found(engine, tmp_path: Path):
    found = findings(tmp_path)
    assert found["connections"]["level"] == "missing"
    assert f"inference ({engine.pid}) → 203.0.113.9:443 (udp)" in found["connections"]["found"]
    assert f"inference ({engine.pid})" in found["processes"]["found"]
    assert f"({engine.pid})" not in found["libraries"]["found"]


@pytest.mark.parametrize("engine", [{"HF_HUB_OFFLINE": "0"}], indirect=True)
def test_libraries_that_may_go_online_are_found(engine, tmp_path: Path):
    found = findings(tmp_path)["libraries"]
    assert found["level"] == "missing"
    assert f"inference ({engine.pid}): DO_NOT_TRACK, HF_DATASETS_OFFLINE" in found["found"]


@pytest.mark.parametrize("engine", [dict(offline.VARIABLES)], indirect=True)
def test_addresses_in_the_settings_are_allowed(engine, tmp_path: Path):
    seen = egress.watch(tmp_path, 0)
    places = egress.allowed(
        Settings(upstreams={"demo": "https://203.0.113.9"}, redis_url=SecretStr("redis://r.x:1/0")),
        {},
    )
    assert places["203.0.113.9", 443] == "FINETUNED_UPSTREAMS"
    assert not [c for c in seen.outside(places) if f"({engine.pid})" in c.process]


def test_all_servers_of_a_setting_are_allowed():
    settings = Settings(
        redis_url=SecretStr("redis+sentinel://:pw@192.0.2.1:26379,192.0.2.2:26380/main/0"),
        storage_url="s3://bucket/x",
        mlflow_tracking_uris=("http://192.0.2.3:5000/x",),
        webhook_allowed_hosts=("192.0.2.4",),
        ray_address="ray://192.0.2.5:10001",
        trainer_gpus=1,
        audit_witness_url="https://192.0.2.10/log",
        encryption_vault_address="https://192.0.2.8:8200",
        oidc_issuer="https://192.0.2.9",
        oidc_audience="finetuned",
        oidc_jwks="https://192.0.2.9/keys",
        oidc_grants=(OidcGrant(claim="groups", value="x", project="clinic", role="member"),),
        oidc_client_id="console",
        oidc_redirect_uri="https://192.0.2.11/v1/session/callback",
        oidc_authorization_endpoint="https://192.0.2.12/authorize",
        oidc_token_endpoint="https://192.0.2.13:8443/token",
    )
    environ = {
        "AWS_ENDPOINT_URL": "https://192.0.2.6",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://192.0.2.7:4318/v1/traces",
    }
    assert egress.allowed(settings, environ) == {
        ("192.0.2.1", 26379): "FINETUNED_REDIS_URL",
        ("192.0.2.2", 26380): "FINETUNED_REDIS_URL",
        ("192.0.2.3", 5000): "FINETUNED_MLFLOW_TRACKING_URIS",
        ("192.0.2.4", 80): "FINETUNED_WEBHOOK_ALLOWED_HOSTS",
        ("192.0.2.4", 443): "FINETUNED_WEBHOOK_ALLOWED_HOSTS",
        ("192.0.2.5", 10001): "FINETUNED_RAY_ADDRESS",
        ("192.0.2.6", 443): "AWS_ENDPOINT_URL",
        ("192.0.2.10", 443): "FINETUNED_AUDIT_WITNESS_URL",
        ("192.0.2.9", 443): "FINETUNED_OIDC_JWKS",
        ("192.0.2.13", 8443): "FINETUNED_OIDC_TOKEN_ENDPOINT",
        ("192.0.2.8", 8200): "FINETUNED_ENCRYPTION_VAULT_ADDRESS",
        ("192.0.2.7", 4318): "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    }


def test_the_issuer_is_allowed_if_its_discovery_document_is_read():
    settings = Settings(
        oidc_issuer="https://192.0.2.9:8443/realms/bank",
        oidc_audience="finetuned",
        oidc_jwks="/etc/finetuned/jwks.json",
        oidc_grants=(OidcGrant(claim="groups", value="x", project="clinic", role="member"),),
        oidc_client_id="console",
        oidc_redirect_uri="https://192.0.2.11/v1/session/callback",
    )
    found = egress.allowed(settings, {})
    assert found[("192.0.2.9", 8443)] == "FINETUNED_OIDC_ISSUER"
    assert ("192.0.2.11", 443) not in found


def test_egress_without_processes_of_the_service_is_no_success(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(egress, "_processes", lambda _: iter(()))
    found = findings(tmp_path)["processes"]
    assert (found["level"], found["found"]) == (
        "missing",
        "no process of the service runs on this machine",
    )
