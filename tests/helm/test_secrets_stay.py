"""Tests that generated secrets are kept across upgrades.

Helm looks up existing secrets in the cluster. Here, the cluster is a server with one Secret and the
few responses that helm's client needs.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.helm.support import NAMESPACE

SECRET_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/ft"
THERE = {"valkey-password": "one-of-before", "engine-key": "another-of-before"}
SIGNING = {"signing-key.pem": "a-key-of-before"}
# Kinds that the chart creates by default, by group: helm 4 checks that the cluster has them.
KINDS = {
    "": ["Secret", "Service", "ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "Pod"],
    "apps": ["Deployment", "StatefulSet"],
    "batch": ["Job"],
    "policy": ["PodDisruptionBudget"],
    "networking.k8s.io": ["NetworkPolicy"],
}


def resources(group: str) -> dict[str, Any]:
    names = [kind.lower().removesuffix("y") for kind in KINDS[group]]
    plural = [n + ("ies" if n.endswith("polic") else "s") for n in names]
    found = [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]}
        for name, kind in zip(plural, KINDS[group], strict=True)
    ]
    version = f"{group}/v1".lstrip("/")
    return {"kind": "APIResourceList", "groupVersion": version, "resources": found}


def answers() -> dict[str, Any]:
    metadata = {
        "namespace": NAMESPACE,
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {
            "meta.helm.sh/release-name": "ft",
            "meta.helm.sh/release-namespace": NAMESPACE,
        },
    }
    groups = [
        {"name": group, "versions": [{"groupVersion": f"{group}/v1", "version": "v1"}]}
        for group in KINDS
        if group
    ]
    return {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/api/v1": resources(""),
        **{f"/apis/{group}/v1": resources(group) for group in KINDS if group},
        **{
            SECRET_PATH + name: {
                "kind": "Secret",
                "apiVersion": "v1",
                "metadata": metadata | {"name": f"ft{name}"},
                "data": {key: b64encode(value.encode()).decode() for key, value in there.items()},
            }
            for name, there in (("", THERE), ("-signing-key", SIGNING))
        },
    }


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[str]]]:
    """URL of the cluster, and the requested paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            found = answers().get(path)
            body = json.dumps(found or {"kind": "Status", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    serving.join()
    server.server_close()


def test_what_the_cluster_has_is_kept(each_helm, cluster):
    url, asked = cluster
    there = {"dry_run": "server", "kube_apiserver": url, "disable_openapi_validation": "true"}
    rendered = each_helm.template(**there)
    data = rendered.of_kind("Secret")["ft"]["data"]
    assert SECRET_PATH in asked
    for key, value in THERE.items():
        assert data[key] == b64encode(value.encode()).decode()
    kept = rendered.of_kind("Secret")["signing-key"]["data"]["signing-key.pem"]
    assert kept == b64encode(b"a-key-of-before").decode()
    assert len(data["admin-key"]) > 40  # new in this version: created now
    given = each_helm.template({"engineKey": {"value": "changed"}}, **there)
    assert given.of_kind("Secret")["ft"]["data"]["engine-key"] == b64encode(b"changed").decode()
