"""Tests of engines on several nodes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jsonschema import ValidationError

from tests.helm.support import MODEL, Manifest, env_of, peers
from tests.helm.test_manifests import validate_custom

pytestmark = pytest.mark.slow

DIVIDED: dict[str, Any] = {
    "models": [{**MODEL, "engine": {"nodes": 2, "gpu": {"count": 8}, "replicas": 3}}],
    "inference": {"cache": {"sharedClaim": "adapters"}},
}


def group(render, values: Manifest = DIVIDED) -> tuple[Manifest, Manifest, Manifest]:
    """Return the LeaderWorkerSet, and the pod templates of leader and worker."""
    (found,) = render(values).of_kind("LeaderWorkerSet").values()
    template = found["spec"]["leaderWorkerTemplate"]
    return found, template["leaderTemplate"], template["workerTemplate"]


def check(manifest: Manifest) -> None:
    template = manifest["spec"]["leaderWorkerTemplate"]
    pods = (template["leaderTemplate"], template["workerTemplate"])
    validate_custom("leaderworkerset", manifest, pods)


def test_leader_worker_set_accepts_the_engine(render):
    engine, _, _ = group(render)
    check(engine)
    assert (engine["metadata"]["name"], engine["spec"]["replicas"]) == ("ft-vllm-tiny-nodes", 3)
    unknown = copy.deepcopy(engine)
    unknown["spec"]["leaderWorkerTemplate"]["sizes"] = 2
    with pytest.raises(ValidationError, match="sizes"):
        check(unknown)


def test_model_is_divided_among_the_gpus_of_all_nodes(render):
    engine, leader, worker = group(render)
    assert engine["spec"]["leaderWorkerTemplate"]["size"] == 2
    first, second = (pod["spec"]["containers"][0] for pod in (leader, worker))
    # vLLM ends a node without a server at SIGTERM, so it gets that after the last answer.
    waits = [int(pod["lifecycle"]["preStop"]["exec"]["command"][1]) for pod in (first, second)]
    assert waits == [30, 150]
    assert {pod["spec"]["terminationGracePeriodSeconds"] for pod in (leader, worker)} == {180}
    common = [
        *("inference", "tiny", "--tensor-parallel-size=8", "--pipeline-parallel-size=2"),
        *("--nnodes=2", "--master-addr=$(LWS_LEADER_ADDRESS)"),
    ]
    assert first["args"] == [*common, "--node-rank=0"]
    assert second["args"] == [*common, "--node-rank=$(LWS_WORKER_INDEX)", "--headless"]
    for container in (first, second):
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
        env = env_of(container)
        assert env["VLLM_HOST_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
        assert env["FINETUNED_ADAPTER_CACHE_DIR"] == "/var/lib/finetuned-adapters/tiny"
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert mounts["adapters"] == "/var/lib/finetuned-adapters"


def test_only_the_leader_serves(render):
    rendered = render(DIVIDED)
    _, leader, worker = group(render)
    first, second = (pod["spec"]["containers"][0] for pod in (leader, worker))
    for key in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
        assert key in first
        assert key not in second
    selector = rendered.one("Service", "vllm-tiny")["spec"]["selector"]
    assert selector.pop("leaderworkerset.sigs.k8s.io/worker-index") == "0"
    assert selector.items() <= leader["metadata"]["labels"].items()
    assert "vllm-tiny" not in rendered.of_kind("Deployment")
    assert "vllm-tiny" not in rendered.of_kind("PodDisruptionBudget")
    assert "//ft-vllm-tiny.models.svc" in rendered.upstreams()["tiny"]


def test_nodes_of_an_engine_reach_each_other_on_all_ports(render):
    rendered = render(DIVIDED)
    spec = rendered.one("NetworkPolicy", "vllm-tiny-nodes")["spec"]
    own = spec["podSelector"]
    assert own["matchLabels"]["finetuned/model"] == "tiny"
    assert spec["ingress"] == [{"from": [{"podSelector": own}]}]
    assert spec["egress"] == [{"to": [{"podSelector": own}]}]
    (rule, *_) = rendered.one("NetworkPolicy", "inference")["spec"]["ingress"]
    assert peers([rule], "from") == {"api", "worker"}
