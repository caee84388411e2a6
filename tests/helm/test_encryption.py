"""Tests of TLS between the parts, and of what service meshes read."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.standalone.services import free_port
from tests.certificates import make_certificates
from tests.e2e.conftest import wait_for
from tests.helm.support import MODEL, PROFILES, Rendered, env_of

pytestmark = pytest.mark.slow

LARGE = {**MODEL, "id": "large", "engine": {"nodes": 2, "gpu": {"count": 8}}}
MONITORED = {"serviceMonitor": {"enabled": True}}
ISSUED: dict[str, Any] = {
    "models": [MODEL, LARGE],
    "inference": {"cache": {"sharedClaim": "adapters"}},
    "certManager": {
        "issuerRef": {"name": "internal", "kind": "ClusterIssuer"},
        "parts": ["api", "inference", "valkey"],
    },
    "monitoring": MONITORED,
}
GIVEN: dict[str, Any] = {
    "models": [MODEL],
    "caCertificates": {"existingSecret": "ca"},
    **{p: {"tls": {"existingSecret": f"{p}-cert"}} for p in ("api", "inference", "valkey")},
    "monitoring": MONITORED,
}


def secrets_of(rendered: Rendered) -> dict[str, set[str]]:
    """Return the Secrets that the pods mount, by the folder of the mount."""
    found: dict[str, set[str]] = {}
    for _, pod in rendered.pods():
        names = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
        for mount in pod["containers"][0]["volumeMounts"]:
            if mount["name"] in names:
                found.setdefault(mount["mountPath"], set()).add(names[mount["name"]])
    return found


def upstreams(rendered: Rendered) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        rendered.one("ConfigMap", "catalogue")["data"]["upstreams.json"]
    )
    return found


def test_certificates_have_the_names_that_clients_verify(render):
    rendered = render(ISSUED)
    issued = [o["spec"] for o in rendered.of_kind("Certificate").values()]
    certificates = {spec["secretName"]: spec for spec in issued}
    names = {secret: spec["dnsNames"] for secret, spec in certificates.items()}
    assert set(certificates) == {"ft-api-tls", "ft-inference-tls", "ft-valkey-tls"}
    assert {c["issuerRef"]["name"] for c in certificates.values()} == {"internal"}
    for url in upstreams(rendered).values():
        assert url.startswith("dns+https://")
        assert urlsplit(url.removeprefix("dns+")).hostname in names["ft-inference-tls"]
    for name in ("api", "worker-cpu", "vllm-tiny"):
        url = urlsplit(env_of(rendered.container("Deployment", name))["FINETUNED_REDIS_URL"])
        assert (url.scheme, url.query) == ("rediss", "ssl_ca_certs=/etc/finetuned-ca/ca.crt")
        host = url.netloc.rpartition("@")[2].partition(":")[0]
        assert host in names["ft-valkey-tls"]
    test = env_of(rendered.container("Pod", "test"))["FINETUNED_URL"]
    assert test.startswith("https://")
    assert urlsplit(test).hostname in names["ft-api-tls"]
    mounted = secrets_of(rendered)
    assert mounted["/etc/finetuned-tls"] == set(certificates)
    # The issuer puts its own certificate beside each that it signs.
    assert mounted["/etc/finetuned-ca"] == {"ft-api-tls"}
    # cert-manager refuses a certificate without names, as before the first model is added.
    early = render({**ISSUED, "models": []}).one("Certificate", "inference-tls")
    assert "ft-inference" in early["spec"]["dnsNames"]


def test_certificates_of_the_operator(render):
    rendered = render(GIVEN)
    assert not rendered.of_kind("Certificate")
    mounted = secrets_of(rendered)
    assert mounted["/etc/finetuned-tls"] == {"api-cert", "inference-cert", "valkey-cert"}
    assert mounted["/etc/finetuned-ca"] == {"ca"}


@pytest.mark.parametrize("values", [ISSUED, GIVEN], ids=["issued", "given"])
def test_probes_and_prometheus_speak_tls_too(render, values):
    rendered = render(values)
    engine = rendered.container("Deployment", "vllm-tiny")
    assert "--ssl-certfile=/etc/finetuned-tls/tls.crt" in engine["args"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert engine[probe]["httpGet"]["scheme"] == "HTTPS"
    (endpoint,) = rendered.one("ServiceMonitor", "inference")["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"]["serverName"] == "ft-vllm-tiny.models.svc.cluster.local"
    assert endpoint["tlsConfig"]["ca"]["secret"]["key"] == "ca.crt"
    (endpoint,) = rendered.one("ServiceMonitor", "worker")["spec"]["endpoints"]
    assert "scheme" not in endpoint


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_service_meshes_know_every_protocol(render, profile):
    """Istio takes a port without a known name or an appProtocol for TCP, or guesses."""
    models = {key: ISSUED[key] for key in ("models", "inference")}
    plain = render({} if profile else models, profile=profile)
    tls = render(ISSUED)
    for rendered, web in ((plain, "http"), (tls, "https")):
        for name, service in rendered.of_kind("Service").items():
            expected = web if name == "api" or name.startswith("vllm") else "http"
            expected = "tcp" if name == "valkey" else expected
            assert {p["appProtocol"] for p in service["spec"]["ports"]} == {expected}, name


@pytest.mark.skipif(not shutil.which("valkey-server"), reason="valkey-server is not installed")
def test_valkey_speaks_tls_only(render, tmp_path: Path):
    """With Debian's Valkey: the one of the other tests is built without TLS."""
    certificates = make_certificates(tmp_path / "certificates")
    config = render(GIVEN).one("ConfigMap", "valkey")["data"]["valkey.conf"]
    port = free_port()
    for old, new in (
        ("6379", str(port)),
        ("dir /data", f"dir {tmp_path}"),
        ("/etc/finetuned-tls/tls.crt", str(certificates.cert)),
        ("/etc/finetuned-tls/tls.key", str(certificates.key)),
    ):
        assert old in config
        config = config.replace(old, new)
    (tmp_path / "valkey.conf").write_text(config)
    probe = render(GIVEN).container("StatefulSet", "valkey")["readinessProbe"]["exec"]["command"]

    def ping(*words: str) -> bool:
        command = [words[0], "-p", str(port), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout == "PONG\n"

    with subprocess.Popen(["valkey-server", str(tmp_path / "valkey.conf")]) as server:
        try:
            wait_for(lambda: ping(*probe), 60, "the start of Valkey")
            assert ping("valkey-cli", "--tls", "--cacert", str(certificates.ca), "ping")
            assert not ping("valkey-cli", "ping")
        finally:
            server.kill()
