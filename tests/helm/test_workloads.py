"""Tests of values for the api, workers and engines."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from service.inference.upstreams.health import Policy
from tests.helm.support import CHART, MODEL, PROFILES, containers, env_of

pytestmark = pytest.mark.slow

SCHEDULING = {
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "urgent",
    "podAnnotations": {"note": "x"},
    "resources": {"requests": {"cpu": "3"}, "limits": {"memory": "5Gi"}},
}
SPREAD = [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("api", "Deployment", "api"),
        ("worker.cpu", "Deployment", "worker-cpu"),
        ("inference", "Deployment", "vllm-tiny"),
        ("valkey", "StatefulSet", "valkey"),
    ],
)
def test_scheduling_and_resources_of_pods(render, path, kind, name):
    values: dict[str, Any] = SCHEDULING
    for key in reversed(path.split(".")):
        values = {key: values}
    rendered = render({"models": [{**MODEL, "engine": {"gpu": {"count": 0}}}], **values})
    pod = rendered.pod(kind, name)
    for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod[key] == SCHEDULING[key]
    template = rendered.one(kind, name)["spec"]["template"]
    assert template["metadata"]["annotations"]["note"] == "x"
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == "3"
    assert resources["limits"] == {"memory": "5Gi"}


def test_the_api_scales_by_cpu_or_has_its_replicas(render):
    fixed = render({"api": {"replicas": 3}})
    assert fixed.one("Deployment", "api")["spec"]["replicas"] == 3
    assert not fixed.of_kind("HorizontalPodAutoscaler")
    scaling = {"enabled": True, "minReplicas": 4, "maxReplicas": 9, "targetCPU": 50}
    scaled = render({"api": {"autoscaling": scaling}})
    assert "replicas" not in scaled.one("Deployment", "api")["spec"]
    spec = scaled.one("HorizontalPodAutoscaler", "api")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (4, 9)
    assert spec["scaleTargetRef"]["name"] == "ft-api"
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 50


def test_the_service_of_the_api(render):
    service = {"type": "LoadBalancer", "port": 8080, "annotations": {"lb": "internal"}}
    rendered = render({"api": {"service": service, "env": {"FINETUNED_LOG_LEVEL": "DEBUG"}}})
    spec = rendered.one("Service", "api")
    assert spec["spec"]["type"] == "LoadBalancer"
    assert spec["spec"]["ports"][0]["port"] == 8080
    assert spec["metadata"]["annotations"] == {"lb": "internal"}
    assert env_of(rendered.container("Deployment", "api"))["FINETUNED_LOG_LEVEL"] == "DEBUG"
    test = env_of(rendered.container("Pod", "test"))
    assert test["FINETUNED_URL"] == "http://ft-api.models.svc.cluster.local:8080"


def test_spread_over_nodes(render):
    values = {"models": [MODEL], "api": {}, "inference": {}}
    rendered = render(values)
    for name in ("api", "vllm-tiny"):
        (spread,) = rendered.pod("Deployment", name)["topologySpreadConstraints"]
        labels = rendered.one("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
        assert spread["topologyKey"] == "kubernetes.io/hostname"
    given = {"topologySpreadConstraints": SPREAD}
    rendered = render({"models": [MODEL], "api": given, "inference": given})
    for name in ("api", "vllm-tiny"):
        assert rendered.pod("Deployment", name)["topologySpreadConstraints"] == SPREAD


def test_pools_of_workers(render):
    pools = [
        {"name": "l4", "replicas": 3, "gpu": {"count": 1, "product": "NVIDIA-L4"}},
        {
            "name": "big",
            "gpu": {"resource": "amd.com/gpu", "count": 4},
            "queues": ["cpu", "gpu"],
            "env": {"FINETUNED_TRAINER_SHARDING": "fsdp"},
            "nodeSelector": {"pool": "big"},
            "runtimeClassName": "nvidia",
        },
        {"name": "slow", "gpu": {"count": 0}},
    ]
    rendered = render({"worker": {"gpuPools": pools, "cpu": {"replicas": 2}}})
    workers = {n: d for n, d in rendered.of_kind("Deployment").items() if n.startswith("worker")}
    assert set(workers) == {"worker-cpu", "worker-l4", "worker-big", "worker-slow"}
    replicas = {name: d["spec"]["replicas"] for name, d in workers.items()}
    assert replicas == {"worker-cpu": 2, "worker-l4": 3, "worker-big": 1, "worker-slow": 1}

    def args(name):
        return rendered.container("Deployment", name)["args"]

    assert args("worker-cpu") == ["worker", "--queues", "cpu"]
    assert args("worker-l4") == ["worker", "--queues", "gpu"]
    assert args("worker-big") == ["worker", "--queues", "cpu,gpu"]
    limits = rendered.container("Deployment", "worker-l4")["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": 1, "memory": "64Gi"}
    slow = rendered.container("Deployment", "worker-slow")["resources"]
    assert slow["limits"] == {"memory": "64Gi"}
    l4, big = (rendered.pod("Deployment", f"worker-{n}") for n in ("l4", "big"))
    assert l4["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert big["nodeSelector"] == {"pool": "big"}
    assert big["runtimeClassName"] == "nvidia"
    env = env_of(big["containers"][0])
    assert (env["FINETUNED_TRAINER_GPUS"], env["FINETUNED_TRAINER_SHARDING"]) == ("4", "fsdp")
    assert "FINETUNED_TRAINER_GPUS" not in env_of(l4["containers"][0])


def test_pools_keep_the_defaults_that_they_do_not_override(render):
    """Otherwise a pod would be of the class BestEffort, which is evicted first."""
    pools = [
        {"name": "any"},
        {"name": "l4", "gpu": {"product": "NVIDIA-L4"}, "nodeSelector": {"a": "b"}},
        {"name": "checks", "queues": ["cpu"]},
        {"name": "small", "resources": {"limits": {"memory": "8Gi"}}},
    ]
    groups = [{"name": "mine", "replicas": 2, "gpu": {"product": "NVIDIA-L4"}}]
    ray = {"gpus": 2, "cluster": {"enabled": True, "groups": groups}}
    models = [{**MODEL, "engine": {"gpu": {"product": "NVIDIA-L4"}}}]
    rendered = render({"worker": {"gpuPools": pools}, "ray": ray, "models": models})

    def resources(name):
        return rendered.container("Deployment", name)["resources"]

    for name in ("worker-any", "worker-l4", "vllm-tiny"):
        assert resources(name)["requests"] == {"cpu": "2", "memory": "16Gi"}
        assert resources(name)["limits"] == {"memory": "64Gi", "nvidia.com/gpu": 1}
    assert resources("worker-checks")["limits"] == {"memory": "64Gi"}
    # A default request could exceed a given limit.
    assert resources("worker-small") == {"limits": {"memory": "8Gi", "nvidia.com/gpu": 1}}
    (group,) = rendered.one("RayCluster", "ray")["spec"]["workerGroupSpecs"]
    assert group["rayStartParams"]["num-gpus"] == "1"
    found = group["template"]["spec"]["containers"][0]["resources"]
    assert found["limits"] == {"memory": "512Gi", "nvidia.com/gpu": 1}


def test_only_engines_on_the_same_kind_of_gpu_share_it(render):
    def engine(product):
        return {"gpu": {"product": product}}

    models = [
        {**MODEL, "id": "small", "engine": engine("L4")},
        {**MODEL, "id": "other", "engine": engine("L4")},
        {**MODEL, "id": "large", "engine": engine("H100")},
    ]
    pools = [{"name": name.lower(), **engine(name)} for name in ("L4", "H100", "A100")]
    values = {"models": models, "worker": {"gpuPools": pools}}
    rendered = render({**values, "gpuSharing": "share"})

    def shared(name):
        env = env_of(rendered.container("Deployment", name))
        return env.get("FINETUNED_GPU_MODELS"), env.get("FINETUNED_GPU_SHARING")

    assert shared("worker-l4") == shared("vllm-small") == ("small,other", None)
    assert shared("worker-h100") == shared("vllm-large") == ("large", None)
    # No engine can be on these.
    assert shared("worker-a100") == (None, "separate")
    assert shared("worker-cpu") == shared("api") == (None, None)
    assert "GPU_MODELS" not in str(render(values).objects)


def test_valkey_refuses_writes_before_it_exceeds_its_limit(render):
    def maxmemory(**valkey):
        config = render({"valkey": valkey}).one("ConfigMap", "valkey")["data"]["valkey.conf"]
        return next(line for line in config.splitlines() if line.startswith("maxmemory "))

    assert maxmemory() == "maxmemory 1536mb"
    assert maxmemory(resources={"limits": {"memory": "256Mi"}}) == "maxmemory 192mb"
    assert maxmemory(maxmemory="1gb") == "maxmemory 1gb"


def test_a_training_has_time_to_keep_a_checkpoint(render):
    rendered = render({"worker": {"stopGraceSeconds": 300}})
    assert rendered.settings()["FINETUNED_STOP_GRACE_S"] == "300"
    for name in ("worker-cpu", "worker-gpu"):
        # The worker waits twice its grace: for the trainer, and for the upload.
        assert rendered.pod("Deployment", name)["terminationGracePeriodSeconds"] > 600
    assert render().settings()["FINETUNED_STOP_GRACE_S"] == "120"


def test_open_streams_have_the_grace_period(render):
    rendered = render({"models": [MODEL], "worker": {"stopGraceSeconds": 300}})
    for name in ("api", "vllm-tiny"):
        pod = rendered.pod("Deployment", name)
        waits_s = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] > waits_s + 300


def test_scratch_and_shared_memory(render):
    worker = {"scratch": {"size": "7Gi", "storageClass": "nvme"}, "sharedMemory": "3Gi"}
    inference = {"cache": {"size": "9Gi"}, "sharedMemory": "2Gi"}
    rendered = render({"models": [MODEL], "worker": worker, "inference": inference})
    trainer = {v["name"]: v for v in rendered.pod("Deployment", "worker-gpu")["volumes"]}
    claim = trainer["data"]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["storageClassName"] == "nvme"
    assert claim["resources"]["requests"]["storage"] == "7Gi"
    assert trainer["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}
    engine = {v["name"]: v for v in rendered.pod("Deployment", "vllm-tiny")["volumes"]}
    assert engine["data"]["emptyDir"] == {"sizeLimit": "9Gi"}
    assert engine["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}


def test_values_of_a_model_override_those_of_all_engines(render):
    engine = {
        "replicas": 3,
        "gpu": {"count": 2, "product": "NVIDIA-H100"},
        "args": ["--max-num-seqs=7"],
        "env": {"FINETUNED_MAX_LORAS": 5, "A": "own"},
        "resources": {"limits": {"memory": "9Gi"}},
        "tolerations": [{"key": "own"}],
    }
    all_engines = {
        "env": {"A": "all", "B": "all"},
        "tolerations": [{"key": "all"}],
        "nodeSelector": {"all": "yes"},
        "port": 9000,
    }
    other = {**MODEL, "id": "other"}
    rendered = render({"models": [{**MODEL, "engine": engine}, other], "inference": all_engines})
    tiny = rendered.pod("Deployment", "vllm-tiny")
    container = tiny["containers"][0]
    assert rendered.one("Deployment", "vllm-tiny")["spec"]["replicas"] == 3
    assert container["args"] == [
        "inference",
        "tiny",
        "--tensor-parallel-size=2",
        "--max-num-seqs=7",
    ]
    env = env_of(container)
    assert (env["A"], env["B"], env["FINETUNED_MAX_LORAS"]) == ("own", "all", "5")
    assert container["resources"] == {"limits": {"memory": "9Gi", "nvidia.com/gpu": 2}}
    assert tiny["tolerations"] == [{"key": "own"}]
    assert tiny["nodeSelector"] == {"all": "yes", "nvidia.com/gpu.product": "NVIDIA-H100"}
    default = rendered.pod("Deployment", "vllm-other")
    assert default["tolerations"] == [{"key": "all"}]
    assert default["containers"][0]["args"] == ["inference", "other"]
    assert default["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    service = rendered.one("Service", "vllm-tiny")["spec"]
    assert service["clusterIP"] == "None"
    assert service["ports"][0]["port"] == 9000


def test_probes_of_engines(render):
    model = {"models": [MODEL], "inference": {"startupMinutes": 45}}
    container = render(model).container("Deployment", "vllm-tiny")
    startup = container["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] == 45 * 60
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    # An engine that sleeps answers 503 to /health; it must neither die nor leave DNS.
    sleeping = render({**model, "gpuSharing": "time-slice"})
    container = sleeping.container("Deployment", "vllm-tiny")
    assert "tcpSocket" in container["livenessProbe"]
    assert "tcpSocket" in container["readinessProbe"]
    assert sleeping.settings()["FINETUNED_GPU_SHARING"] == "time-slice"
    paced = render({**model, "gpuSharing": "share", "trainSloMs": 800}).settings()
    assert paced["FINETUNED_TRAIN_SLO_MS"] == "800"


def test_an_engine_drains_before_it_ends(render):
    pod = render({"models": [MODEL], "inference": {"drainSeconds": 50}}).pod(
        "Deployment", "vllm-tiny"
    )
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "50"]
    assert pod["terminationGracePeriodSeconds"] > 50
    # It leaves DNS first, because the api looks up names periodically.
    assert Policy().dns_every_s < 50


def test_priority_classes(render):
    rendered = render({"models": [MODEL], "priorityClasses": {"create": True, "value": 500}})
    classes = {n: c["value"] for n, c in rendered.of_kind("PriorityClass").items()}
    # The namespace is in the names, so that two namespaces can each have a release of one name.
    assert classes == {"models-ft-serving": 500, "models-ft-training": 499}
    for kind, name, kind_of in [
        ("Deployment", "api", "serving"),
        ("Deployment", "vllm-tiny", "serving"),
        ("StatefulSet", "valkey", "serving"),
        ("Deployment", "worker-gpu", "training"),
    ]:
        assert rendered.pod(kind, name)["priorityClassName"] == f"models-ft-{kind_of}"
    # Kubernetes refuses a pod with a class that does not exist.
    named = {pod.get("priorityClassName") for _, pod in rendered.pods()}
    assert named == {*classes, None}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_every_workload_has_budget_account_and_labels(render, profile):
    rendered = render({} if profile else {"models": [MODEL]}, profile=profile)
    budgets = rendered.of_kind("PodDisruptionBudget")
    for kind in ("Deployment", "StatefulSet"):
        for name, workload in rendered.of_kind(kind).items():
            selector = workload["spec"]["selector"]
            assert budgets[name]["spec"]["selector"] == selector
            assert budgets[name]["spec"]["maxUnavailable"] == 1
    accounts = {f"ft-{name}" for name in rendered.of_kind("ServiceAccount")}
    assert {pod["serviceAccountName"] for _, pod in rendered.pods()} <= accounts


def test_an_existing_service_account_is_used(render):
    rendered = render({"serviceAccount": {"create": False, "name": "mine"}, "models": [MODEL]})
    assert not rendered.of_kind("ServiceAccount")
    assert {pod["serviceAccountName"] for _, pod in rendered.pods()} == {"mine"}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_every_pod_is_restricted(render, profile):
    rendered = render({} if profile else {"models": [MODEL]}, profile=profile)
    for _name, pod in rendered.pods():
        assert pod["automountServiceAccountToken"] is False
        # A Service named finetuned-api would set FINETUNED_API_PORT=tcp://… in every pod.
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["fsGroup"] == 10001
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "ephemeral"}
        for volume in pod.get("volumes", []):
            secret = {"secret"} if volume["name"] == "sealing-key" else set()
            assert set(volume) - {"name"} <= allowed | secret
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for port in container.get("ports", []):
                assert "hostPort" not in port


def test_children_of_a_worker_get_no_secret(render, monkeypatch):
    from service.core.child import environment

    values = {
        "models": [MODEL],
        "storage": {"type": "s3", "s3": {"bucket": "b", "existingSecret": "s"}},
        "networkPolicy": {"enabled": False},
    }
    for name in ("worker-cpu", "worker-gpu"):
        env = env_of(render(values).container("Deployment", name))
        secret = {key for key, value in env.items() if "secretKeyRef" in value}
        assert len(secret) == 4
        for key in secret:
            monkeypatch.setenv(key, "secret")
        assert not secret & set(environment())


def test_all_processes_trust_the_certificates_of_the_operator(render):
    values = {
        "models": [MODEL],
        "caCertificates": {"existingSecret": "private-ca"},
        "backup": {"enabled": True},
    }
    rendered = render(values)
    ours = [(name, pod) for name, pod in rendered.pods() if "valkey" not in name]
    assert len(ours) > 5
    for name, pod in ours:
        if name.startswith("Pod/"):
            continue  # the test speaks plain http to the api
        assert "private-ca" in str(pod["volumes"]), name
        mounts = pod["containers"][0]["volumeMounts"]
        assert "/etc/finetuned-ca" in [mount["mountPath"] for mount in mounts], name
    assert rendered.settings()["SSL_CERT_FILE"] == "/etc/finetuned-ca/ca.crt"
    assert "finetuned-ca" not in str(render({"models": [MODEL]}).objects)


def test_the_processes_that_use_storage_have_the_master_key(render):
    rendered = render({"models": [MODEL], "encryption": {"existingSecret": "at-rest"}})
    wanted = {"name": "at-rest", "key": "master-key"}
    having = {
        name
        for name, pod in rendered.pods()
        if {"secretKeyRef": wanted} in env_of(pod["containers"][0]).values()
    }
    for part in ("-api", "-worker-cpu", "-worker-gpu"):
        assert any(name.endswith(part) for name in having), part
    assert any("vllm" in name for name in having)
    assert not any("valkey" in name for name in having)
    assert "ENCRYPTION" not in str(render({"models": [MODEL]}).objects)


def test_workers_of_the_cpu_queue_sign_exports(render):
    """The key is a file, and only the pods that make exports have it."""
    pools = [{"name": "both", "queues": ["cpu", "gpu"]}, {"name": "gpu"}]
    values = {
        "exports": {"signingKey": {"existingSecret": "export-signing"}},
        "worker": {"gpuPools": pools},
    }
    rendered = render(values)
    for name in ("worker-cpu", "worker-both"):
        pod, container = (get("Deployment", name) for get in (rendered.pod, rendered.container))
        (mount,) = (m for m in container["volumeMounts"] if m["name"] == "signing-key")
        (volume,) = (v for v in pod["volumes"] if v["name"] == "signing-key")
        assert volume["secret"]["secretName"] == "export-signing"
        assert mount["readOnly"]
        path = env_of(container)["FINETUNED_EXPORT_SIGNING_KEY"]
        assert path == f"{mount['mountPath']}/signing-key.pem"
    mounting = [name for name, pod in rendered.pods() if "export-signing" in str(pod)]
    assert len(mounting) == 2
    assert "EXPORT_SIGNING" not in str(render({"worker": {"gpuPools": pools}}).objects)


@pytest.mark.parametrize("profile", ["s3-ha-values.yaml", "air-gapped-values.yaml"])
def test_a_new_model_restarts_nothing(render, profile):
    """The pod templates with one more model: only those of its engine and its copy are new."""
    before = render(profile=profile)
    values = yaml.safe_load((CHART / "ci" / profile).read_text("utf-8"))
    added = {**MODEL, "image": {"repository": "m", "tag": "1"}}
    after = render({"models": [*values["models"], added]}, profile=profile)
    templates = [
        {
            f"{o['kind']}/{o['metadata']['name']}": o["spec"]["template"]
            for o in rendered.objects
            if "template" in o.get("spec", {})
        }
        for rendered in (before, after)
    ]
    assert {name: templates[1].get(name) for name in templates[0]} == templates[0]
    new = {name.split("/")[0]: name for name in templates[1].keys() - templates[0].keys()}
    assert new["Deployment"] == "Deployment/ft-vllm-tiny"
    assert new.keys() <= {"Deployment", "Job"}
    assert set(after.upstreams()) - set(before.upstreams()) == {"tiny"}
