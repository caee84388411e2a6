"""Tests of an api that speaks https in a cluster."""

from __future__ import annotations

import pytest

from tests.helm.support import MODEL, env_of

pytestmark = pytest.mark.slow

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def test_a_certificate_makes_the_api_and_its_probes_speak_https(render):
    rendered = render(
        {
            "models": [MODEL],
            "api": {"tls": {"existingSecret": "api-tls"}},
            "caCertificates": {"existingSecret": "ca"},
        }
    )
    api = rendered.container("Deployment", "api")
    assert {api[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTPS"}
    env = env_of(api)
    assert env["FINETUNED_API_TLS_CERT"] == "/etc/finetuned-tls/tls.crt"
    assert env["FINETUNED_API_TLS_KEY"] == "/etc/finetuned-tls/tls.key"
    mounts = {mount["name"]: mount for mount in api["volumeMounts"]}
    assert mounts["tls"] == {"name": "tls", "mountPath": "/etc/finetuned-tls", "readOnly": True}
    volumes = {volume["name"]: volume for volume in rendered.pod("Deployment", "api")["volumes"]}
    assert volumes["tls"]["secret"] == {"secretName": "api-tls", "defaultMode": 0o440}
    [port] = rendered.one("Service", "api")["spec"]["ports"]
    assert port["appProtocol"] == "https"
    # No other pod has the key. Metrics have a port of their own.
    assert [name for name, pod in rendered.pods() if "api-tls" in str(pod)] == ["Deployment/ft-api"]
    test = rendered.container("Pod", "test")
    assert env_of(test)["FINETUNED_URL"].startswith("https://ft-api.models.svc.")
    assert env_of(test)["SSL_CERT_FILE"] == "/etc/finetuned-ca/ca.crt"
    assert "ca" in {mount["name"] for mount in test["volumeMounts"]}


def test_without_one_it_speaks_http(render):
    rendered = render({"models": [MODEL]})
    api = rendered.container("Deployment", "api")
    assert {api[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTP"}
    assert "FINETUNED_API_TLS_CERT" not in env_of(api)
    assert "appProtocol" not in rendered.one("Service", "api")["spec"]["ports"][0]
    assert env_of(rendered.container("Pod", "test"))["FINETUNED_URL"].startswith("http://")
