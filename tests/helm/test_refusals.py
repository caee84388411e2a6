"""Tests that invalid values are refused before installation, with clear messages."""

from __future__ import annotations

import copy

import pytest

from tests.helm.support import MODEL, Refused

pytestmark = pytest.mark.slow

KEDA = {"enabled": True, "maxReplicas": 2}
S3 = {"type": "s3", "s3": {"bucket": "b", "existingSecret": "s"}}

_CLIENT = {
    "clientId": "console",
    "redirectUri": "https://finetuned.example/v1/session/callback",
}
RAY = {"gpus": 16, "cluster": {"enabled": True}}
NODES = [{**MODEL, "engine": {"nodes": 2, "gpu": {"count": 8}}}]
SHARED_CACHE = {"cache": {"sharedClaim": "adapters"}}

SCHEMA = [
    ({"models": [{**MODEL, "engine": {"nodes": 0}}]}, "nodes", "1"),
    ({"ray": {"address": "http://a:1"}}, "address", "pattern"),
    ({"identityProvider": {"redirectUri": "https://a.example"}}, "redirectUri", "pattern"),
    ({"api": {"replica": 3}}, "api", "replica"),
    ({"apis": {}}, "root", "apis"),
    ({"api": {"replicas": "two"}}, "replicas", "integer"),
    ({"api": {"autoscaling": {"targetCPU": 101}}}, "targetCPU", "100"),
    ({"gpuSharing": "both"}, "gpuSharing", "time-slice"),
    ({"trainSloMs": -1}, "trainSloMs", "0"),
    ({"models": [{"id": "x"}]}, "models", "license"),
    ({"models": [{**MODEL, "id": "ft:x"}]}, "id", "pattern"),
    ({"models": [{**MODEL, "contextLength": 1}]}, "contextLength", "64"),
    ({"models": [{**MODEL, "engine": {"gpus": 1}}]}, "engine", "gpus"),
    ({"models": [{**MODEL, "engine": {"gpu": {"resource": "gpu"}}}]}, "resource", "pattern"),
    ({"models": [{**MODEL, "image": {"repository": "m"}}]}, "image", "tag"),
    ({"models": [{**MODEL, "merged": [{"name": "tiny"}]}]}, "models", "merged"),
    ({"worker": {"gpuPools": [{"name": "A_b"}]}}, "name", "pattern"),
    ({"worker": {"gpuPools": [{"name": "a", "queues": ["tpu"]}]}}, "queues", "gpu"),
    ({"worker": {"stopGraceSeconds": 0}}, "stopGraceSeconds", "1"),
    ({"image": {"digests": {"api": "latest"}}}, "digests", "sha256"),
    ({"valkey": {"password": {"value": "a b"}}}, "password", "pattern"),
    ({"valkey": {"appendfsync": "no"}}, "appendfsync", "always"),
    ({"adminKey": {"value": "short"}}, "adminKey", "32"),
    ({"storage": {"pvc": {"size": "big"}}}, "size", "pattern"),
    ({"redis": {"external": {"url": "http://x"}}}, "url", "redis"),
    ({"ingress": {"paths": ["v1"]}}, "paths", "pattern"),
    ({"backup": {"keep": 0}}, "keep", "1"),
    ({"pod": {"extraVolume": []}}, "pod", "extraVolume"),
    ({"worker": {"cpu": {"pod": {"hostNetwork": True}}}}, "pod", "hostNetwork"),
    ({"compatibility": {"openshift": "on"}}, "openshift", "force"),
    ({"backup": {"schedule": "daily"}}, "schedule", "pattern"),
]

