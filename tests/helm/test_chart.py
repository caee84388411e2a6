"""Tests of the chart as a whole: lint, both helm versions, the package, README and version."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from scripts import helm_files
from service import __version__
from tests.helm.support import CHART, FIXED, MODEL, NAMESPACE, PROFILES, RELEASE, Helm

pytestmark = pytest.mark.slow

WITH_DEFAULTS = [None, *PROFILES]


@pytest.mark.parametrize("profile", WITH_DEFAULTS)
def test_lint_is_strict_and_clean(each_helm, profile):
    given = ["-f", str(CHART / "ci" / profile)] if profile else []
    output = each_helm.run("lint", "--strict", str(CHART), *given)
    assert "0 chart(s) failed" in output
    assert "WARNING" not in output


@pytest.mark.parametrize("profile", WITH_DEFAULTS)
def test_both_majors_render_the_same(tools, profile):
    values = FIXED if profile != "s3-ha-values.yaml" else {}
    three, four = (
        # Each would suppose the cluster that it was made for.
        Helm(tools(n) / "helm").template(values, profile=profile, kube_version="1.34.0")
        for n in (3, 4)
    )

    def by_name(rendered):
        return sorted(rendered.objects, key=lambda o: (o["kind"], o["metadata"]["name"]))

    assert by_name(three) == by_name(four)


def test_the_package_renders_as_the_folder_does(each_helm, tmp_path):
    each_helm.run("package", str(CHART), "--destination", str(tmp_path))
    package = next(tmp_path.glob("finetuned-*.tgz"))
    values = {**FIXED, "models": [MODEL]}
    packed = Helm(each_helm.program, package).template(values)
    assert packed == each_helm.template(values)
    assert packed.of_kind("ConfigMap")["test"]["data"]["loop.py"].startswith(
        '"""Script of `helm test`'
    )


def test_names_are_unique_and_short(render):
    long_name = "a-release-with-a-name-of-some-length-and-more"
    model = {**MODEL, "id": "Some.Organisation/A_model-with-a-Name-that-is-very-long-indeed"}
    twin = {**MODEL, "id": "some-organisation/a-model-with-a-name-that-is-very-long-indeed"}
    values = {
        "fullnameOverride": long_name,
        "models": [model, twin],
        "worker": {"gpuPools": [{"name": "a-pool-with-a-name-x"}]},
    }
    objects = render(values).objects
    named = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(named) == len(set(named))
    assert max(len(name) for _, name in named) <= 63
    for o in objects:
        for value in o["metadata"].get("labels", {}).values():
            assert len(value) <= 63


def test_selectors_never_change_with_the_chart(render):
    for o in render({"models": [MODEL]}).objects:
        if o["kind"] in {"Deployment", "StatefulSet"}:
            labels = o["spec"]["template"]["metadata"]["labels"]
            assert o["spec"]["selector"]["matchLabels"].items() <= labels.items()
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)


def test_readme_is_up_to_date():
    found = (CHART / "README.md").read_text("utf-8")
    assert found == helm_files.readme(), "run 'make helm-readme'"
    assert helm_files.SETTINGS.read_text("utf-8") == helm_files.settings(), "run 'make helm-readme'"


def test_versions_are_those_of_the_project():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


def test_notes_give_the_next_commands(helm):
    # helm prints notes only on installation; a dry run without a cluster is one.
    output = helm.run(
        *("install", RELEASE, str(CHART), "--dry-run=client", "--namespace", "models"),
        values={**FIXED, "models": [MODEL]},
    ).partition("NOTES:")[2]
    assert "kubectl -n models get secret ft -o jsonpath='{.data.admin-key}'" in output
    assert "kubectl -n models port-forward svc/ft-api 8000:80" in output
    assert "curl -H" in output


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
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            requests.append(path)
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
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    serving.join()
    server.server_close()


def test_generated_secrets_are_kept_across_upgrades(each_helm, cluster):
    url, requests = cluster
    there = {"dry_run": "server", "kube_apiserver": url, "disable_openapi_validation": "true"}
    rendered = each_helm.template(**there)
    data = rendered.of_kind("Secret")["ft"]["data"]
    assert SECRET_PATH in requests
    for key, value in THERE.items():
        assert data[key] == b64encode(value.encode()).decode()
    kept = rendered.of_kind("Secret")["signing-key"]["data"]["signing-key.pem"]
    assert kept == b64encode(b"a-key-of-before").decode()
    assert len(data["admin-key"]) > 40  # new in this version: created now
    given = each_helm.template({"engineKey": {"value": "changed"}}, **there)
    assert given.of_kind("Secret")["ft"]["data"]["engine-key"] == b64encode(b"changed").decode()
