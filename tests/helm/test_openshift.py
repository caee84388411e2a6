"""Tests that OpenShift admits every pod, against the rules of its SecurityContextConstraints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.helm.support import MODEL, PROFILES, Manifest, Rendered, containers

pytestmark = pytest.mark.slow

RANGE = range(1000650000, 1000660000)
"""Of the namespace, as in its annotation openshift.io/sa.scc.uid-range: 1000650000/10000."""
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}


@dataclass(frozen=True)
class Scc:
    """What restricted-v2 and nonroot-v2 check. A field that is not set gets the SCC's default."""

    name: str
    chooses_ids: bool
    """Whether uid and fsGroup must be of the namespace's range. Otherwise any uid but 0 may run."""

    def complaints(self, pod: Manifest) -> Iterator[str]:
        """Yield why the pod is refused."""
        of_pod = pod.get("securityContext", {})
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(field):
                yield field
        for volume in pod.get("volumes", []):
            for kind in set(volume) - {"name"} - VOLUMES:
                yield f"volumes: {volume['name']} is a {kind}"
        if self.chooses_ids:
            groups = {of_pod.get("fsGroup")} - {None, RANGE.start}
            yield from (f"fsGroup: {group} is not {RANGE.start}" for group in groups)
        for container in containers(pod):
            name, own = container["name"], container.get("securityContext", {})
            uid = own.get("runAsUser", of_pod.get("runAsUser"))
            non_root = own.get("runAsNonRoot", of_pod.get("runAsNonRoot"))
            if self.chooses_ids and uid is not None and uid not in RANGE:
                yield f"{name}: runAsUser {uid} is not in the namespace's range"
            if not self.chooses_ids and (uid == 0 or (uid is None and not non_root)):
                yield f"{name}: may run as root"
            if own.get("privileged") or own.get("allowPrivilegeEscalation"):
                yield f"{name}: is privileged"
            capabilities = own.get("capabilities", {})
            if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
                yield f"{name}: adds capabilities"
            profile = own.get("seccompProfile", of_pod.get("seccompProfile", {}))
            if profile.get("type", "RuntimeDefault") != "RuntimeDefault":
                yield f"{name}: seccompProfile"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{name}: hostPort"


RESTRICTED, NONROOT = Scc("restricted-v2", True), Scc("nonroot-v2", False)
# Every kind of pod: of Jobs, CronJobs, a RayCluster and a LeaderWorkerSet, too.
ALL_KINDS: dict[str, Any] = {
    "models": [MODEL, {**MODEL, "id": "large", "engine": {"nodes": 2, "gpu": {"count": 8}}}],
    "inference": {"cache": {"sharedClaim": "adapters"}},
    "ray": {"gpus": 16, "cluster": {"enabled": True}},
    "backup": {"enabled": True},
    "audit": {"export": {"enabled": True, "endpoint": "https://collector.example"}},
    "networkPolicy": {"auditExportEgress": [{}]},
}
FORCE = {"compatibility": {"openshift": "force"}}


def refused(rendered: Rendered, scc: Scc) -> dict[str, list[str]]:
    found = {name: list(scc.complaints(pod)) for name, pod in rendered.pods()}
    return {name: complaints for name, complaints in found.items() if complaints}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_openshift_admits_every_pod(render, profile):
    values = {} if profile else ALL_KINDS
    rendered = render({**values, **FORCE}, profile=profile)
    kinds = {name.partition("/")[0] for name, _ in rendered.pods()}
    if not profile:
        workloads = {"CronJob", "Deployment", "Job", "LeaderWorkerSet", "Pod", "RayCluster"}
        assert kinds == {*workloads, "StatefulSet"}
    assert not refused(rendered, RESTRICTED)
    assert not refused(rendered, NONROOT)
    # Elsewhere the images' user runs. A platform without ranges of its own needs it for volumes.
    plain = render(values, profile=profile)
    assert {pod["securityContext"]["runAsUser"] for _, pod in plain.pods()} == {10001}
    assert {pod["securityContext"]["fsGroup"] for _, pod in plain.pods()} == {10001}
    assert len(refused(plain, RESTRICTED)) == len({name for name, _ in plain.pods()})
    assert not refused(plain, NONROOT)


@pytest.mark.parametrize(
    ("value", "apis", "adapts"),
    [
        ("auto", "", False),
        ("auto", "security.openshift.io/v1", True),
        ("disabled", "security.openshift.io/v1", False),
        ("force", "", True),
    ],
)
def test_openshift_is_detected(each_helm, value, apis, adapts):
    flags = {"api_versions": apis} if apis else {}
    rendered = each_helm.template({"compatibility": {"openshift": value}}, **flags)
    assert (not refused(rendered, RESTRICTED)) is adapts
    dns = rendered.one("NetworkPolicy", "api")["spec"]["egress"][0]
    assert ("openshift-dns" in str(dns), dns["ports"][0]["port"]) == (
        (True, 5353) if adapts else (False, 53)
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, "hostPath"),
        ({"securityContext": {"fsGroup": 5}}, "fsGroup"),
        ({"securityContext": {"runAsUser": 5}}, "runAsUser 5"),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile"),
    ],
)
def test_the_rules_refuse(change, complaint):
    pod = {"containers": [{"name": "c"}], **change}
    assert complaint in str(list(RESTRICTED.complaints(pod)))
    root = {"containers": [{"name": "c", "securityContext": {"runAsUser": 0}}]}
    assert list(NONROOT.complaints(root)) == ["c: may run as root"]
