"""Tests of what checks a reader's cluster: the hooks of the chart, and the script of the trial."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from service.diagnostics.kubernetes import Expected
from tests.helm.support import MODEL, ROOT, Rendered

SCRIPT = ROOT / "scripts" / "cluster_trial.sh"


def test_it_says_that_there_is_no_cluster_without_addresses(tools, tmp_path):
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "users: [{name: a, user: {token: t}}]\n"
    )
    env = {**os.environ, "KUBECONFIG": str(nowhere), "PATH": f"{tools(4)}:{os.environ['PATH']}"}
    done = subprocess.run(
        [SCRIPT, "values.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    report = (tmp_path / "cluster-trial.txt").read_text()
    assert report == done.stdout
    assert "no cluster: " in report
    assert "ADDRESS" in report
    assert "127.0.0.1" not in report


def test_what_may_be_secret_does_not_leave_the_cluster():
    clean = SCRIPT.read_text().partition("\nclean() {")[2].partition("\n}\n")[0]
    hostile = (
        "dial tcp 10.1.2.3:6379 for redis://worker:9vC3hQ0pLm8xZk2TtR5uYw7sAe1bDf4gHj6nKq_PzXc@db\n"
        "pull registry.bank.example:5000/team/finetuned-api: denied; key sk-ft-" + "a" * 43 + "\n"
        "pod trial-api-7d9c is Pending: 0/3 nodes have nvidia.com/gpu\n"
    )
    done = subprocess.run(
        ["bash", "-c", "clean() {" + clean + "\n}; clean"],
        input=hostile,
        capture_output=True,
        text=True,
        check=True,
    )
    for secret in ("10.1.2.3", "9vC3hQ", "bank.example", "aaaa"):
        assert secret not in done.stdout
    assert "is Pending: 0/3 nodes" in done.stdout


def expected(container: dict[str, Any]) -> Expected:
    command, option, given = container["args"]
    assert (command, option) == ("doctor", "--kubernetes")
    return Expected.model_validate_json(given)


def hooks(rendered: Rendered) -> dict[str, str]:
    jobs = rendered.of_kind("Job")
    return {
        name: job["metadata"]["annotations"]["helm.sh/hook"]
        for name, job in jobs.items()
        if name.startswith("preflight")
    }


@pytest.mark.slow
def test_the_checks_of_helm_test(render):
    rendered = render({"models": [MODEL]})
    found = expected(rendered.container("Pod", "checks"))
    assert (found.chart, found.gpus) == ("0.3.0", 1)
    assert found.redis
    assert found.storage
    assert found.workers
    assert found.is_egress_denied
    assert "ft-api.models.svc.cluster.local" in found.names
    assert not hooks(rendered)
    pools = [{"name": "cpus", "gpu": {"count": 0}}]
    open_policy = {"networkPolicy": {"enabled": False}, "worker": {"gpuPools": pools}}
    found = expected(render(open_policy).container("Pod", "checks"))
    assert (found.gpus, found.is_egress_denied) == (0, False)


@pytest.mark.slow
def test_the_preflight_comes_first_if_what_it_checks_exists(render):
    values = {"models": [MODEL], "preflight": {"enabled": True}}
    made = render(values)
    assert hooks(made) == {"preflight": "post-install", "preflight-gpu": "pre-install"}
    # Nothing of the release exists before it.
    spec = made.pod("Job", "preflight-gpu")
    assert spec["serviceAccountName"] == "default"
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "env" not in spec["containers"][0]
    own = {"storage": {"pvc": {"existingClaim": "ours"}}}
    external = {
        "redis": {"type": "external", "external": {"existingSecret": "redis"}},
        "networkPolicy": {"redisEgress": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}]},
    }
    given = render({**values, **own, **external})
    assert set(hooks(given).values()) == {"pre-install"}
    container = given.container("Job", "preflight")
    assert expected(container).redis
    assert container["env"][0]["valueFrom"]["secretKeyRef"]["name"] == "redis"
    assert given.one("Job", "preflight")["spec"]["completions"] == expected(container).pods == 2
    claims = [v.get("persistentVolumeClaim") for v in given.pod("Job", "preflight")["volumes"]]
    assert {"claimName": "ours"} in claims
