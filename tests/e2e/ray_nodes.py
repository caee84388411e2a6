"""A Ray cluster of two nodes, each in a network namespace of its own.

The namespaces are joined by a veth pair, and another pair joins the first node to this machine, on
which the worker runs. The nodes see neither the worker's data folder nor each other's scratch
folder, as on machines that share no disk. Needs root on Linux.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.cached import ROOT, cache
from tests.e2e.conftest import wait_for

REQUIREMENTS = Path(__file__).with_name("ray-requirements.txt")
_START_S = 120.0
_PORT, _CLIENT_PORT = 6379, 10001


def ray_packages() -> Path:
    """Install Ray into a folder of the cache, once. Its dependencies are those of the engine."""
    wanted = REQUIREMENTS.read_text("utf-8")
    with cache("ray") as folder:
        stamp = folder / ".installed"
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--target", str(folder), "-r", str(REQUIREMENTS)], check=True)
            stamp.write_text(wanted, "utf-8")
    return folder


def why_not() -> str | None:
    """Return why this machine cannot have network namespaces, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    if shutil.which("ip") is None:
        return "the program 'ip' (iproute2) is missing"
    name = f"ft-try-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False, text=True)
    if done.returncode:
        return f"network namespaces are not allowed here: {done.stderr.strip()}"
    _ip("netns", "del", name)
    return None


@dataclass
class RayNode:
    """A node of the cluster, running or not."""

    namespace: str
    address: str
    folder: Path
    words: Sequence[str]
    env: dict[str, str]
    hidden: list[Path] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def start(self, *also_hidden: Path, full_disk: bool = False) -> None:
        """Start the node. It sees empty folders in place of the hidden ones."""
        mounts = [f"mount -t tmpfs none '{path}'" for path in (*self.hidden, *also_hidden)]
        if full_disk:
            mounts.append(f"mount -t tmpfs -o size=4k none '{self.scratch}'")
        ray = f"exec '{sys.executable}' -m ray.scripts.scripts start {' '.join(self.words)}"
        self.scratch.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            subprocess.run(
                ["ip", "netns", "exec", self.namespace, "sh", "-ec", "\n".join([*mounts, ray])],
                env=self.env | {"FINETUNED_SCRATCH_DIR": str(self.scratch)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                timeout=_START_S,
                check=True,
            )

    def run(self, words: Sequence[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process on the node."""
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *words],
                env=self.env | env,
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def processes(self, words: str = "") -> list[psutil.Process]:
        """Return the processes of the node whose command line contains `words`."""
        pids = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True
        ).stdout.split()
        found = []
        for pid in map(int, pids):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                is_alive = process.status() != psutil.STATUS_ZOMBIE
                if is_alive and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def ranks(self) -> list[psutil.Process]:
        """Return the training processes of the node."""
        return self.processes("service.training")

    def kill(self) -> None:
        """Kill all processes of the node with `kill -9`, as a power failure does."""
        while running := self.processes():
            for process in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.1)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")


@dataclass
class RayCluster:
    """Two nodes with one CPU each."""

    head: RayNode
    other: RayNode

    @property
    def address(self) -> str:
        """Return the address for clients."""
        return f"ray://{self.head.address}:{_CLIENT_PORT}"

    @property
    def nodes(self) -> tuple[RayNode, RayNode]:
        return self.head, self.other

    def ranks(self) -> list[psutil.Process]:
        return [rank for node in self.nodes for rank in node.ranks()]

    def left_files(self) -> list[Path]:
        """Return what runs have left in the scratch folders."""
        return [path for node in self.nodes for path in node.scratch.iterdir()]

    def is_empty(self) -> bool:
        """Return whether no run has left a process or a file."""
        return not self.ranks() and not self.left_files()


@contextlib.contextmanager
def ray_cluster(hidden: Path) -> Iterator[RayCluster]:
    """A running cluster whose nodes do not see the folder `hidden`."""
    folder = Path(tempfile.mkdtemp(prefix="ftray"))  # short, because it holds sockets
    number = os.getpid() % 200 + 20
    first, second, outside = (f"10.{number}.0.1", f"10.{number}.0.2", f"10.{number}.1.1")
    a, b = (f"ft-{os.getpid()}-{name}" for name in "ab")
    link = f"ft{os.getpid()}"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FINETUNED_", "AWS_"))} | {
        "PYTHONPATH": os.pathsep.join(
            [str(ray_packages()), os.environ.get("PYTHONPATH", ""), str(ROOT)]
        ),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # Ray's default of 15 starves trainers beside other processes
    }
    small = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=100000000"]
    head = RayNode(
        a,
        first,
        folder / "a",
        [
            *("--head", f"--node-ip-address={first}", f"--port={_PORT}"),
            *(f"--ray-client-server-port={_CLIENT_PORT}", "--include-dashboard=false"),
            *(f"--temp-dir={folder / 'ray'}", *small),
        ],
        env,
        [hidden, folder / "b"],
    )
    join = [f"--address={first}:{_PORT}", f"--node-ip-address={second}", *small]
    other = RayNode(b, second, folder / "b", join, env, [hidden, folder / "a"])
    for node in (head, other):
        node.folder.mkdir()
    cluster = RayCluster(head, other)
    try:
        _connect(a, b, link, first, second, outside)
        for node in cluster.nodes:
            node.start()
        yield cluster
    except BaseException:
        for node in cluster.nodes:
            print(node.namespace, node.log[-3000:])
        raise
    finally:
        for node in cluster.nodes:
            with contextlib.suppress(subprocess.CalledProcessError):
                node.kill()
            subprocess.run(["ip", "netns", "del", node.namespace], check=False)
        subprocess.run(["ip", "link", "del", f"{link}w"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _connect(a: str, b: str, link: str, first: str, second: str, outside: str) -> None:
    """Create the namespaces and links: this machine, the first node, the second node."""
    inside = outside[:-1] + "2"
    for namespace in (a, b):
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
    _ip("link", "add", f"{link}a", "type", "veth", "peer", "name", f"{link}b")
    _ip("link", "add", f"{link}w", "type", "veth", "peer", "name", f"{link}i")
    for device, within, address in (
        (f"{link}a", a, f"{first}/24"),
        (f"{link}b", b, f"{second}/24"),
        (f"{link}i", a, f"{inside}/30"),
    ):
        _ip("link", "set", device, "netns", within)
        _ip("-n", within, "addr", "add", address, "dev", device)
        _ip("-n", within, "link", "set", device, "up")
    _ip("addr", "add", f"{outside}/30", "dev", f"{link}w")
    _ip("link", "set", f"{link}w", "up")
    _ip("route", "add", f"{first}/32", "via", inside)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def until_empty(cluster: RayCluster) -> None:
    """Wait until no run has a process or a file on a node."""
    wait_for(cluster.is_empty, 120, "the end of all ranks and of their files")
