"""Enforces NetworkPolicies with nftables between network namespaces, and connects all pods.

    python -m tests.helm.pod_network < CLUSTER > CONNECTIONS

Each pod, and each host outside, is a namespace on one bridge. Its rules are in its own namespace:
what a policy does not allow is answered with a reset. CLUSTER is the JSON of `Cluster`; CONNECTIONS
is a list of [from, to, port] of the TCP connections that could be opened. Needs root on Linux.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from tests.cached import ROOT
from tests.egress import network
from tests.helm.support import Manifest, selects

Connection = tuple[str, str, int]
_BACK, _NETNS = Path("/proc/self/ns/net"), Path("/run/netns")
_TIMEOUT_S = 20.0  # for a lost packet: whatever is refused is answered


@dataclass(frozen=True)
class Host:
    """A pod, or a host outside the cluster, which has an address and no namespace."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True)
class Cluster:
    """Hosts, policies, and the ports on which each host listens."""

    hosts: Sequence[Host]
    policies: Sequence[Manifest]
    ports: Sequence[int]


def why_not() -> str | None:
    """Return why this machine cannot enforce policies, or None."""
    if reason := network.why_not():
        return reason
    return None if shutil.which("nft") else "nft is not installed (Debian: nftables)"


def connections(cluster: Cluster) -> set[Connection]:
    """Return which connections can be opened."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--", sys.executable, "-m", __name__],
        input=json.dumps(asdict(cluster)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {(source, target, port) for source, target, port in json.loads(done.stdout)}


def rules(cluster: Cluster, host: Host, addresses: dict[str, str]) -> str:
    """Return the nftables rules of one pod."""
    chains = []
    for kind, side, hook, address in (
        ("Ingress", "from", "input", "saddr"),
        ("Egress", "to", "output", "daddr"),
    ):
        chosen = [
            policy
            for policy in cluster.policies
            if host.namespace == policy["metadata"]["namespace"]
            and kind in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], host.labels)
        ]
        lines = ["ct state established,related accept", 'meta iifname "lo" accept']
        lines += ['meta oifname "lo" accept'] if hook == "output" else []
        for policy in chosen:
            for rule in policy["spec"].get(kind.lower(), []):
                for peer in _peers(cluster, policy, rule.get(side, []), addresses):
                    where = f"ip {address} {peer} " if peer else ""
                    lines += [f"{where}{port} accept" for port in _ports(rule)]
        if chosen:
            lines += ["meta l4proto tcp reject with tcp reset", "drop"]
        body = "\n".join(lines)
        chains.append(
            f"chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n{body}\n}}"
        )
    return "table inet pod {\n" + "\n".join(chains) + "\n}\n"


def _peers(
    cluster: Cluster, policy: Manifest, peers: Sequence[Manifest], addresses: dict[str, str]
) -> Iterator[str]:
    """Yield the addresses of a rule's peers as a match of nftables; empty for all."""
    if not peers:
        yield ""
    for peer in peers:
        if block := peer.get("ipBlock"):
            yield block["cidr"]
            continue
        found = []
        for host in cluster.hosts:
            spaces = peer.get("namespaceSelector")
            name = {"kubernetes.io/metadata.name": host.namespace}
            is_there = (
                bool(host.namespace) and selects(spaces, name)
                if spaces is not None
                else host.namespace == policy["metadata"]["namespace"]
            )
            if is_there and selects(peer.get("podSelector", {}), host.labels):
                found.append(addresses[host.name])
        if found:
            yield f"{{ {', '.join(found)} }}"


def _ports(rule: Manifest) -> Iterator[str]:
    for port in rule.get("ports", []):
        yield f"{port.get('protocol', 'TCP').lower()} dport {port['port']}"
    if not rule.get("ports"):
        yield ""


def _main() -> None:
    read = json.load(sys.stdin)
    cluster = Cluster([Host(**host) for host in read["hosts"]], read["policies"], read["ports"])
    libc = ctypes.CDLL(None, use_errno=True)
    back = os.open(_BACK, os.O_RDONLY)

    def enter(namespace: int) -> None:
        if libc.setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "setns")

    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    number = count(1)
    addresses = {h.name: h.address or f"10.90.0.{next(number)}" for h in cluster.hosts}
    names = {host.name: f"h{i}" for i, host in enumerate(cluster.hosts)}
    links = ["link add br0 type bridge", "link set br0 up"]
    for link in names.values():
        links += [f"netns add {link}", f"link add {link} type veth peer name eth0 netns {link}"]
        links += [f"link set {link} master br0", f"link set {link} up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(links), text=True, check=True)
    spaces = {name: os.open(_NETNS / link, os.O_RDONLY) for name, link in names.items()}
    listening = []
    for host in cluster.hosts:
        enter(spaces[host.name])
        own = [f"address add {addresses[host.name]}/32 dev eth0", "link set lo up"]
        own += ["link set eth0 up", "route add default dev eth0"]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(own), text=True, check=True)
        ruleset = rules(cluster, host, addresses)
        subprocess.run(["nft", "-f", "-"], input=ruleset, text=True, check=True)
        listening += [
            socket.create_server(("0.0.0.0", port), backlog=256) for port in cluster.ports
        ]
    opened = []
    for source in cluster.hosts:
        enter(spaces[source.name])
        for target in cluster.hosts:
            for port in cluster.ports if target is not source else ():
                try:
                    with socket.create_connection((addresses[target.name], port), _TIMEOUT_S):
                        opened.append((source.name, target.name, port))
                except ConnectionRefusedError:
                    pass
    enter(back)
    json.dump(opened, sys.stdout)


if __name__ == "__main__":
    _main()
