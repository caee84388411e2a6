"""Runs pods without a cluster: each container's process as the manifests define it.

Does the work of a kubelet: variables from ConfigMaps, Secrets and fields, `$(NAME)` in values,
volumes, init containers, probes, SIGTERM. What would need namespaces is replaced by rewriting text:
a mount path becomes a folder, a Service name a loopback address, and a container port a free port.
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.standalone.services import free_port
from tests.helm.support import NAMESPACE, RELEASE, Manifest, Rendered

DOMAIN = f"{NAMESPACE}.svc.cluster.local"
# Makes Python readable for others if it lies in a home, and runs a process as a user of group 0
# without a name, whose volumes are of another group, as OpenShift does.
_AS_USER = """
set -eu
python=$1 home=$2 user=$3
shift 3
if [ "$home" != / ]; then
    mount --make-rprivate /
    mount --bind "$python" /mnt
    mount -t tmpfs -o mode=0755 tmpfs "$home"
    mkdir -p "$python"
    mount --bind /mnt "$python"
fi
exec setpriv --reuid="$user" --regid=0 --groups="$user" --no-new-privs --bounding-set=-all \\
    --inh-caps=-all -- "$@"
"""
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def as_user(user: int) -> list[str]:
    """Return the start of a command that runs the rest of it as a user without a name."""
    python = Path(sys.base_prefix)
    closed = [p for p in python.parents if not p.stat().st_mode & 0o001]
    home = str(closed[-1] if closed else "/")
    return ["unshare", "--mount", "sh", "-c", _AS_USER, "sh", str(python), home, str(user)]


def wait_for(check: Callable[[], object], timeout_s: float, what: str) -> None:
    """Wait until `check` returns a true value."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.2)


