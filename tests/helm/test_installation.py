"""Tests of values for the whole installation: images, settings, secrets, storage, Redis, models."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
import yaml

from service.config import Settings
from service.models.catalogue import Catalogue
from tests.helm.support import FIXED, MODEL, PROFILES, containers, env_of

pytestmark = pytest.mark.slow

EGRESS = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]
S3 = {"storage": {"type": "s3", "s3": {"bucket": "b"}}, "networkPolicy": {"storageEgress": EGRESS}}
OURS = [("Deployment", "api"), ("Deployment", "worker-cpu"), ("Deployment", "vllm-tiny")]
IMAGED = {**MODEL, "image": {"registry": "r.example", "repository": "m", "tag": "1"}}


def images(rendered) -> set[str]:
    return {c["image"] for _, pod in rendered.pods() for c in containers(pod)}


def test_images_without_a_registry_have_local_names(render):
    assert images(render({"models": [MODEL]})) == {
        "finetuned-api:0.3.0",
        "finetuned-worker:0.3.0",
        "finetuned-inference:0.3.0",
        "docker.io/valkey/valkey:9.0",
    }


def test_images_registry_tag_digest_and_names(render):
    digest = "sha256:" + "0" * 64
    image = {
        "registry": "r.example/team/",
        "tag": "7",
        "digests": {"api": digest},
        "names": {"worker": "finetuned-worker-cpu"},
        "pullPolicy": "Always",
    }
    rendered = render({"models": [MODEL], "image": image})
    assert images(rendered) == {
        f"r.example/team/finetuned-api@{digest}",
        "r.example/team/finetuned-worker-cpu:7",
        "r.example/team/finetuned-inference:7",
        "docker.io/valkey/valkey:9.0",
    }
    policies = {c["imagePullPolicy"] for _, pod in rendered.pods() for c in containers(pod)}
    assert policies == {"Always"}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_one_registry_and_its_secrets_for_every_image(render, profile):
    values = {
        "global": {"imageRegistry": "mirror.example", "imagePullSecrets": ["mirror"]},
        "image": {"pullSecrets": ["ours", "mirror"]},
    }
    rendered = render({**values, **({} if profile else {"models": [IMAGED]})}, profile=profile)
    assert all(image.startswith("mirror.example/") for image in images(rendered))
    for _, pod in rendered.pods():
        assert pod["imagePullSecrets"] == [{"name": "mirror"}, {"name": "ours"}]


def test_settings_reach_every_process_unchanged(render, monkeypatch):
    settings = {
        "MAX_FILE_BYTES": 1073741824,
        "GPU_MEMORY_UTILIZATION": 0.85,
        "LOG_LEVEL": "DEBUG",
        "READY_PARTS": ["redis", "storage", "worker"],
        "DEFAULT_KEY_LIMITS": {"requests_per_minute": 600},
    }
    rendered = render({"settings": settings, "models": [MODEL]})
    data = rendered.settings()
    for name, value in data.items():
        assert isinstance(value, str)
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.max_file_bytes == 1073741824
    assert read.gpu_memory_utilization == 0.85
    assert read.ready_parts == ("redis", "storage", "worker")
    assert read.default_key_limits.requests_per_minute == 600
    assert rendered.upstreams() == {"tiny": "dns+http://ft-vllm-tiny.models.svc.cluster.local:8100"}
    assert (read.api_host, read.worker_host, read.inference_host) == ("0.0.0.0",) * 3
    assert read.storage_url == "file:///var/lib/finetuned-storage"


def test_pods_restart_after_a_change_of_settings_but_not_of_the_chart(render):
    def annotations(**values):
        pods = render({**FIXED, **values}).of_kind("Deployment").values()
        return [p["spec"]["template"]["metadata"]["annotations"] for p in pods]

    before = annotations()
    assert before == annotations()
    assert all(a != b for a, b in zip(before, annotations(settings={"LEASE_S": 9}), strict=True))
    changed = annotations(engineKey={"value": "another"})
    assert all(a != b for a, b in zip(before, changed, strict=True))


def test_the_service_reads_the_catalog(render, tmp_path):
    models = [
        {**MODEL, "parameters": 8190735360, "languages": ["th", "en"]},
        {
            **MODEL,
            "id": "Org/Other.Model",
            "engine": {"enabled": False},
            "servingQuantization": "none",
            "servingPath": "/models/tiny-awq",
        },
    ]
    rendered = render({"models": models})
    text = rendered.one("ConfigMap", "catalogue")["data"]["models.yaml"]
    (tmp_path / "models.yaml").write_text(text)
    first, second = Catalogue(tmp_path / "models.yaml").all()
    assert (first.id, first.parameters, first.languages) == ("tiny", 8190735360, ("th", "en"))
    assert (first.context_length, first.served, second.served) == (2048, True, False)
    assert (first.serving_quantization, first.served_path) == ("auto", first.path)
    assert (second.serving_quantization, second.served_path) == ("none", Path("/models/tiny-awq"))
    assert list(rendered.upstreams()) == ["tiny"]
    assert "vllm-tiny" in rendered.of_kind("Deployment")
    assert len([n for n in rendered.of_kind("Deployment") if n.startswith("vllm")]) == 1


def test_secrets_are_random_and_only_in_the_secret(render):
    one, two = (render({"models": [MODEL]}) for _ in range(2))
    data = one.of_kind("Secret")["ft"]["data"]
    users = {"valkey-api", "valkey-worker", "valkey-engine"}
    assert set(data) == {"valkey-password", "engine-key", "admin-key", *users}
    assert all(data[k] != two.of_kind("Secret")["ft"]["data"][k] for k in data)
    plain = [b64decode(v).decode() for v in data.values()]
    assert all(len(p) >= 43 for p in plain)
    others = yaml.safe_dump([o for o in one.objects if o["kind"] != "Secret"])
    assert not [p for p in plain if p in others]


def test_existing_secrets_are_used(render):
    values = {
        "engineKey": {"existingSecret": "engine"},
        "adminKey": {"existingSecret": "admin"},
        "valkey": {"password": {"existingSecret": "store"}},
        "audit": {"signingKey": {"existingSecret": "signing"}},
        "models": [MODEL],
    }
    rendered = render(values)
    assert not rendered.of_kind("Secret")
    for kind, name in OURS:
        env = env_of(rendered.container(kind, name))
        assert env["FINETUNED_UPSTREAM_API_KEY"]["secretKeyRef"]["name"] == "engine"
        assert env["FINETUNED_VALKEY_PASSWORD"]["secretKeyRef"]["name"] == "store"
    job = env_of(rendered.container("Job", "admin-key"))
    assert job["FINETUNED_NEW_KEY"]["secretKeyRef"] == {"name": "admin", "key": "admin-key"}
    assert set(job) == {"FINETUNED_VALKEY_PASSWORD", "FINETUNED_REDIS_URL", "FINETUNED_NEW_KEY"}


def test_each_process_has_its_own_user_of_redis(render):
    bundled = {"valkey": {"users": {"existingSecret": "users"}}}
    external = {
        "redis": {"type": "external", "external": {"existingSecret": "urls", "users": True}},
        "networkPolicy": {"redisEgress": [{"ports": [{"port": 6379}]}]},
    }
    own = render({**bundled, "models": [MODEL]})
    theirs = render({**external, "models": [MODEL]})
    for kind, name in (*OURS, ("Job", "admin-key")):
        part = name.partition("-")[0]
        user = {"api": "api", "worker": "worker", "vllm": "engine"}.get(part, "")
        env = env_of(own.container(kind, name))
        ref = env["FINETUNED_VALKEY_PASSWORD"]["secretKeyRef"]
        assert ref["key"] == (user or "valkey-password")
        assert ref["name"] == ("users" if user else "ft")
        assert env["FINETUNED_REDIS_URL"].startswith(
            f"redis://{user}:$(FINETUNED_VALKEY_PASSWORD)@"
        )
        env = env_of(theirs.container(kind, name))
        ref = env["FINETUNED_REDIS_URL"]["secretKeyRef"]
        assert ref == {"name": "urls", "key": f"url-{user}" if user else "url"}


def test_users_of_redis_can_be_left_out(render):
    rendered = render({"valkey": {"users": {"enabled": False}}, "models": [MODEL]})
    assert "valkey-api" not in rendered.of_kind("Secret")["ft"]["data"]
    (script,) = rendered.container("StatefulSet", "valkey")["args"]
    assert "user api" not in script
    for kind, name in OURS:
        env = env_of(rendered.container(kind, name))
        assert env["FINETUNED_REDIS_URL"].startswith("redis://:$(FINETUNED_VALKEY_PASSWORD)@")


def test_no_admin_key(render):
    rendered = render({"adminKey": {"enabled": False}})
    assert "admin-key" not in rendered.of_kind("Secret")["ft"]["data"]
    assert not rendered.of_kind("Job")
    assert set(rendered.of_kind("Pod")) == {"checks"}  # the test has no key then


def test_storage_on_s3(render):
    s3 = {"prefix": "/p/", "region": "eu", "endpoint": "http://s3:1", "allowHttp": True}
    values = {
        **S3,
        "storage": {"type": "s3", "s3": {"bucket": "b", **s3, "existingSecret": "s"}},
        "models": [MODEL],
    }
    rendered = render(values)
    data = rendered.settings()
    assert data["FINETUNED_STORAGE_URL"] == "s3://b/p"
    assert (data["AWS_REGION"], data["AWS_ENDPOINT_URL"]) == ("eu", "http://s3:1")
    assert data["AWS_ALLOW_HTTP"] == "true"
    assert "storage" not in rendered.of_kind("PersistentVolumeClaim")
    for kind, name in OURS:
        assert "storage" not in {v["name"] for v in rendered.pod(kind, name)["volumes"]}
        env = env_of(rendered.container(kind, name))
        assert env["AWS_SECRET_ACCESS_KEY"]["secretKeyRef"] == {
            "name": "s",
            "key": "secret-access-key",
        }


def test_s3_keys_can_be_in_values_or_absent(render):
    s3 = {"bucket": "b", "accessKeyId": "id", "secretAccessKey": "key"}
    rendered = render({**S3, "storage": {"type": "s3", "s3": s3}})
    data = rendered.of_kind("Secret")["ft"]["data"]
    assert b64decode(data["access-key-id"]) == b"id"
    env = env_of(rendered.container("Deployment", "api"))
    assert env["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "ft"
    own = render(S3 | {"serviceAccount": {"annotations": {"role": "arn"}}})
    assert "AWS_ACCESS_KEY_ID" not in env_of(own.container("Deployment", "api"))
    assert own.one("ServiceAccount", "worker")["metadata"]["annotations"] == {"role": "arn"}


def test_engines_can_have_a_read_only_key(render):
    s3 = {"bucket": "b", "existingSecret": "all", "enginesSecret": "read"}
    values = {**S3, "storage": {"type": "s3", "s3": {**s3, "disableBulkDelete": True}}}
    rendered = render({**values, "models": [MODEL]})
    assert rendered.settings()["AWS_DISABLE_BULK_DELETE"] == "true"
    keys = {
        name: env_of(rendered.container(kind, name))["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"]
        for kind, name in OURS
    }
    assert keys == {"api": "all", "worker-cpu": "all", "vllm-tiny": "read"}


def test_volumes_new_and_existing(render):
    rendered = render(
        {
            "storage": {"pvc": {"storageClass": "fast", "size": "1Ti"}},
            "modelStore": {"existingClaim": "weights"},
        }
    )
    claims = rendered.of_kind("PersistentVolumeClaim")
    assert set(claims) == {"storage"}
    assert claims["storage"]["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Ti"}},
    }
    assert claims["storage"]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    volumes = {v["name"]: v for v in rendered.pod("Deployment", "api")["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "weights"}
    assert volumes["storage"]["persistentVolumeClaim"] == {"claimName": "ft-storage"}


def test_an_external_redis(render):
    values = {"networkPolicy": {"redisEgress": EGRESS}, "models": [MODEL]}
    url = "redis+sentinel://:p@a:26379,b:26379/records/0"
    given = render({**values, "redis": {"type": "external", "external": {"url": url}}})
    named = render({**values, "redis": {"type": "external", "external": {"existingSecret": "r"}}})
    assert b64decode(given.of_kind("Secret")["ft"]["data"]["redis-url"]).decode() == url
    for rendered, source in [
        (given, {"name": "ft", "key": "redis-url"}),
        (named, {"name": "r", "key": "url"}),
    ]:
        assert not rendered.of_kind("StatefulSet")
        assert "valkey" not in rendered.of_kind("Service")
        for kind, name in [*OURS, ("Job", "admin-key")]:
            env = env_of(rendered.container(kind, name))
            assert env["FINETUNED_REDIS_URL"]["secretKeyRef"] == source
            assert "FINETUNED_VALKEY_PASSWORD" not in env


def test_the_bundled_store_is_durable(render):
    rendered = render({"valkey": {"appendfsync": "everysec"}})
    config = rendered.one("ConfigMap", "valkey")["data"]["valkey.conf"]
    assert "appendonly yes" in config
    assert "appendfsync everysec" in config
    assert "maxmemory 1536mb" in config
    assert "maxmemory-policy noeviction" in config
    url = env_of(rendered.container("Deployment", "api"))["FINETUNED_REDIS_URL"]
    assert (
        url == "redis://api:$(FINETUNED_VALKEY_PASSWORD)@ft-valkey.models.svc.cluster.local:6379/0"
    )
    claim = rendered.one("StatefulSet", "valkey")["spec"]["volumeClaimTemplates"][0]
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"


def test_models_are_copied_from_images(render):
    values = {"models": [IMAGED], "modelStore": {"type": "emptyDir", "size": "9Gi"}}
    rendered = render(values)
    assert "models" not in rendered.of_kind("PersistentVolumeClaim")
    for kind, name in OURS:
        pod = rendered.pod(kind, name)
        (copy,) = pod["initContainers"]
        assert copy["image"] == "r.example/m:1"
        assert copy["args"][-2:] == ["/model", "/models/tiny"]
        # The api reads a model's configuration and needs no weights.
        assert ("*.json" in copy["args"][0]) is (name == "api")
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert volumes["models"] == {"name": "models", "emptyDir": {"sizeLimit": "9Gi"}}


def test_pods_can_mount_the_images_of_models_instead_of_copies(render):
    """A node then has each image once, and a worker no copy of every model."""
    images = {
        "a": {"repository": "a", "tag": "1", "asVolume": True},
        "b": {"repository": "b", "tag": "1", "asVolume": True, "path": "/weights"},
    }
    models = [
        {**MODEL, "id": name, "path": f"/models/{name}", "image": image}
        for name, image in images.items()
    ]
    rendered = render({"models": models, "modelStore": {"type": "emptyDir"}})
    for name, expected in {
        "api": {"a", "b"},
        "worker-cpu": {"a", "b"},
        "worker-gpu": {"a", "b"},
        "vllm-a": {"a"},
        "vllm-b": {"b"},
    }.items():
        pod = rendered.pod("Deployment", name)
        assert "initContainers" not in pod
        volumes = {v["image"]["reference"][0] for v in pod["volumes"] if "image" in v}
        mounts = {m["mountPath"]: m for m in pod["containers"][0]["volumeMounts"]}
        assert volumes == expected
        assert {path for path in mounts if path.startswith("/models/")} == {
            f"/models/{model}" for model in expected
        }
        if "b" in expected:
            assert mounts["/models/b"]["subPath"] == "weights"
        assert mounts["/models"].get("readOnly") is None


def test_a_job_puts_a_model_on_the_shared_volume_once(render):
    volume = {
        "registry": "r.example",
        "repository": "m",
        "tag": "1",
        "asVolume": True,
        "path": "/q",
    }
    sources = {
        "image": IMAGED,
        "volume": {**MODEL, "image": volume},
        "s3": {**MODEL, "s3": {"url": "s3://m/q", "existingSecret": "own"}},
    }
    names = set()
    for kind, model in sources.items():
        rendered = render({"models": [model], "networkPolicy": {"storageEgress": [{"to": []}]}})
        for deployment in ("api", "worker-cpu", "worker-gpu"):
            assert "initContainers" not in rendered.pod("Deployment", deployment)
        (wait,) = rendered.pod("Deployment", "vllm-tiny")["initContainers"]
        assert wait["args"][-1] == "/models/tiny"
        (name,) = [name for name in rendered.of_kind("Job") if name.startswith("model-tiny-")]
        names.add(name)
        pod = rendered.pod("Job", name)
        copy, volumes = pod["containers"][0], {v["name"]: v for v in pod["volumes"]}
        assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "ft-models"}
        if kind == "image":
            assert copy["image"] == "r.example/m:1"
            assert copy["args"][-2:] == ["/model", "/models/tiny"]
        elif kind == "volume":
            assert volumes["image"]["image"]["reference"] == "r.example/m:1"
            assert copy["args"][-2:] == ["/image/q", "/models/tiny"]
        else:
            assert copy["args"] == ["models", "fetch", "s3://m/q", "/models/tiny"]
            key = env_of(copy)["AWS_SECRET_ACCESS_KEY"]["secretKeyRef"]
            assert key == {"name": "own", "key": "secret-access-key"}
            assert name in rendered.of_kind("NetworkPolicy")
    assert len(names) == 3  # a job cannot be changed, so another source is another job


def test_compiled_kernels_outlive_a_pod(render):
    pod = render({"models": [MODEL], "inference": {"cache": {"compileClaim": "kernels"}}}).pod(
        "Deployment", "vllm-tiny"
    )
    claim = next(v for v in pod["volumes"] if v["name"] == "compiled")["persistentVolumeClaim"]
    assert claim == {"claimName": "kernels"}
    (place,) = [
        m["mountPath"] for m in pod["containers"][0]["volumeMounts"] if m["name"] == "compiled"
    ]
    env = env_of(pod["containers"][0])
    assert all(env[name].startswith(place) for name in ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR"))


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def test_a_certificate_makes_the_api_and_its_probes_speak_https(render):
    rendered = render(
        {
            "models": [MODEL],
            "api": {"tls": {"existingSecret": "api-tls"}},
            "caCertificates": {"existingSecret": "ca"},
        }
    )
    api = rendered.container("Deployment", "api")
    assert {api[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTPS"}
    env = env_of(api)
    assert env["FINETUNED_API_TLS_CERT"] == "/etc/finetuned-tls/tls.crt"
    assert env["FINETUNED_API_TLS_KEY"] == "/etc/finetuned-tls/tls.key"
    mounts = {mount["name"]: mount for mount in api["volumeMounts"]}
    assert mounts["tls"] == {"name": "tls", "mountPath": "/etc/finetuned-tls", "readOnly": True}
    volumes = {volume["name"]: volume for volume in rendered.pod("Deployment", "api")["volumes"]}
    assert volumes["tls"]["secret"] == {"secretName": "api-tls", "defaultMode": 0o440}
    [port] = rendered.one("Service", "api")["spec"]["ports"]
    assert port["appProtocol"] == "https"
    # No other pod has the key. Metrics have a port of their own.
    assert [name for name, pod in rendered.pods() if "api-tls" in str(pod)] == ["Deployment/ft-api"]
    test = rendered.container("Pod", "test")
    assert env_of(test)["FINETUNED_URL"].startswith("https://ft-api.models.svc.")
    assert env_of(test)["SSL_CERT_FILE"] == "/etc/finetuned-ca/ca.crt"
    assert "ca" in {mount["name"] for mount in test["volumeMounts"]}


def test_without_a_certificate_the_api_speaks_http(render):
    rendered = render({"models": [MODEL]})
    api = rendered.container("Deployment", "api")
    assert {api[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTP"}
    assert "FINETUNED_API_TLS_CERT" not in env_of(api)
    assert rendered.one("Service", "api")["spec"]["ports"][0]["appProtocol"] == "http"
    assert env_of(rendered.container("Pod", "test"))["FINETUNED_URL"].startswith("http://")
