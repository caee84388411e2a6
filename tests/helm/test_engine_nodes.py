"""Tests of engines that are divided among several nodes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.helm.support import MODEL, Manifest, Refused, env_of
from tests.helm.test_manifests import validate, versions
from tests.helm.test_network import PROMETHEUS, peers
from tests.helm.test_ray import CRDS

pytestmark = pytest.mark.slow

MERGED = "ft:tiny:acme:voice:ab12cd34"
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
    """Check a LeaderWorkerSet against its definition, and its pods against Kubernetes' schemas."""
    schema = json.loads((CRDS / "leaderworkerset.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(manifest)
    template = manifest["spec"]["leaderWorkerTemplate"]
    for pod in (template["leaderTemplate"], template["workerTemplate"]):
        metadata = {"name": "pod", **pod["metadata"]}
        whole = {"apiVersion": "v1", "kind": "Pod", "spec": pod["spec"], "metadata": metadata}
        validate(whole, versions()[-1])


def test_leader_worker_set_takes_the_engine(render):
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
    for key in ("ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"):
        assert key in first
        assert key not in second
    selector = rendered.one("Service", "vllm-tiny")["spec"]["selector"]
    assert selector.pop("leaderworkerset.sigs.k8s.io/worker-index") == "0"
    assert selector.items() <= leader["metadata"]["labels"].items()
    assert "vllm-tiny" not in rendered.of_kind("Deployment")
    assert "vllm-tiny" not in rendered.of_kind("PodDisruptionBudget")
    assert "//ft-vllm-tiny.models.svc" in rendered.settings()["FINETUNED_UPSTREAMS"]


def test_nodes_of_an_engine_reach_each_other_on_all_ports(render):
    rendered = render(DIVIDED)
    spec = rendered.one("NetworkPolicy", "vllm-tiny-nodes")["spec"]
    own = spec["podSelector"]
    assert own["matchLabels"]["finetuned/model"] == "tiny"
    assert spec["ingress"] == [{"from": [{"podSelector": own}]}]
    assert spec["egress"] == [{"to": [{"podSelector": own}]}]
    (rule, *_) = rendered.one("NetworkPolicy", "inference")["spec"]["ingress"]
    assert peers([rule], "from") == {"api", "worker"}


def test_merged_model_needs_no_shared_folder(render):
    merged = [{"name": MERGED, "engine": {"nodes": 4, "gpu": {"count": 1}}}]
    values = {"models": [{**MODEL, "merged": merged}]}
    engine, leader, worker = group(render, values)
    check(engine)
    assert engine["spec"]["leaderWorkerTemplate"]["size"] == 4
    for pod in (leader, worker):
        container = pod["spec"]["containers"][0]
        assert container["args"][:3] == ["inference", MERGED, "--pipeline-parallel-size=4"]
        assert "FINETUNED_ADAPTER_CACHE_DIR" not in env_of(container)
    assert "vllm-tiny" in render(values).of_kind("Deployment")


KEDA = {"enabled": True, "maxReplicas": 2}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"inference": {"cache": {"sharedClaim": ""}}}, "inference.cache.sharedClaim: the engine"),
        ({"gpuSharing": "time-slice"}, "needs gpuSharing: separate"),
        (
            {
                "models": [{**MODEL, "engine": {"nodes": 2, "keda": KEDA}}],
                "keda": PROMETHEUS,
            },
            "KEDA cannot scale",
        ),
        ({"models": [{**MODEL, "engine": {"nodes": 0}}]}, "nodes"),
    ],
)
def test_what_does_not_go_together_is_refused(render, values, words):
    with pytest.raises(Refused) as refused:
        render({**DIVIDED, **values})
    assert words in str(refused.value)