@dataclass
class Pod:
    """A pod's container as a process."""

    name: str
    spec: Manifest
    folder: Path
    argv: list[str]
    env: dict[str, str]
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Log of the container."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the container in a folder that is not one of its volumes."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.env, cwd=root, stdout=log, stderr=log, start_new_session=True
            )

    def passes(self, probe: str) -> bool:
        """Return whether an HTTP or TCP probe of the container succeeds."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {self.output()}"
        spec = self.spec["containers"][0][probe]
        if "httpGet" not in spec:
            return True
        port = self.ports[spec["httpGet"]["port"]]
        scheme = spec["httpGet"].get("scheme", "HTTP").lower()
        url = f"{scheme}://127.0.0.1:{port}{spec['httpGet']['path']}"
        unchecked = ssl._create_unverified_context()  # as a kubelet
        timeout_s = spec.get("timeoutSeconds", 1)
        try:
            with urllib.request.urlopen(url, timeout=timeout_s, context=unchecked) as answer:
                return 200 <= answer.status < 400
        except (urllib.error.URLError, OSError):
            return False

    def until_ready(self) -> None:
        """Wait for as long as the startup probe allows."""
        probe = self.spec["containers"][0]["startupProbe"]
        allowed_s = probe["periodSeconds"] * probe["failureThreshold"]
        wait_for(lambda: self.passes("startupProbe"), allowed_s, f"the start of {self.name}")
        wait_for(lambda: self.passes("readinessProbe"), 60, f"readiness of {self.name}")

    def run(self, timeout_s: float) -> int:
        """Run the container to completion, and return its exit status."""
        self.start()
        assert self.process is not None
        return self.process.wait(timeout=timeout_s)

    def stop(self) -> int:
        """Stop the container like a kubelet: SIGTERM, then fail after the grace period."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=self.spec.get("terminationGracePeriodSeconds", 30))

    def kill(self) -> None:
        """Kill the processes that are left."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def output(self) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-40:])


@dataclass
class Node:
    """Creates pods from manifests, in a folder."""

    rendered: Rendered
    folder: Path
    entrypoint: list[str]
    path: str
    """PATH in the containers."""
    images: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    """What lies where in images: `{"/model": folder}` by the image's name."""
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """Files of the Secrets of the operator."""
    user: int | None = None
    """User and fsGroup of all pods, if another than this process's."""
    _ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def pod(self, kind: str, name: str) -> Pod:
        """Create the pod of an object, after running its init containers."""
        spec = self.rendered.pod(kind, name)
        folder = self.folder / name
        folder.mkdir(parents=True)
        volumes = {v["name"]: self._volume(v, folder) for v in spec.get("volumes", [])}
        for claim in self.rendered.of_kind(kind)[name]["spec"].get("volumeClaimTemplates", []):
            volumes[claim["metadata"]["name"]] = self._folder(folder / "claim")
        self._give(volumes)
        for container in spec.get("initContainers", []):
            self._initialise(container, volumes)
        container = spec["containers"][0]
        ports = {
            p["name"]: self._port(name, p["containerPort"]) for p in container.get("ports", [])
        }
        change = self._changes(name, container, volumes)
        self._write_configs(spec, volumes, change)
        self._give(volumes)
        argv = [*(as_user(self.user) if self.user else ()), *self._argv(container, change)]
        return Pod(name, spec, folder, argv, self._env(name, container, change), ports)

    def _give(self, volumes: Mapping[str, Path]) -> None:
        """Make volumes accessible to the group of all pods only, as a kubelet does for fsGroup."""
        for path in volumes.values() if self.user else ():
            for each in (path, *path.rglob("*")):
                os.chown(each, -1, self.user or -1)
                each.chmod(0o2770 if each.is_dir() else 0o660)

    def _argv(self, container: Manifest, change: Callable[[str], str]) -> list[str]:
        words = [*container.get("command", ()), *container.get("args", ())]
        changed = [change(word) for word in words]
        if "command" in container:
            return changed
        # The image's own entrypoint, known only for our images. Its path is this
        # machine's, which may lie below a mount's.
        assert container["image"].split(":")[0].split("@")[0].startswith("finetuned-")
        return [*self.entrypoint, *changed]

    def _env(self, name: str, container: Manifest, change: Callable[[str], str]) -> dict[str, str]:
        """Return the complete environment. Only PATH comes from this machine."""
        env: dict[str, str] = {}
        for source in container.get("envFrom", []):
            config = source["configMapRef"]["name"].removeprefix(f"{RELEASE}-")
            env |= self.rendered.one("ConfigMap", config)["data"]
        for variable in container.get("env", []):
            value = variable.get("value")
            if value is None:
                value = self._from(variable["valueFrom"], name)
            env[variable["name"]] = _REFERENCE.sub(lambda m: env[m[1]], value)
        own = {str(p["containerPort"]) for p in container.get("ports", [])}
        for key, value in env.items():
            if key.endswith("_PORT") and value in own:
                env[key] = str(self._port(name, int(value)))
        return {key: change(value) for key, value in env.items()} | {
            "PATH": self.path,
            "LOGNAME": "finetuned",  # of our images
        }

    def _from(self, source: Manifest, name: str) -> str:
        if "fieldRef" in source:
            assert source["fieldRef"]["fieldPath"] == "metadata.name"
            return f"{name}-0"
        wanted = source["secretKeyRef"]
        assert wanted["name"] == RELEASE
        return b64decode(self.rendered.of_kind("Secret")[RELEASE]["data"][wanted["key"]]).decode()

    def _changes(
        self, name: str, container: Manifest, volumes: Mapping[str, Path]
    ) -> Callable[[str], str]:
        """Return the replacements in texts of this container."""
        places = {m["mountPath"]: volumes[m["name"]] for m in container.get("volumeMounts", [])}
        places |= self.images.get(container["image"], {})
        words = {f"port {p['containerPort']}": f"port {self._port(name, p['containerPort'])}"
                 for p in container.get("ports", [])}  # fmt: skip
        for service in self.rendered.of_kind("Service").values():
            words |= self._addresses(service)
        pattern = re.compile(
            "|".join(
                [*(re.escape(w) + r"(?!\d)" for w in sorted(words, key=len, reverse=True))]
                + [
                    rf"(?<![\w.-]){re.escape(place)}(?![\w.-])"
                    for place in sorted(places, key=len, reverse=True)
                ]
            )
        )
        table = words | {place: str(folder) for place, folder in places.items()}
        return lambda text: pattern.sub(lambda m: table[m[0]], text)

    def _addresses(self, service: Manifest) -> dict[str, str]:
        """Return the addresses of a Service and of the pod behind it."""
        name, spec = service["metadata"]["name"], service["spec"]
        pod = name.removeprefix(f"{RELEASE}-").removesuffix("-metrics")
        (port,) = spec["ports"]
        kind = "StatefulSet" if pod in self.rendered.of_kind("StatefulSet") else "Deployment"
        (target,) = [
            p["containerPort"]
            for p in self.rendered.container(kind, pod)["ports"]
            if p["name"] == port["targetPort"]
        ]
        # A headless Service resolves to the pod's own port, whatever port it names.
        port_number = target if spec.get("clusterIP") == "None" else port["port"]
        return {f"{name}.{DOMAIN}:{port_number}": f"127.0.0.1:{self._port(pod, target)}"}

    def _port(self, pod: str, port: int) -> int:
        return self._ports.setdefault((pod, port), free_port())

    def _volume(self, volume: Manifest, folder: Path) -> Path:
        if "persistentVolumeClaim" in volume:
            return self._folder(self.folder / volume["persistentVolumeClaim"]["claimName"])
        assert {"emptyDir", "configMap", "secret"} & set(volume), f"no such volume here: {volume}"
        return self._folder(folder / f"volume-{volume['name']}")

    def _write_configs(
        self, spec: Manifest, volumes: Mapping[str, Path], change: Callable[[str], str]
    ) -> None:
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                config = volume["configMap"]["name"].removeprefix(f"{RELEASE}-")
                for file, text in self.rendered.one("ConfigMap", config)["data"].items():
                    (volumes[volume["name"]] / file).write_text(change(text), "utf-8")
            elif "secret" in volume:
                name = volume["secret"]["secretName"]
                files = self.secrets.get(name) or {
                    file: b64decode(data)
                    for file, data in self.rendered.of_kind("Secret")[
                        name.removeprefix(f"{RELEASE}-")
                    ]["data"].items()
                }
                for file, content in files.items():
                    (volumes[volume["name"]] / file).write_bytes(content)

    def _initialise(self, container: Manifest, volumes: Mapping[str, Path]) -> None:
        change = self._changes("init", container, volumes)
        argv = [change(word) for word in (*container["command"], *container["args"])]
        argv = [*(as_user(self.user) if self.user else ()), *argv]
        subprocess.run(argv, env={"PATH": self.path}, check=True, timeout=120)

    @staticmethod
    def _folder(path: Path) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        return path
