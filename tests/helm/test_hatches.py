"""Tests of what operators can add to pods, and of files that settings name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docs.blocks import blocks
from tests.helm.support import MODEL, ROOT, Rendered, env_of, selected
from tests.helm.test_openshift import ALL_KINDS

pytestmark = pytest.mark.slow

ADDED: dict[str, Any] = {
    "labels": {"team": "risk"},
    "annotations": {"note": "all"},
    "schedulerName": "volcano",
    "extraEnv": [{"name": "ADDED", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "extraVolumes": [{"name": "keys", "secret": {"secretName": "keys"}}],
    "extraVolumeMounts": [{"name": "keys", "mountPath": "/etc/keys", "readOnly": True}],
}
KUEUE = {"labels": {"kueue.x-k8s.io/queue-name": "gpus"}, "schedulerName": "kueue"}
# Each kind of pod: values that add to it, and the objects that have it.
KINDS: list[tuple[dict[str, Any], set[str]]] = [
    ({"api": {"pod": KUEUE}}, {"Deployment/ft-api"}),
    ({"worker": {"cpu": {"pod": KUEUE}}}, {"Deployment/ft-worker-cpu"}),
    ({"worker": {"gpuPools": [{"name": "a", "pod": KUEUE}]}}, {"Deployment/ft-worker-a"}),
    ({"worker": {"poolDefaults": {"pod": KUEUE}}}, {"Deployment/ft-worker-gpu"}),
    (
        {"inference": {**ALL_KINDS["inference"], "pod": KUEUE}},
        {"Deployment/ft-vllm-tiny", "LeaderWorkerSet/ft-vllm-large-nodes"},
    ),
    ({"models": [{**MODEL, "engine": {"pod": KUEUE}}]}, {"Deployment/ft-vllm-tiny"}),
    ({"valkey": {"pod": KUEUE}}, {"StatefulSet/ft-valkey"}),
    ({"adminKey": {"pod": KUEUE}}, {"Job/ft-admin-key"}),
    ({"backup": {"enabled": True, "pod": KUEUE}}, {"CronJob/ft-backup", "CronJob/ft-restore"}),
    (
        {"audit": {"export": {**ALL_KINDS["audit"]["export"], "pod": KUEUE}}},
        {"CronJob/ft-audit-export"},
    ),
    (
        {"ray": {"gpus": 1, "cluster": {"enabled": True, "groupDefaults": {"pod": KUEUE}}}},
        {"RayCluster/ft-ray"},
    ),
]


def with_label(rendered: Rendered, label: str) -> set[str]:
    return {
        f"{o['kind']}/{o['metadata']['name']}"
        for o, template in rendered.templates()
        if label in template["metadata"]["labels"]
    }


def test_additions_reach_every_pod(render):
    rendered = render({**ALL_KINDS, "pod": ADDED})
    for o, template in rendered.templates():
        metadata, spec = template["metadata"], template["spec"]
        container, name = spec["containers"][0], o["metadata"]["name"]
        assert metadata["labels"]["team"] == "risk", name
        assert spec["schedulerName"] == "volcano", name
        assert metadata["annotations"]["note"] == "all", name
        # Nodes of Ray run trainings, and get no secret.
        has = o["kind"] != "RayCluster"
        assert (env_of(container).get("ADDED") == ADDED["extraEnv"][0]["valueFrom"]) is has, name
        assert (ADDED["extraVolumes"][0] in spec["volumes"]) is has, name
        assert (ADDED["extraVolumeMounts"][0] in container["volumeMounts"]) is has, name


@pytest.mark.parametrize(
    ("values", "objects"), KINDS, ids=[next(iter(v)) + str(i) for i, (v, _) in enumerate(KINDS)]
)
def test_additions_to_one_kind_of_pod(render, values, objects):
    rendered = render({**ALL_KINDS, **values})
    assert with_label(rendered, "kueue.x-k8s.io/queue-name") == objects
    for o, template in rendered.templates():
        wanted = f"{o['kind']}/{o['metadata']['name']}" in objects
        if o["kind"] != "RayCluster":  # its head is of another kind
            assert (template["spec"].get("schedulerName") == "kueue") is wanted


def test_additions_to_a_kind_of_pod_come_after_those_to_all(render):
    own = {
        "labels": {"team": "fraud", "app.kubernetes.io/instance": "other"},
        "extraEnv": [{"name": "FINETUNED_UPSTREAM_API_KEY", "value": "own"}],
    }
    rendered = render({"pod": ADDED, "api": {"pod": own}})
    labels = rendered.one("Deployment", "api")["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "fraud"
    # What selects the pods stays.
    assert labels["app.kubernetes.io/instance"] == "ft"
    env = rendered.container("Deployment", "api")["env"]
    assert [e for e in env if e["name"] == "FINETUNED_UPSTREAM_API_KEY"] == own["extraEnv"]
    # The URL refers to the password, which therefore stays before it.
    names = [e["name"] for e in env]
    assert names.index("FINETUNED_VALKEY_PASSWORD") < names.index("FINETUNED_REDIS_URL")
    assert "ADDED" in names


def test_a_claim_replaces_the_gpus_of_the_device_plugin(render):
    part: dict[str, Any] = {
        "gpu": {"count": 2},
        "resources": {"claims": [{"name": "gpus"}]},
        "pod": {"resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "two-gpus"}]},
    }
    values = {
        "models": [{**MODEL, "engine": part}],
        "worker": {"gpuPools": [{"name": "a", **part}]},
    }
    rendered = render(values)
    for name in ("worker-a", "vllm-tiny"):
        pod = rendered.pod("Deployment", name)
        assert pod["resourceClaims"] == part["pod"]["resourceClaims"]
        resources = pod["containers"][0]["resources"]
        assert resources["claims"] == [{"name": "gpus"}]
        assert "limits" not in resources
    # The count still divides the model.
    assert "--tensor-parallel-size=2" in rendered.container("Deployment", "vllm-tiny")["args"]
    assert env_of(rendered.container("Deployment", "worker-a"))["FINETUNED_TRAINER_GPUS"] == "2"


def test_extra_objects_are_rendered(render):
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
    ]
    found = render({"extraObjects": objects}).of_kind("ConfigMap")
    assert {"a", "b"} <= set(found)


@pytest.fixture(scope="module")
def documented(render):
    """Render the chart with a block of values of docs/kubernetes.md."""
    page = blocks(ROOT / "docs" / "kubernetes.md", ROOT)
    values: dict[str | None, Any] = {
        block.file_name: block.parse() for block in page if block.file_name
    }
    return lambda name: render({"models": [MODEL], **values[name][0]})


@pytest.mark.parametrize("name", ["openshift.yaml", "pods.yaml", "encryption.yaml", "image.yaml"])
def test_documented_values_are_rendered(documented, name):
    assert documented(name).objects


def test_files_that_settings_name_are_mounted(documented):
    rendered = documented("files.yaml")
    files = [v for v in rendered.settings().values() if v.startswith("/etc/keys/")]
    assert len(files) == 2
    for name in ("api", "worker-cpu", "worker-gpu", "vllm-tiny"):
        mounts = rendered.container("Deployment", name)["volumeMounts"]
        assert "/etc/keys" in [mount["mountPath"] for mount in mounts]


def test_the_agent_of_vault_finds_its_token(documented):
    """The injector copies the mount of the volume that the annotation names."""
    rendered = documented("vault.yaml")
    injected = set()
    for o, template in rendered.templates():
        notes = template["metadata"].get("annotations", {})
        if name := notes.get("vault.hashicorp.com/agent-service-account-token-volume-name"):
            assert [v["name"] for v in template["spec"]["volumes"]].count(name) == 1
            assert name in [m["name"] for m in template["spec"]["containers"][0]["volumeMounts"]]
            injected.add(o["metadata"]["name"].removeprefix("ft-"))
    # In any other pod, the agent would wait forever for a Vault that it does not reach.
    assert selected(rendered, rendered.one("NetworkPolicy", "vault")) == injected
    assert injected == {"api", "worker-cpu", "worker-gpu", "vllm-tiny"}


def test_external_secrets_make_what_the_pods_use(documented):
    rendered = documented("external-secrets.yaml")
    made = [o["spec"]["target"]["name"] for o in rendered.of_kind("ExternalSecret").values()]
    source = env_of(rendered.container("Deployment", "api"))["FINETUNED_REDIS_URL"]
    assert [source["secretKeyRef"]["name"]] == made
