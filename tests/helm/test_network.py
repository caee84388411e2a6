"""Tests of ingress, network policies, metrics and autoscaling."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.helm.support import CHART, MODEL, NAMESPACE, PROFILES, RELEASE, peers, selected

pytestmark = pytest.mark.slow

PROMETHEUS = {"prometheus": "http://prometheus:9090"}
MODELS = {"models": [MODEL]}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_all_traffic_is_denied_by_default(render, profile):
    rendered = render({} if profile else MODELS, profile=profile)
    deny = rendered.one("NetworkPolicy", "deny")
    assert len(selected(rendered, deny)) == len(list(rendered.pods()))
    assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny["spec"]
    assert "egress" not in deny["spec"]


def test_allowed_connections(render):
    rendered = render(MODELS)
    allowed = {}
    for name, policy in rendered.of_kind("NetworkPolicy").items():
        assert selected(rendered, policy)
        spec = policy["spec"]
        allowed[name] = (
            peers(spec.get("ingress", []), "from"),
            peers(spec.get("egress", []), "to"),
        )
    dns = json.dumps(
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    )
    assert allowed == {
        "deny": (set(), set()),
        "api": ({"*"}, {dns, "valkey", "inference"}),
        "worker": (set(), {dns, "valkey", "inference"}),
        "inference": ({"api", "worker"}, {dns, "valkey"}),
        "valkey": ({"api", "worker", "inference", "admin-key", "checks"}, set()),
        "admin-key": (set(), {dns, "valkey"}),
        "checks": (set(), {dns, "valkey"}),
        "test": (set(), {dns, "api"}),
    }


def test_policies_name_the_ports_that_containers_open(render):
    rendered = render({**MODELS, "inference": {"port": 9000}})
    for name, port in [("api", 8000), ("inference", 9000), ("valkey", 6379)]:
        (rule,) = rendered.one("NetworkPolicy", name)["spec"]["ingress"]
        assert [p["port"] for p in rule["ports"]] == [port]
        kinds = {"api": ("Deployment", "api"), "valkey": ("StatefulSet", "valkey")}
        container = rendered.container(*kinds.get(name, ("Deployment", "vllm-tiny")))
        assert container["ports"][0]["containerPort"] == port


def test_policies_can_be_configured(render):
    gateway = [{"namespaceSelector": {"matchLabels": {"name": "gateway"}}}]
    dns = {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [5353]}
    policy = {"apiFrom": gateway, "dns": dns}
    rendered = render({**MODELS, "networkPolicy": policy})
    (rule,) = rendered.one("NetworkPolicy", "api")["spec"]["ingress"]
    assert rule["from"][0] == gateway[0]
    assert peers([rule], "from") == {json.dumps(gateway[0]), "test"}
    egress = rendered.one("NetworkPolicy", "worker")["spec"]["egress"]
    assert egress[0]["to"] == dns["to"]
    assert {p["port"] for p in egress[0]["ports"]} == {5353}
    assert not render({"networkPolicy": {"enabled": False}}).of_kind("NetworkPolicy")


def test_only_processes_that_need_them_reach_external_storage_and_redis(render):
    s3, redis = ({"to": [{"ipBlock": {"cidr": cidr}}]} for cidr in ("10.1.0.0/16", "10.2.0.0/16"))
    values = {
        **MODELS,
        "storage": {"type": "s3", "s3": {"bucket": "b"}},
        "redis": {"type": "external", "external": {"url": "redis://r"}},
        "networkPolicy": {"storageEgress": [s3], "redisEgress": [redis]},
    }
    policies = render(values).of_kind("NetworkPolicy")
    assert "valkey" not in policies
    for name in ("api", "worker", "inference"):
        assert s3 in policies[name]["spec"]["egress"]
        assert redis in policies[name]["spec"]["egress"]
    assert redis in policies["admin-key"]["spec"]["egress"]
    assert s3 not in policies["admin-key"]["spec"]["egress"]


OIDC_EGRESS = {"to": [{"ipBlock": {"cidr": "10.4.0.0/16"}}], "ports": [{"port": 443}]}
SIGN_IN: dict[str, Any] = {
    "identityProvider": {
        "clientId": "console",
        "existingSecret": "oidc-client",
        "redirectUri": "https://finetuned.example/v1/session/callback",
        "displayName": "Example Bank",
    },
    "settings": {"OIDC_ISSUER": "https://login.bank.example"},
    "networkPolicy": {"oidcEgress": [OIDC_EGRESS]},
}


def test_only_the_api_reaches_the_identity_provider_and_has_its_secret(render):
    rendered = render({**MODELS, **SIGN_IN})
    policy = rendered.one("NetworkPolicy", "oidc")
    assert selected(rendered, policy) == {"api"}
    assert policy["spec"]["egress"] == [OIDC_EGRESS]
    settings = rendered.settings()
    assert settings["FINETUNED_OIDC_CLIENT_ID"] == "console"
    assert settings["FINETUNED_OIDC_DISPLAY_NAME"] == "Example Bank"
    assert settings["FINETUNED_OIDC_REDIRECT_URI"].endswith("/v1/session/callback")
    knowing = [name for name, pod in rendered.pods() if "oidc-client" in str(pod)]
    assert knowing == ["Deployment/ft-api"]
    off = render(MODELS)
    assert "oidc" not in off.of_kind("NetworkPolicy")
    assert "OIDC" not in str(off.objects)


def test_the_console_can_be_turned_off(render):
    assert "FINETUNED_CONSOLE" not in render().settings()
    assert render({"console": {"enabled": False}}).settings()["FINETUNED_CONSOLE"] == "false"


def test_only_cpu_workers_reach_webhooks(render):
    egress = {"to": [{"ipBlock": {"cidr": "10.3.0.0/16"}}], "ports": [{"port": 443}]}
    hosts = ["hooks.example", "[::1]:8080"]
    values = {
        **MODELS,
        "webhooks": {"allowedHosts": hosts},
        "networkPolicy": {"webhookEgress": [egress]},
    }
    rendered = render(values)
    policy = rendered.one("NetworkPolicy", "webhooks")
    assert selected(rendered, policy) == {"worker-cpu"}
    assert policy["spec"]["egress"] == [egress]
    assert rendered.settings()["FINETUNED_WEBHOOK_ALLOWED_HOSTS"] == "hooks.example,[::1]:8080"
    off = render(MODELS)
    assert "webhooks" not in off.of_kind("NetworkPolicy")
    assert "FINETUNED_WEBHOOK_ALLOWED_HOSTS" not in off.settings()


def test_only_cpu_workers_reach_mlflow(render):
    egress = {"to": [{"ipBlock": {"cidr": "10.3.0.0/16"}}], "ports": [{"port": 443}]}
    uris = ["https://mlflow.example", "http://10.3.0.7:5000/mlflow"]
    values = {
        **MODELS,
        "mlflow": {"trackingUris": uris, "existingSecret": "mlflow-login"},
        "networkPolicy": {"mlflowEgress": [egress]},
    }
    rendered = render(values)
    policy = rendered.one("NetworkPolicy", "mlflow")
    assert selected(rendered, policy) == {"worker-cpu"}
    assert policy["spec"]["egress"] == [egress]
    assert rendered.settings()["FINETUNED_MLFLOW_TRACKING_URIS"] == ",".join(uris)
    knowing = [name for name, pod in rendered.pods() if "mlflow-login" in str(pod)]
    assert len(knowing) == 1
    off = render(MODELS)
    assert "mlflow" not in off.of_kind("NetworkPolicy")
    assert "MLFLOW" not in str(off.objects)


def test_ingress(render):
    ingress = {
        "enabled": True,
        "className": "nginx",
        "hosts": ["a.example", "b.example"],
        "annotations": {"note": "1"},
        "tls": [{"hosts": ["a.example"], "secretName": "t"}],
    }
    found = render({"ingress": ingress}).one("Ingress", "api")
    assert found["metadata"]["annotations"] == {"note": "1"}
    spec = found["spec"]
    assert (spec["ingressClassName"], spec["tls"]) == ("nginx", ingress["tls"])
    assert [rule["host"] for rule in spec["rules"]] == ["a.example", "b.example"]
    paths = spec["rules"][0]["http"]["paths"]
    # Metrics contain project names, so they are not exposed.
    assert [p["path"] for p in paths] == ["/v1", "/openapi.json", "/console"]
    assert paths[0]["backend"]["service"] == {"name": "ft-api", "port": {"name": "http"}}
    (any_host,) = render({"ingress": {"enabled": True}}).one("Ingress", "api")["spec"]["rules"]
    assert "host" not in any_host
    assert not render().of_kind("Ingress")


def test_http_route(render):
    route = {
        "enabled": True,
        "parentRefs": [{"name": "g"}],
        "hostnames": ["a.example"],
        "timeouts": {"request": "0s"},
        "paths": ["/v1"],
    }
    spec = render({"httpRoute": route, "api": {"service": {"port": 81}}}).one("HTTPRoute", "api")[
        "spec"
    ]
    assert (spec["parentRefs"], spec["hostnames"]) == ([{"name": "g"}], ["a.example"])
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    assert rule["timeouts"] == {"request": "0s"}
    assert rule["backendRefs"] == [{"name": "ft-api", "port": 81}]
    assert not render().of_kind("HTTPRoute")


def test_every_component_is_scraped(render):
    monitor = {"enabled": True, "labels": {"release": "prom"}, "interval": "10s"}
    rendered = render({**MODELS, "monitoring": {"serviceMonitor": monitor}})
    found = rendered.of_kind("ServiceMonitor")
    services = rendered.of_kind("Service").values()
    assert set(found) == {"api", "worker", "inference"}
    for name, scrape in found.items():
        assert scrape["metadata"]["labels"]["release"] == "prom"
        wanted = scrape["spec"]["selector"]["matchLabels"].items()
        hit = [s for s in services if wanted <= s["metadata"]["labels"].items()]
        assert hit
        (endpoint,) = scrape["spec"]["endpoints"]
        assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "10s")
        assert endpoint["relabelings"] == [{"targetLabel": "release", "replacement": RELEASE}]
        (scraped,) = [
            s for s in hit if endpoint["port"] in {p["name"] for p in s["spec"]["ports"]}
        ][:1]
        ports = {
            rule["ports"][0]["port"]
            for rule in rendered.one("NetworkPolicy", name)["spec"]["ingress"]
            if any("monitoring" in peer for peer in peers([rule], "from"))
        }
        assert ports == {port["port"] for port in scraped["spec"]["ports"]}
    assert not render().of_kind("ServiceMonitor")


def test_monitoring_has_the_dashboards_and_a_label_for_the_rules(render):
    monitoring = {
        "prometheusRule": {"enabled": True, "labels": {"release": "prom"}},
        "dashboards": {"enabled": True, "annotations": {"folder": "finetuned"}},
    }
    rendered = render({"monitoring": monitoring})
    rule = rendered.one("PrometheusRule", "alerts")
    assert rule["metadata"]["labels"]["release"] == "prom"
    files = sorted((CHART / "files" / "dashboards").glob("*.json"))
    assert files
    for file in files:
        config = rendered.one("ConfigMap", f"dashboard-{file.stem}")
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config["metadata"]["annotations"] == {"folder": "finetuned"}
        assert json.loads(config["data"][file.name]) == json.loads(file.read_text("utf-8"))
    assert not [n for n in render().of_kind("ConfigMap") if n.startswith("dashboard")]


def test_keda_scales_workers_from_and_to_zero(render):
    keda = {"enabled": True, "maxReplicas": 4, "cooldownSeconds": 60}
    pools = [{"name": "l4", "keda": keda}, {"name": "fixed"}]
    values = {"keda": {**PROMETHEUS, "authenticationRef": "auth"}, "worker": {"gpuPools": pools}}
    rendered = render(values)
    assert set(rendered.of_kind("ScaledObject")) == {"worker-l4"}
    spec = rendered.one("ScaledObject", "worker-l4")["spec"]
    assert spec["scaleTargetRef"]["name"] == "ft-worker-l4"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    assert spec["cooldownPeriod"] == 60
    (trigger,) = spec["triggers"]
    assert trigger["authenticationRef"] == {"name": "auth"}
    assert trigger["metadata"]["threshold"] == "1"
    # Running jobs count, or a worker would be removed as soon as it takes the last job.
    assert trigger["metadata"]["query"] == (
        'sum(max by (status) (finetuned_jobs_unfinished{namespace="models",release="ft",'
        'status=~"queued|running"}))'
    )
    assert "replicas" not in rendered.one("Deployment", "worker-l4")["spec"]
    assert rendered.one("Deployment", "worker-fixed")["spec"]["replicas"] == 1


def test_keda_scales_engines_by_waiting_requests(render):
    keda = {"enabled": True, "minReplicas": 2, "maxReplicas": 6, "waitingRequests": 9}
    model = {**MODEL, "id": "Org/tiny", "engine": {"keda": keda}}
    rendered = render({"keda": PROMETHEUS, "models": [model]})
    ((name, scaled),) = rendered.of_kind("ScaledObject").items()
    spec = scaled["spec"]
    assert name in rendered.of_kind("Deployment")
    assert spec["scaleTargetRef"]["name"] == f"ft-{name}"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 6)
    metadata = spec["triggers"][0]["metadata"]
    assert metadata["serverAddress"] == "http://prometheus:9090"
    assert metadata["threshold"] == "1"
    assert "replicas" not in rendered.one("Deployment", name)["spec"]
    # cooldownPeriod only delays the step to zero.
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == spec["cooldownPeriod"] == 300
    assert spec["fallback"] == {
        "failureThreshold": 3,
        "replicas": 2,
        "behavior": "currentReplicasIfHigher",
    }


def test_the_number_of_engines_follows_what_waits_in_the_api(render, tmp_path):
    """With the figures of a real overload: 48 chats, 40 of which wait in the api."""
    keda = {"enabled": True, "minReplicas": 0, "maxReplicas": 6, "waitingRequests": 10}
    values = {
        "keda": PROMETHEUS,
        "models": [{**MODEL, "engine": {"keda": keda}}],
        "settings": {"ENGINE_REQUESTS_AT_ONCE": 8},
        "inference": {"startWaitSeconds": 600},
    }
    spec = render(values).one("ScaledObject", "vllm-tiny")["spec"]
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"]) == (0, 1)
    query = spec["triggers"][0]["metadata"]["query"]
    labels = f'namespace="{NAMESPACE}",release="{RELEASE}"'
    waiting = f'finetuned_engine_waiting_requests{{{labels},base_model="tiny",pod="%s"}}'
    running = f'vllm:num_requests_running{{{labels},model_name="tiny",pod="%s"}}'
    cases: list[tuple[dict[str, int], float]] = [
        ({waiting % "a": 25, waiting % "b": 15, running % "e": 8}, 5),  # one, and four more
        ({waiting % "a": 0, running % "e": 8, running % "f": 8}, 2),
        ({waiting % "a": 0, running % "e": 4, running % "f": 4}, 1),
        ({waiting % "a": 0, running % "e": 0}, 0),
        ({waiting % "a": 1}, 0.1),  # from zero
        ({waiting % "a": 0}, 0),
        ({waiting.replace("tiny", "other") % "a": 50}, 0),
        ({waiting.replace(NAMESPACE, "other") % "a": 50}, 0),
    ]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": s, "values": str(value)} for s, value in series.items()],
            "promql_expr_test": [
                {
                    "expr": query,
                    "eval_time": "0m",
                    "exp_samples": [{"labels": "{}", "value": expected}],
                }
            ],
        }
        for series, expected in cases
    ]
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def test_the_test_pod(render):
    rendered = render({**MODELS, "test": {"fineTune": True, "timeoutSeconds": 99}})
    pod = rendered.one("Pod", "test")
    annotations = pod["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    # A failed pod stays, to read its log.
    assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert pod["spec"]["activeDeadlineSeconds"] == 99
    env = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    assert (env["TEST_MODEL"], env["TEST_FINE_TUNE"]) == ("tiny", "true")
    other = render({**MODELS, "test": {"model": "other"}}).container("Pod", "test")
    assert {"name": "TEST_MODEL", "value": "other"} in other["env"]
    assert not render({"test": {"enabled": False}}).of_kind("Pod")
