"""Validates every object that a profile renders against the schema of its API.

Kubernetes objects are validated strictly against the schemas of the supported versions, those of
the Prometheus operator and KEDA against models generated from their definitions, and HTTPRoute
against the schema of the Gateway API, if node is available. `test_ray.py` validates RayClusters.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from kubernetes_validate.utils import all_versions, schema_contents
from referencing import Registry, Resource

from tests.cached import cache
from tests.helm.support import CHART, MODEL, PROFILES
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

keda = Lazy("cloudcoil.models.keda.v1alpha1")
prometheus_operator = Lazy("cloudcoil.models.prometheus_operator.v1")

CUSTOM = {
    "ServiceMonitor": prometheus_operator,
    "PrometheusRule": prometheus_operator,
    "ScaledObject": keda,
}
CRDS = Path(__file__).with_name("crds")
CHECKED_ELSEWHERE = {*CUSTOM, "HTTPRoute", "RayCluster"}
KEDA = {"enabled": True, "maxReplicas": 2}
EVERYTHING: dict[str, Any] = {
    "models": [{**MODEL, "image": {"repository": "m", "tag": "1"}, "engine": {"keda": KEDA}}],
    "worker": {"gpuPools": [{"name": "a", "gpu": {"count": 2, "product": "L4"}, "keda": KEDA}]},
    "api": {"autoscaling": {"enabled": True}, "tls": {"existingSecret": "t"}},
    "ray": {"gpus": 2, "cluster": {"enabled": True}},
    "exports": {"signingKey": {"existingSecret": "s"}},
    "caCertificates": {"existingSecret": "c"},
    "encryption": {"existingSecret": "s"},
    "mlflow": {"trackingUris": ["https://mlflow.example"], "existingSecret": "t"},
    "networkPolicy": {
        "mlflowEgress": [{"ports": [{"port": 443}]}],
        "witnessEgress": [{"ports": [{"port": 443}]}],
        "auditExportEgress": [{"ports": [{"port": 443}]}],
    },
    "audit": {
        "witness": {"url": "https://witness.example"},
        "export": {"enabled": True, "endpoint": "https://otlp.example", "existingSecret": "o"},
    },
    "backup": {"enabled": True},
    "ingress": {"enabled": True, "hosts": ["a.example"], "tls": [{"secretName": "t"}]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "timeouts": {"request": "0s"}},
    "priorityClasses": {"create": True},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "keda": {"prometheus": "http://prometheus:9090"},
}
GATEWAY_PACKAGE = "@kubernetes-models/gateway-api@2.0.0"


def versions() -> list[str]:
    """Return the versions that the chart supports and the package has schemas for."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    lowest = chart["kubeVersion"].removeprefix(">=").removesuffix("-0")
    minor = int(lowest.split(".")[1])
    # The package names each version twice: its strict and its tolerant schemas are two folders.
    return [v for v in dict.fromkeys(all_versions()) if int(v.split(".")[1]) >= minor]


@functools.cache
def schemas(version: str) -> Registry[Any]:
    """Return the definitions of a version.

    The package's own `validate` would read these 1.5 MB again for each object.
    """
    definitions = schema_contents(f"{folder(version)}/_definitions.json", version)
    return (Resource.from_contents(definitions) @ Registry[Any]()).crawl()


def folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}-local-strict"


def validate(manifest: dict[str, Any], version: str) -> None:
    """Raise an error if a version of Kubernetes would refuse an object or ignore a field."""
    # rbac.authorization.k8s.io/v1 is in files that end in rbac-v1.json.
    group, _, api_version = manifest["apiVersion"].rpartition("/")
    kind = "-".join(filter(None, [manifest["kind"].lower(), group.split(".")[0], api_version]))
    schema = schema_contents(f"{folder(version)}/{kind}.json", version)
    Draft202012Validator(schema, registry=schemas(version)).validate(manifest)


