"""Tests of the Ray cluster of the chart, and of the worker that gives trainings to it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jsonschema import ValidationError

from service.config import Settings
from tests.helm.support import MODEL, Manifest, env_of, peers
from tests.helm.test_manifests import validate_custom

pytestmark = pytest.mark.slow

GIB = 2**30
CLUSTER: dict[str, Any] = {
    "models": [{**MODEL, "image": {"repository": "m", "tag": "1"}}],
    "ray": {"gpus": 16, "gpuMemoryBytes": 80 * GIB, "cluster": {"enabled": True}},
}
ELSEWHERE: dict[str, Any] = {
    "ray": {"address": "ray://head.ray:10001", "gpus": 8, "existingSecret": "token"},
    "networkPolicy": {"rayEgress": [{"ports": [{"port": 10001}]}]},
}


def pod_templates(manifest: Manifest) -> list[Manifest]:
    """Return all pod templates of a RayCluster."""
    spec = manifest["spec"]
    return [spec["headGroupSpec"]["template"], *(g["template"] for g in spec["workerGroupSpecs"])]


def check(cluster: Manifest) -> None:
    validate_custom("raycluster", cluster, pod_templates(cluster))


def worker_env(rendered: Any) -> dict[str, Any]:
    return env_of(rendered.container("Deployment", "worker-ray"))


def test_kuberay_accepts_the_cluster(render):
    cluster = render(CLUSTER).one("RayCluster", "ray")
    check(cluster)
    unknown = copy.deepcopy(cluster)
    unknown["spec"]["workerGroupSpecs"][0]["rayStartParam"] = {}
    with pytest.raises(ValidationError, match="rayStartParam"):
        check(unknown)
    unknown = copy.deepcopy(cluster)
    unknown["spec"]["headGroupSpec"]["template"]["spec"]["container"] = []
    with pytest.raises(ValidationError, match="container"):
        check(unknown)


def test_nodes_have_the_gpus_and_the_models_but_no_secret_and_no_storage(render):
    head, node = pod_templates(render(CLUSTER).one("RayCluster", "ray"))
    (container,) = node["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert "nvidia.com/gpu" not in head["spec"]["containers"][0]["resources"]["limits"]
    for pod in (head, node):
        assert "initContainers" not in pod["spec"]  # a job puts the model on the shared volume
        (container,) = pod["spec"]["containers"]
        assert {v["name"] for v in pod["spec"]["volumes"]} == {"tmp", "data", "models", "shm"}
        assert "envFrom" not in container
        assert all("value" in variable for variable in container["env"])
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_worker_groups_of_a_ray_cluster_have_their_devices(render):
    groups = [
        {"name": "a100", "replicas": 4, "gpu": {"count": 4, "product": "A100"}},
        {"name": "cpu", "gpu": {"count": 0}},
    ]
    values = {"ray": {"gpus": 16, "cluster": {"enabled": True, "groups": groups}}}
    a100, cpu = render(values).one("RayCluster", "ray")["spec"]["workerGroupSpecs"]
    assert (a100["replicas"], a100["minReplicas"], a100["maxReplicas"]) == (4, 4, 4)
    selector = {"nvidia.com/gpu.product": "A100"}
    assert a100["template"]["spec"]["nodeSelector"] == selector
    assert (a100["rayStartParams"]["num-gpus"], a100["rayStartParams"]["num-cpus"]) == ("4", "4")
    assert (cpu["rayStartParams"]["num-gpus"], cpu["rayStartParams"]["num-cpus"]) == ("0", "1")
    for group in (a100, cpu):
        (container,) = group["template"]["spec"]["containers"]
        port = int(group["rayStartParams"]["node-manager-port"])
        assert container["readinessProbe"]["tcpSocket"]["port"] == port


def test_worker_gives_its_trainings_to_the_cluster(render, monkeypatch):
    rendered = render(CLUSTER)
    env = worker_env(rendered)
    for name, value in env.items():
        if name.startswith("FINETUNED_") and isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.ray_address == "ray://ft-ray-head-svc.models.svc.cluster.local:10001"
    assert (settings.trainer_gpus, settings.trainer_memory_bytes) == (16, 80 * GIB)
    assert env["RAY_AUTH_MODE"] == "token"
    assert env["RAY_AUTH_TOKEN"] == {"secretKeyRef": {"name": "ft-ray", "key": "auth_token"}}
    container = rendered.container("Deployment", "worker-ray")
    assert container["args"] == ["worker", "--queues", "gpu"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    others = [env_of(rendered.container("Deployment", f"worker-{n}")) for n in ("cpu", "gpu")]
    assert all("FINETUNED_RAY_ADDRESS" not in other for other in others)


def test_existing_cluster_is_named_and_none_is_created(render):
    rendered = render(ELSEWHERE)
    assert not rendered.of_kind("RayCluster")
    env = worker_env(rendered)
    assert env["FINETUNED_RAY_ADDRESS"] == "ray://head.ray:10001"
    assert env["RAY_AUTH_TOKEN"] == {"secretKeyRef": {"name": "token", "key": "auth_token"}}
    assert "FINETUNED_TRAINER_MEMORY_BYTES" not in env
    policy = rendered.one("NetworkPolicy", "ray-worker")["spec"]
    assert policy["egress"] == ELSEWHERE["networkPolicy"]["rayEgress"]
    without = copy.deepcopy(ELSEWHERE)
    without["ray"]["existingSecret"] = ""
    assert "RAY_AUTH_MODE" not in worker_env(render(without))


def test_only_the_ray_worker_reaches_the_cluster(render):
    rendered = render(CLUSTER)
    ray = rendered.one("NetworkPolicy", "ray")["spec"]
    own, client = ray["ingress"]
    assert peers([own], "from") == {"ray"}
    assert "ports" not in own  # Ray chooses them
    assert [p["port"] for p in client["ports"]] == [10001]
    (peer,) = client["from"]
    worker = rendered.one("Deployment", "worker-ray")["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= worker.items()
    other = rendered.one("Deployment", "worker-cpu")["spec"]["template"]["metadata"]["labels"]
    assert not peer["podSelector"]["matchLabels"].items() <= other.items()
    dns, inside = ray["egress"]
    assert "namespaceSelector" in dns["to"][0]
    assert peers([inside], "to") == {"ray"}
    for template in pod_templates(rendered.one("RayCluster", "ray")):
        labels = template["metadata"]["labels"]
        for name in ("ray", "deny"):
            wanted = rendered.one("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"]
            assert wanted.items() <= labels.items()
