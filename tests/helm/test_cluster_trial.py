"""Tests of the script that runs the chart on a reader's cluster, without one."""

from __future__ import annotations

import os
import subprocess

from tests.helm.support import ROOT

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
