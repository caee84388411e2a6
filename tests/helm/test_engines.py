"""Tests of engines with merged weights, and of engines on several nodes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError

from service.models.catalogue import BaseModelEntry
from tests.helm.support import MODEL, Manifest, env_of, peers
from tests.helm.test_manifests import validate_custom

pytestmark = pytest.mark.slow

NAME = "ft:tiny:acme:voice:ab12cd34"
BASE_ENGINE = {
    "replicas": 3,
    "gpu": {"count": 2, "product": "NVIDIA-H100"},
    "env": {"A": "base", "B": "base"},
    "keda": {"enabled": True, "maxReplicas": 4},
}


def with_merged(own=None, **base):
    merged = {"name": NAME} | ({} if own is None else {"engine": own})
    return {
        "models": [{**MODEL, "merged": [merged], **base}],
        "keda": {"prometheus": "http://prometheus"},
    }


def test_a_merged_model_has_an_engine_like_its_base_model(render):
    rendered = render(with_merged({"env": {"A": "own"}}, engine=BASE_ENGINE))
    (name,) = rendered.of_kind("Deployment").keys() - {
        *("api", "worker-cpu", "worker-gpu", "vllm-tiny")
    }
    assert name.startswith("vllm-ft-tiny-acme-voice")
    engine = rendered.container("Deployment", name)
    assert engine["args"] == ["inference", NAME, "--tensor-parallel-size=2"]
    assert (env_of(engine)["A"], env_of(engine)["B"]) == ("own", "base")
    pod = rendered.pod("Deployment", name)
    assert pod["nodeSelector"]["nvidia.com/gpu.product"] == "NVIDIA-H100"
    # The number of replicas is set per engine.
    assert rendered.one("Deployment", name)["spec"]["replicas"] == 1
    assert [*rendered.of_kind("ScaledObject")] == ["vllm-tiny"]
    base = rendered.container("Deployment", "vllm-tiny")
    assert (env_of(base)["A"], env_of(base)["B"]) == ("base", "base")


def test_values_of_a_merged_model_override_those_of_its_base_model(render):
    own = {"replicas": 2, "gpu": {"count": 1}, "args": ["--max-num-seqs=9"]}
    rendered = render(with_merged(own, engine=BASE_ENGINE))
    name = next(n for n in rendered.of_kind("Deployment") if n.startswith("vllm-ft"))
    assert rendered.one("Deployment", name)["spec"]["replicas"] == 2
    assert rendered.container("Deployment", name)["args"] == ["inference", NAME, "--max-num-seqs=9"]


def test_the_gateway_and_the_catalog_list_a_merged_model(render):
    rendered = render(with_merged())
    upstreams = rendered.upstreams()
    assert upstreams.keys() == {"tiny", NAME}
    service = upstreams[NAME].removeprefix("dns+http://").partition(".")[0].removeprefix("ft-")
    assert service in rendered.of_kind("Service")
    catalogue = yaml.safe_load(rendered.one("ConfigMap", "catalogue")["data"]["models.yaml"])
    (entry,) = [BaseModelEntry.model_validate(m) for m in catalogue["models"]]
    assert entry.merged == (NAME,)


def test_a_merged_model_can_be_served_without_its_base_model(render):
    rendered = render(with_merged(engine={"enabled": False}))
    assert "vllm-tiny" not in rendered.of_kind("Deployment")
    assert rendered.upstreams().keys() == {NAME}


def test_services_of_merged_and_base_models_select_different_pods(render):
    rendered = render(with_merged())
    selectors = [
        json.dumps(service["spec"]["selector"], sort_keys=True)
        for name, service in rendered.of_kind("Service").items()
        if name.startswith("vllm-")
    ]
    assert len(selectors) == len(set(selectors)) == 2


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


def test_merged_model_needs_no_shared_folder(render):
    merged = [{"name": NAME, "engine": {"nodes": 4, "gpu": {"count": 1}}}]
    values = {"models": [{**MODEL, "merged": merged}]}
    engine, leader, worker = group(render, values)
    check(engine)
    assert engine["spec"]["leaderWorkerTemplate"]["size"] == 4
    for pod in (leader, worker):
        container = pod["spec"]["containers"][0]
        assert container["args"][:3] == ["inference", NAME, "--pipeline-parallel-size=4"]
        assert "FINETUNED_ADAPTER_CACHE_DIR" not in env_of(container)
    assert "vllm-tiny" in render(values).of_kind("Deployment")