TOGETHER = [
    ({"engineKey": {"existingSecret": "s", "value": "v"}}, "engineKey: set existingSecret or"),
    (
        {"adminKey": {"existingSecret": "s", "value": "v" * 32}},
        "adminKey: set existingSecret or",
    ),
    (
        {"valkey": {"password": {"existingSecret": "s", "value": "v"}}},
        "valkey.password: set existingSecret or",
    ),
    ({"trainSloMs": 800}, "trainSloMs: trainings are paced only next to engines"),
    (
        {"trainSloMs": 800, "gpuSharing": "time-slice"},
        "trainSloMs: trainings are paced only next to engines",
    ),
    ({"redis": {"type": "external"}}, "redis.external: redis.type is external, so set"),
    (
        {"redis": {"type": "external", "external": {"url": "redis://x", "existingSecret": "s"}}},
        "redis.external: set existingSecret or url",
    ),
    (
        {"redis": {"external": {"url": "redis://x"}}},
        "redis.external: set redis.type=external as well",
    ),
    (
        {"redis": {"type": "external", "external": {"url": "redis://x"}}},
        "networkPolicy.redisEgress: allow egress to the external Redis",
    ),
    ({"storage": {"type": "s3"}}, "storage.s3.bucket: storage.type is s3"),
    ({"storage": S3}, "networkPolicy.storageEgress: allow egress to S3"),
    (
        {"webhooks": {"allowedHosts": ["hooks.example"]}},
        "networkPolicy.webhookEgress: allow egress to the receivers of webhooks",
    ),
    (
        {"identityProvider": _CLIENT, "settings": {"OIDC_ISSUER": "https://login.example"}},
        "networkPolicy.oidcEgress: allow egress to the identity provider",
    ),
    ({"identityProvider": _CLIENT}, "settings.OIDC_ISSUER: identityProvider.clientId needs"),
    ({"identityProvider": {"clientId": "console"}}, "identityProvider.redirectUri: set"),
    ({"identityProvider": {"existingSecret": "s"}}, "identityProvider.clientId: set"),
    ({"settings": {"OIDC_CLIENT_ID": "x"}}, "settings: OIDC_CLIENT_ID is set from other values"),
    (
        {"mlflow": {"trackingUris": ["https://mlflow.example"]}},
        "networkPolicy.mlflowEgress: allow egress to the MLflow servers",
    ),
    (
        {"audit": {"witness": {"url": "https://witness.example"}}},
        "networkPolicy.witnessEgress: allow egress to the witness",
    ),
    (
        {"audit": {"export": {"enabled": True, "endpoint": "https://collector.example"}}},
        "networkPolicy.auditExportEgress: allow egress to the collector",
    ),
    ({"audit": {"export": {"enabled": True}}}, "audit.export.endpoint: audit.export is enabled"),
    ({"settings": {"API_TLS_CERT": "a"}}, "API_TLS_CERT is set from other"),
    ({"settings": {"AUDIT_WITNESS_URL": "a"}}, "AUDIT_WITNESS_URL is set from other"),
    ({"settings": {"MLFLOW_TRACKING_TOKEN": "a"}}, "MLFLOW_TRACKING_TOKEN is set from other"),
    ({"settings": {"WEBHOOK_ALLOWED_HOSTS": "a"}}, "WEBHOOK_ALLOWED_HOSTS is set from other"),
    (
        {"storage": {"s3": {"accessKeyId": "a", "existingSecret": "s"}}},
        "storage.s3: set existingSecret or accessKeyId",
    ),
    ({"storage": {"s3": {"accessKeyId": "a"}}}, "set accessKeyId and secretAccessKey together"),
    (
        {"storage": {"type": "s3", "s3": {"bucket": "b", "endpoint": "http://s3"}}},
        "storage.s3.endpoint: the endpoint is not encrypted",
    ),
    ({"models": [MODEL, MODEL]}, "models: the id tiny appears twice"),
    ({"models": [{**MODEL, "path": "/data/tiny"}]}, "is not below modelStore.mountPath"),
    ({"models": [{**MODEL, "servingPath": "/data/tiny"}]}, "is not below modelStore.mountPath"),
    (
        {"models": [{**MODEL, "servingPath": "/models/awq", "servingQuantization": "nf4"}]},
        "the weights in servingPath of tiny are quantized already",
    ),
    (
        {"models": [MODEL], "modelStore": {"type": "emptyDir"}},
        "the model tiny needs an image to copy it from",
    ),
    ({"worker": {"gpuPools": [{"name": "a"}, {"name": "a"}]}}, "the name a appears twice"),
    ({"worker": {"gpuPools": [{"name": "cpu"}]}}, "the name cpu appears twice, or is the name of"),
    ({"worker": {"gpuPools": [{"name": "a", "keda": KEDA}]}}, "keda.prometheus: KEDA scales a,"),
    ({"models": [{**MODEL, "engine": {"keda": KEDA}}]}, "keda.prometheus: KEDA scales tiny,"),
    (
        {"models": [{**MODEL, "engine": {"keda": {**KEDA, "minReplicas": 0}}}]},
        "inference.startWaitSeconds: the engine of tiny starts from zero",
    ),
    (
        {
            "keda": {"prometheus": "http://p"},
            "worker": {"cpu": {"replicas": 0}, "gpuPools": [{"name": "a", "keda": KEDA}]},
        },
        "worker.cpu.replicas: KEDA needs a cpu worker",
    ),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
    (
        {"backup": {"enabled": True, "type": "s3"}},
        "backup.s3.bucket: backup.type is s3, so set the bucket",
    ),
    (
        {"backup": {"enabled": True, "type": "s3", "s3": {"bucket": "b"}}},
        "backup.s3.existingSecret: name a Secret with the credentials",
    ),
    (
        {"backup": {"enabled": True, "type": "s3", "s3": {"bucket": "b", "existingSecret": "s"}}},
        "networkPolicy.backupEgress: allow egress to the S3 of backups",
    ),
    (
        {"settings": {"OIDC_JWKS": "https://login.example/keys"}},
        "networkPolicy.oidcEgress: allow egress to the identity provider",
    ),
    (
        {"settings": {"ENCRYPTION_VAULT_ADDRESS": "https://vault.example"}},
        "networkPolicy.vaultEgress: allow egress to Vault",
    ),
    (
        {
            "worker": {
                "gpuPools": [{"name": "a", "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://o"}}]
            }
        },
        "networkPolicy.otlpEgress: allow egress to the collector of traces",
    ),
    (
        {"settings": {"OIDC_ISUER": "https://login.example"}},
        "settings: there is no OIDC_ISUER; the most similar name is OIDC_ISSUER",
    ),
    ({"settings": {"MAX_UPLOADED_BYTES": 1}}, "the most similar name is MAX_UPLOAD_BYTES"),
    (
        {"valkey": {"maxmemory": "2gb"}},
        "valkey.maxmemory: 2gb is more than three quarters of the memory limit (2Gi)",
    ),
    (
        {"inference": {"tls": {"existingSecret": "s"}}},
        "caCertificates.existingSecret: the certificate of inference.tls is verified",
    ),
    (
        {
            "valkey": {"tls": {"existingSecret": "s"}},
            "caCertificates": {"existingSecret": "c"},
            "redis": {"type": "external", "external": {"url": "rediss://r"}},
        },
        "valkey.tls.existingSecret: redis.type is external",
    ),
    ({"settings": {"REDIS_URL": "x"}}, "settings: REDIS_URL is set from other values"),
    ({"settings": {"FINETUNED_LEASE_S": 3}}, "settings: write FINETUNED_LEASE_S without"),
    ({"ray": {"address": "ray://a:1", "cluster": {"enabled": True}}}, "ray: set address or"),
    ({"ray": {"cluster": {"enabled": True}}}, "ray.gpus: set the number"),
    ({"ray": {"gpus": 2}}, "ray.gpus: set ray.address or"),
    ({"ray": {"address": "ray://a:1", "gpus": 2}}, "networkPolicy.rayEgress: allow egress"),
    ({"ray": {"gpus": 17, "cluster": {"enabled": True}}}, "a training uses 17, but"),
    (
        {"ray": RAY, "worker": {"gpuPools": [{"name": "ray"}]}},
        "worker.gpuPools: ray is the name",
    ),
    (
        {"ray": {"gpus": 1, "cluster": {"enabled": True, "groups": [{"name": "head"}]}}},
        "the name head appears twice",
    ),
    ({"settings": {"RAY_ADDRESS": "ray://a:1"}}, "settings: RAY_ADDRESS is set from other"),
    ({"models": NODES}, "inference.cache.sharedClaim: the engine"),
    (
        {"models": NODES, "inference": SHARED_CACHE, "gpuSharing": "time-slice"},
        "needs gpuSharing: separate",
    ),
    (
        {
            "models": [{**MODEL, "engine": {"nodes": 2, "keda": KEDA}}],
            "inference": SHARED_CACHE,
            "keda": {"prometheus": "http://p"},
        },
        "KEDA cannot scale",
    ),
]


@pytest.mark.parametrize(("values", "place", "word"), SCHEMA, ids=lambda x: str(x)[:40])
def test_schema_errors_name_the_value_and_the_fault(each_helm, values, place, word):
    with pytest.raises(Refused) as refusal:
        each_helm.template(copy.deepcopy(values))
    message = str(refusal.value)
    assert "values don't meet the specifications" in message
    assert word in message
    # helm 4 calls the root ''.
    assert place in message or place == "root"


@pytest.mark.parametrize(("values", "words"), TOGETHER, ids=lambda x: str(x)[:40])
def test_conflicting_values_are_refused(each_helm, values, words):
    with pytest.raises(Refused) as refusal:
        each_helm.template(copy.deepcopy(values))
    assert words in str(refusal.value)
