"""Tests of trained models with their own engine and merged weights."""

from __future__ import annotations

import json

import yaml

from service.models.catalogue import BaseModelEntry
from tests.helm.support import MODEL, env_of

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


def test_it_has_an_engine_as_its_base_models_has(render):
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


def test_what_it_says_itself_goes_before(render):
    own = {"replicas": 2, "gpu": {"count": 1}, "args": ["--max-num-seqs=9"]}
    rendered = render(with_merged(own, engine=BASE_ENGINE))
    name = next(n for n in rendered.of_kind("Deployment") if n.startswith("vllm-ft"))
    assert rendered.one("Deployment", name)["spec"]["replicas"] == 2
    assert rendered.container("Deployment", name)["args"] == ["inference", NAME, "--max-num-seqs=9"]


def test_gateway_and_catalogue_know_it(render):
    rendered = render(with_merged())
    upstreams = json.loads(rendered.settings()["FINETUNED_UPSTREAMS"])
    assert upstreams.keys() == {"tiny", NAME}
    service = upstreams[NAME].removeprefix("dns+http://").partition(".")[0].removeprefix("ft-")
    assert service in rendered.of_kind("Service")
    catalogue = yaml.safe_load(rendered.one("ConfigMap", "catalogue")["data"]["models.yaml"])
    (entry,) = [BaseModelEntry.model_validate(m) for m in catalogue["models"]]
    assert entry.merged == (NAME,)


def test_it_may_be_served_without_its_base_model(render):
    rendered = render(with_merged(engine={"enabled": False}))
    assert "vllm-tiny" not in rendered.of_kind("Deployment")
    assert json.loads(rendered.settings()["FINETUNED_UPSTREAMS"]).keys() == {NAME}


def test_the_pods_of_one_never_answer_for_the_other(render):
    rendered = render(with_merged())
    selectors = [
        json.dumps(service["spec"]["selector"], sort_keys=True)
        for name, service in rendered.of_kind("Service").items()
        if name.startswith("vllm-")
    ]
    assert len(selectors) == len(set(selectors)) == 2
