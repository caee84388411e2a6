"""Runs a built image as a cluster does: process 1, not root, read-only.

Uses kernel tools instead of a container daemon: `unshare` for processes and mounts, read-only bind
mounts, `chroot`, and `setpriv` for a user without capabilities. User, command, environment, signal
and health check come from the image. The network is the machine's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from tests.image.build import buildah

_DEVICES = ("null", "zero", "full", "random", "urandom")
# $VIEW is where the image is mounted, read-only; $MOUNTS has lines "outside inside".
_ENTER = f"""
mount --make-rprivate /
mount --bind "$IMAGE" "$VIEW"
mount -o remount,bind,ro "$VIEW"
mount -t proc proc "$VIEW/proc"
mount --rbind /sys "$VIEW/sys"
mount --make-rslave "$VIEW/sys"
mount -t tmpfs -o mode=1777 tmpfs "$VIEW/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$VIEW/dev"
for device in {" ".join(_DEVICES)}; do
    touch "$VIEW/dev/$device"
    mount --bind "/dev/$device" "$VIEW/dev/$device"
done
ln -s /proc/self/fd "$VIEW/dev/fd"
mkdir -m 1777 "$VIEW/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$VIEW/dev/shm"
mount --bind /etc/hosts "$VIEW/etc/hosts"
mount --bind /etc/resolv.conf "$VIEW/etc/resolv.conf"
printf '%s' "$MOUNTS" | while read -r outside inside; do
    mount --bind "$outside" "$VIEW$inside"
done
unset IMAGE MOUNTS
cd /
exec chroot "$VIEW" "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image with its files mounted."""

    name: str
    root: Path
    config: Mapping[str, Any]

    @classmethod
    def of(cls, name: str) -> Image:
        """Mount an image, or return it if it is already mounted."""
        container = buildah("from", "--pull=never", name)
        root = Path(buildah("mount", container))
        described = json.loads(buildah("inspect", "--type", "image", name))
        return cls(name, root, described["Docker"]["config"])

    def size_bytes(self) -> int:
        """Size of all files, counting each inode once."""
        seen: dict[tuple[int, int], int] = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                info = (Path(folder) / name).lstat()
                seen[info.st_dev, info.st_ino] = info.st_size
        return sum(seen.values())


@dataclass
class Container:
    """A running image."""

    image: Image
    work: Path
    arguments: Sequence[str] = ()
    """In place of the image's own command."""
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[Path, str] = field(default_factory=dict)
    """Folder of this machine → where the container sees it."""
    user: str = ""
    """UID:GID in place of the image's own user."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.work / f"{self.image.name.rpartition('/')[2].replace(':', '-')}.log"

    def __enter__(self) -> Self:
        view = self.work / f"{self.log.stem}-root"
        view.mkdir(parents=True, exist_ok=True)
        for inside in self.mounts.values():  # as every runtime does
            (self.image.root / inside[1:]).mkdir(parents=True, exist_ok=True)
        config = self.image.config
        command = [*config["Entrypoint"], *(self.arguments or config["Cmd"])]
        mounts = "".join(f"{outside} {inside}\n" for outside, inside in self.mounts.items())
        env = {"IMAGE": str(self.image.root), "VIEW": str(view), "MOUNTS": mounts}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                    *("sh", "-euc", _ENTER, "sh", *self._as_user(), *command),
                ],
                env=self._environment() | env,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            psutil.Process(self.pid).kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Process id, on this machine, of the container's process 1."""
        assert self._process is not None
        children: list[psutil.Process] = []
        while not children:
            assert self._process.poll() is None, self.tail()
            children = psutil.Process(self._process.pid).children()
            time.sleep(0.01)
        return children[0].pid

    def processes(self) -> list[psutil.Process]:
        """Return all processes in the container, including zombies."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def is_healthy(self) -> bool:
        """Run the image's health check once inside the container."""
        kind, *check = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*check).returncode == 0

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside the container as the container's user."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd=/"]
        return subprocess.run(
            [*enter, *self._as_user(), *command],
            check=False,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def stop(self, timeout_s: float) -> int:
        """Send the image's stop signal to process 1, and return the exit code."""
        assert self._process is not None
        os.kill(self.pid, signal.Signals[self.image.config["StopSignal"]])
        return self._process.wait(timeout_s)

    def has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def tail(self) -> str:
        """Return the last lines of the output."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-30:]
        return f"=== {self.image.name}\n" + "\n".join(lines)

    def _as_user(self) -> list[str]:
        user, _, group = (self.user or self.image.config["User"]).partition(":")
        return [
            *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        ]

    def _environment(self) -> dict[str, str]:
        own = dict(line.split("=", 1) for line in self.image.config["Env"])
        return own | dict(self.env)
