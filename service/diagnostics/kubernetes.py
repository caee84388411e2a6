"""Checks of `doctor --kubernetes`: what a cluster lacks, as seen from one pod of the chart.

The chart runs them in `helm test` and, with `preflight.enabled`, before an installation. A pod has
no token of the API server, so it finds out by doing: it resolves, connects, writes and compares.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service import __version__
from service.config import Settings
from service.core.redis import REDIS_ERRORS, connect
from service.diagnostics.checks import Finding, fleet, redis_memory, redis_server, storage_of
from service.diagnostics.gpus import check as check_gpus
from service.fleet import workers
from service.fleet.capacity import own_gpus

_CONNECT_S = 3.0
_RESOLVE_S = 5.0
_MAX_SKEW_S = 2.0
"""Leases, tokens of identity providers and certificates compare the clocks of two machines."""
_LOOK_S = 0.2
_MARK = ".preflight-"


class Expected(BaseModel):
    """What the chart expects of the cluster. What is not given is not checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chart: str | None = None
    """Version of the service that the chart is for."""
    names: tuple[str, ...] = ()
    """Host names that must be resolved."""
    redis: bool = False
    storage: bool = False
    workers: bool = False
    """Whether workers must be running."""
    gpus: int = 0
    """GPUs that this pod, or with `workers` each GPU worker, must see."""
    shared: tuple[Path, ...] = ()
    """Folders on volumes that all pods write."""
    pods: int = 1
    """Pods that run this at the same time, with the `JOB_COMPLETION_INDEX` 0 to `pods` - 1."""
    run: str = ""
    """Differs between runs."""
    patience_s: float = 120
    """How long to wait for the other pods."""
    is_egress_denied: bool = False


async def examine_pod(
    expected: Expected, settings: Settings, environ: Mapping[str, str] = os.environ
) -> list[Finding]:
    """Run the checks. Findings have the names of hosts and folders, but no secrets."""
    groups = await asyncio.gather(
        *([_versions(expected.chart)] if expected.chart else []),
        *(resolves(name) for name in expected.names),
        *([egress(environ)] if expected.is_egress_denied else []),
        *([redis(expected, settings)] if expected.redis else []),
        *([asyncio.to_thread(storage_of, settings)] if expected.storage else []),
        *(
            shared(folder, int(environ.get("JOB_COMPLETION_INDEX", "0")), expected)
            for folder in expected.shared
        ),
        *([_own_gpus(expected.gpus)] if expected.gpus and not expected.workers else []),
    )
    return [finding for group in groups for finding in group]


async def _versions(chart: str) -> list[Finding]:
    # Helm itself refuses a Kubernetes that is too old for the chart.
    found = f"{__version__} in the image, {chart} in the chart"
    if chart == __version__:
        return [Finding("ok", "versions", found)]
    how = "use the image of the chart's version: leave image.tag empty, or correct it"
    return [Finding("missing", "versions", found, how)]


async def resolves(name: str) -> list[Finding]:
    """Check that DNS answers for a name."""
    what = f"DNS of {name}"
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                name, None, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError) as e:
        how = "let pods reach DNS (networkPolicy.dns), and compare clusterDomain"
        return [Finding("missing", what, f"not resolved: {e or 'no answer'}", how)]
    return [Finding("ok", what, str(found[0][4][0]))]


async def egress(environ: Mapping[str, str]) -> list[Finding]:
    """Check that policies are enforced: they do not allow the API server, which is always there."""
    host = environ.get("KUBERNETES_SERVICE_HOST")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return [Finding("note", "egress", "not checked: this is not a pod of a cluster")]
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return [Finding("ok", "egress", f"denied to {host}:{port}, the API server")]
    writer.close()
    found = f"{host}:{port}, the API server, can be reached, although no policy allows it"
    how = "install a network plugin that enforces NetworkPolicies, such as Calico or Cilium"
    return [Finding("missing", "egress", found, how)]


async def redis(expected: Expected, settings: Settings) -> list[Finding]:
    """Check that Redis loses nothing, its clock, and the workers that announce themselves in it."""
    client = connect(settings.redis_url.get_secret_value(), retries=0)
    try:
        server = await redis_server(client)
        # Here, unlike on a developer's machine, a Redis that can lose data is a fault.
        findings = [replace(f, level="missing") if f.level == "note" else f for f in server]
        if not any("unavailable" in finding.found for finding in server):
            began = time.time()
            seconds, microseconds = await client.time()
            middle = (began + time.time()) / 2
            findings.append(clock_skew(seconds + microseconds / 1e6 - middle))
            findings += await redis_memory(client)
            if expected.workers:
                findings += await fleet(client)
                findings += _gpus_of(await workers.alive(client), expected.gpus)
    except REDIS_ERRORS as e:
        findings.append(Finding("missing", "Redis", f"failed: {type(e).__name__}", "see its log"))
    finally:
        await client.aclose(close_connection_pool=True)
    return findings


def clock_skew(seconds: float) -> Finding:
    """Check the difference between the clocks of Redis and of this node."""
    found = f"{abs(seconds):.1f} s between this node and that of Redis"
    if abs(seconds) <= _MAX_SKEW_S:
        return Finding("ok", "clock", found)
    return Finding("missing", "clock", found, "synchronize the nodes with NTP (chrony)")


def _gpus_of(alive: Iterable[workers.Worker], gpus: int) -> list[Finding]:
    findings = []
    for worker in alive:
        if gpus and "gpu" in worker.queues:
            what = f"GPUs of {worker.name}"
            findings.append(_enough(what, worker.gpus, gpus, worker.device_name))
    return findings


async def _own_gpus(wanted: int) -> list[Finding]:
    gpus = await asyncio.to_thread(own_gpus)
    enough = _enough("GPUs", len(gpus), wanted, gpus[0].name if gpus else "none")
    return [enough, *await asyncio.to_thread(check_gpus)]


def _enough(what: str, found: int, wanted: int, name: str) -> Finding:
    text = f"{found} of {wanted} ({name})"
    if found >= wanted:
        return Finding("ok", what, text)
    how = (
        "the device plugin gives the pod no usable GPU: see its log and that of the driver "
        "(nvidia-smi on the node), and set runtimeClassName if GPUs need one"
    )
    return Finding("missing", what, text, how)


async def shared(folder: Path, index: int, expected: Expected) -> list[Finding]:
    """Check that all pods write a folder, and read what the others wrote."""
    what = f"volume at {folder}"
    try:
        for mark in folder.glob(f"{_MARK}*-{index}"):
            mark.unlink()  # of an earlier run
        (folder / f"{_MARK}{expected.run}-{index}").touch()
    except OSError as e:
        how = "let the pods' group write it (fsGroup), and not only from one node"
        return [Finding("missing", what, f"cannot be written: {e.strerror}", how)]
    deadline = time.monotonic() + expected.patience_s
    # Each pod leaves its mark: others may see it late, through the cache of a network file system.
    lacking = [folder / f"{_MARK}{expected.run}-{i}" for i in range(expected.pods)]
    while lacking := [mark for mark in lacking if not mark.exists()]:
        if time.monotonic() > deadline:
            found = f"{len(lacking)} of {expected.pods} pods are not seen writing it"
            how = "use a storage class with ReadWriteMany, such as NFS or CephFS, or S3"
            return [Finding("missing", what, found, how)]
        await asyncio.sleep(_LOOK_S)
    by = f" by {expected.pods} pods, which see one another's files" if expected.pods > 1 else ""
    return [Finding("ok", what, f"written{by}")]