def validate_custom(name: str, manifest: dict[str, Any], pods: Sequence[dict[str, Any]]) -> None:
    """Validate an object against its definition in crds/, and its pod templates."""
    schema = json.loads((CRDS / f"{name}.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(manifest)
    for template in pods:
        metadata = {"name": "pod", **template.get("metadata", {})}
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
        validate(pod, versions()[-1])


def objects(render, profile: str | None, **options: str) -> list[dict[str, Any]]:
    rendered = render(EVERYTHING if profile is None else {}, profile=profile, **options)
    return rendered.objects


def test_several_versions_are_checked():
    assert len(versions()) >= 5
    assert versions()[0].startswith("1.32")


# Each version accepts everything that can be rendered; the newest also each profile.
@pytest.mark.parametrize(
    ("profile", "version"),
    [*((None, v) for v in versions()), *((p, versions()[-1]) for p in PROFILES)],
)
def test_kubernetes_accepts_all_objects(render, profile, version):
    checked = 0
    for o in objects(render, profile, kube_version=version):
        if o["kind"] not in CHECKED_ELSEWHERE:
            validate(o, version)
            checked += 1
    assert checked > 20


def test_an_unknown_field_of_kubernetes_is_found(render):
    (service, *_) = render().of_kind("Service").values()
    validate(service, versions()[-1])
    service["spec"]["clusterIp"] = "None"
    with pytest.raises(ValidationError, match="clusterIp"):
        validate(service, versions()[-1])


def test_an_older_cluster_is_refused(helm):
    with pytest.raises(Exception, match=r"incompatible with Kubernetes v1\.31"):
        helm.template(kube_version="1.31.0")


@pytest.mark.parametrize("profile", [None, "s3-ha-values.yaml"])
def test_operators_accept_their_objects(render, profile):
    found = [o for o in objects(render, profile) if o["kind"] in CUSTOM]
    assert {o["kind"] for o in found} == set(CUSTOM)
    for o in found:
        read = getattr(CUSTOM[o["kind"]], o["kind"]).model_validate(o)
        # A name unknown to the API would be missing from the parsed object.
        kept = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
        # The package has the fields of KEDA 2.16. Older versions drop this one of 2.17.
        assert set(missing(o["spec"], kept["spec"])) <= {"spec.fallback.behavior"}


def missing(given: Any, kept: Any, path: str = "spec") -> list[str]:
    """Return the paths in `given` that are missing from `kept`."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            lost
            for key, value in given.items()
            for lost in (
                missing(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list) and isinstance(kept, list):
        return [
            lost
            for i, (one, other) in enumerate(zip(given, kept, strict=True))
            for lost in missing(one, other, f"{path}[{i}]")
        ]
    return []


def test_unknown_fields_of_an_operator_are_found(render):
    (scaled, *_) = [o for o in objects(render, None) if o["kind"] == "ScaledObject"]
    scaled["spec"]["minReplicas"] = 1
    read = keda.ScaledObject.model_validate(scaled)
    kept = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert "spec.minReplicas" in missing(scaled["spec"], kept["spec"])


def test_gateway_api_accepts_the_route(render):
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("node and npm are not installed; Gateway API's schemas are on npm")
    with cache("gateway-api") as place:
        place.mkdir(exist_ok=True)
        if not (place / "node_modules/@kubernetes-models/gateway-api/_schemas").exists():
            quiet = ["--silent", "--no-save", "--ignore-scripts", "--legacy-peer-deps"]
            command = ["npm", "install", *quiet, GATEWAY_PACKAGE]
            subprocess.run(command, cwd=place, check=True, timeout=120)
    script = """
      const api = "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
      const {HTTPRoute} = await import(api);
      const route = JSON.parse(process.argv[1]);
      new HTTPRoute(route).validate();
      route.spec.rules[0].backendRefs[0].port = "none";
      try { new HTTPRoute(route).validate() } catch { process.exit(0) }
      process.exit(3);
    """
    for profile in (None, "s3-ha-values.yaml"):
        (route,) = [o for o in objects(render, profile) if o["kind"] == "HTTPRoute"]
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script, json.dumps(route)],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
