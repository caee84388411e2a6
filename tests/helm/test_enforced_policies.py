"""Tests of who reaches whom, with the chart's policies enforced and real TCP connections."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.pod_network import Cluster, Host, connections, why_not
from tests.helm.support import MODEL, NAMESPACE, Rendered

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

# Pods of others, by the namespace that they are in.
OTHERS = {
    "neighbor": NAMESPACE,
    "dns": "kube-system",
    "dns-of-openshift": "openshift-dns",
    "prometheus": "monitoring",
    "gateway": "gateway",
    "redis": "redis",
    "stranger": "other",
}
OUTSIDE = {
    "dns-on-the-node": "169.254.20.10",
    "identity-provider": "10.1.3.5",
    "vault": "10.1.5.5",
    "traces": "10.1.6.5",
    "webhook": "10.1.7.5",
    "mlflow": "10.1.8.5",
    "witness": "10.30.0.10",
    "collector": "10.30.0.11",
    "s3": "10.20.0.5",
    "internet": "203.0.113.9",
}
PORTS = [53, 443, 4318, 5353, 6379, 8000, 8100, 8200, 9100, 9101, 10001, 26379]


def egress(name: str, port: int) -> list[dict[str, Any]]:
    return [{"to": [{"ipBlock": {"cidr": f"{OUTSIDE[name]}/32"}}], "ports": [{"port": port}]}]


EVERYTHING: dict[str, Any] = {
    "models": [MODEL],
    "worker": {"gpuPools": [{"name": "gpu"}, {"name": "both", "queues": ["cpu", "gpu"]}]},
    "ray": {"gpus": 2, "cluster": {"enabled": True}},
    "backup": {"enabled": True},
    "audit": {
        "export": {"enabled": True, "endpoint": "http://collector:4318"},
        "witness": {"url": "https://witness.example"},
    },
    "webhooks": {"allowedHosts": ["hooks.example"]},
    "mlflow": {"trackingUris": ["https://mlflow.example"]},
    "monitoring": {"serviceMonitor": {"enabled": True}},
    "settings": {
        "OIDC_JWKS": "https://login.example/keys",
        "ENCRYPTION_VAULT_ADDRESS": "https://vault.example:8200",
    },
    "pod": {"extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://traces:4318"}]},
    "networkPolicy": {
        "oidcEgress": egress("identity-provider", 443),
        "vaultEgress": egress("vault", 8200),
        "otlpEgress": egress("traces", 4318),
        "webhookEgress": egress("webhook", 443),
        "mlflowEgress": egress("mlflow", 443),
        "witnessEgress": egress("witness", 443),
        "auditExportEgress": egress("collector", 4318),
    },
}


def reached(rendered: Rendered) -> dict[str, set[str]]:
    """Return what each host reaches, as NAME:PORT, if one side is a pod of the chart."""
    pods = {}
    for o, template in rendered.templates():
        labels = template["metadata"]["labels"]
        name = o["metadata"]["name"].removeprefix("ft-")
        name += f"-{labels['finetuned/pool']}" if o["kind"] == "RayCluster" else ""
        pods[name] = Host(name, NAMESPACE, labels)
    hosts = [*pods.values()]
    hosts += [Host(name, namespace) for name, namespace in OTHERS.items()]
    hosts += [Host(name, address=address) for name, address in OUTSIDE.items()]
    policies = list(rendered.of_kind("NetworkPolicy").values())
    found: dict[str, set[str]] = {host.name: set() for host in hosts}
    for source, target, port in connections(Cluster(hosts, policies, PORTS)):
        if source in pods or target in pods:
            found[source].add(f"{target}:{port}")
    return found


def test_what_the_chart_says_is_what_passes(render):
    """Every pair is tried on every port, so whatever is not in this table is refused."""
    found = reached(render(EVERYTHING))
    store = {"dns:53", "valkey:6379"}
    seen = {"vault:8200", "traces:4318"}
    cpu = {"webhook:443", "mlflow:443", "witness:443"}
    engine = {"vllm-tiny:8100"}
    ports = [f":{port}" for port in PORTS]
    expected: dict[str, set[str]] = {
        "api": store | seen | engine | {"identity-provider:443"},
        "worker-cpu": store | seen | engine | cpu,
        "worker-both": store | seen | engine | cpu,
        "worker-gpu": store | seen | engine,
        "worker-ray": store | seen | engine | {"ray-head:10001"},
        "vllm-tiny": store | seen,
        "audit-export": store | {"vault:8200", "collector:4318"},
        "backup": store,
        "restore": store,
        "admin-key": store,
        "checks": store,
        "test": {"dns:53", "api:8000"},
        "valkey": set(),
        "ray-head": {"dns:53", *(f"ray-gpu{port}" for port in ports)},
        "ray-gpu": {"dns:53", *(f"ray-head{port}" for port in ports)},
        "prometheus": {"api:8000", "api:9101", "vllm-tiny:8100"}
        | {f"worker-{name}:9100" for name in ("cpu", "gpu", "both", "ray")},
    }
    anyone = {name: {"api:8000"} for name in (*OTHERS, *OUTSIDE)}
    assert found == anyone | expected


def test_stores_outside_and_clients_from_one_namespace(render):
    rendered = render({}, profile="s3-ha-values.yaml")
    found = reached(rendered)
    store = {"dns:53", "redis:6379", "redis:26379", "s3:443"}
    engines = {f"{n}:8100" for n in rendered.of_kind("Deployment") if n.startswith("vllm")}
    assert len(engines) == 2
    assert found["api"] == store | engines
    assert found["worker-cpu"] == store | engines | {"witness:443"}
    assert found["worker-l40s"] == store | engines
    assert found["audit-export"] == store | {"collector:443"}
    assert found["admin-key"] == store - {"s3:443"}
    assert found["gateway"] == {"api:8000"}
    for name in ("neighbor", "stranger", "internet", "redis"):
        assert found[name] == set(), name


@pytest.mark.parametrize(
    ("provider", "servers"),
    [
        ("auto", {"dns:53"}),
        ("nodelocal", {"dns:53", "dns-on-the-node:53"}),
        ("openshift", {"dns-of-openshift:5353"}),
    ],
)
def test_where_dns_runs(render, provider, servers):
    found = reached(render({"networkPolicy": {"dns": {"provider": provider}}}))
    for name in ("api", "worker-cpu", "admin-key"):
        assert found[name] == servers | {"valkey:6379"}
    assert found["valkey"] == set()


def test_without_policies_everything_is_open(render):
    """So a refused connection above is refused by a policy."""
    found = reached(render({"networkPolicy": {"enabled": False}}))
    assert {"stranger:443", "api:9101", "internet:443"} <= found["valkey"]
    assert len(found["internet"]) == len(PORTS) * sum(1 for _ in render({}).templates())
