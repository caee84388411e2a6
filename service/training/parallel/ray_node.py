"""Runs one rank on a node of a Ray cluster: an actor that starts its process.

The actor and the supervisor exchange only bytes, numbers and names. The process is the same as on
one machine (`service.training` with a `RankSpec`). Nodes share no disk: the supervisor writes the
input files to one actor of each node, and reads checkpoints from the first rank's.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

import psutil

from service import __version__
from service.training.model.base_folder import base_digest
from service.training.parallel.launcher import FOREIGN, RankSpec, start_rank

_READ_BYTES: Final = 1024 * 1024
_LOG_BYTES: Final = 64 * 1024
_PREFIX: Final = "finetuned-ray-"
_LOCK_FILE: Final = ".claimed"
_LOG: Final = "trainer.log"
# Secrets of the service, if the node has any, and Ray's own variables, such as its token.
_NOT_FOR_RANKS: Final = ("FINETUNED_", "AWS_", "OTEL_", "RAY_")
_END_S: Final = 10.0
_MIN_AGE_S: Final = 10  # of a folder that is swept: a younger one may not be locked yet
# Deletes the folder when the actor is gone, which is killed when a job is canceled. The second time
# is for what a rank wrote before it noticed. The process is not a child of the actor, so that Ray
# does not end it.
_CLEANER: Final = 'exec 3<&0; { cat <&3; rm -rf "$0"; sleep 2; rm -rf "$0"; } &'


class RankHost:
    """Actor that runs one rank. Ray calls its methods in several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._meeting: socket.socket | None = None
        self._folder: Path | None = None
        self._lock: int | None = None
        self._cleaner: IO[bytes] | None = None
        self._log: Path | None = None

    def describe(self) -> dict[str, str]:
        """Return the node's id and address, and the versions that must equal the supervisor's."""
        ray: Any = importlib.import_module("ray")
        node: str = ray.get_runtime_context().get_node_id()
        return {"node": node, "address": ray.util.get_node_ip_address()} | versions()

    def digest(self, base_model: str) -> str | None:
        """Return the digest of the base model at this path; None if it is missing."""
        try:
            is_there = Path(base_model, "config.json").is_file()
            return base_digest(Path(base_model)) if is_there else None
        except OSError:
            return None

    def prepare(self) -> str:
        """Create the folder for the files of this node's ranks, and return it."""
        parent = Path(os.environ.get("FINETUNED_SCRATCH_DIR") or tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = os.open(self._folder / _LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._cleaner = _clean_at_end(self._folder)
        return str(self._folder)

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write a part of a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            left, at = memoryview(data), offset
            while left:
                written = os.pwrite(descriptor, left, at)
                left, at = left[written:], at + written
        finally:
            os.close(descriptor)

    def meet(self, address: str) -> int:
        """Open the port at which all ranks meet, and return it. Only rank 0 does."""
        # Only on the address that the other nodes use, whereas torch would listen on all.
        self._meeting = socket.create_server((address, 0), backlog=64)
        port: int = self._meeting.getsockname()[1]
        return port

    def start(self, spec: str, place: str, device: str, address: str, share: int) -> None:
        """Start the process of the rank on its device.

        `address` is this node's own, on which `share` ranks run.
        """
        where = RankSpec.model_validate_json(place)
        spec_file = _folder_of(spec) / f"spec-{where.rank}.json"
        spec_file.write_text(spec, "utf-8")
        if self._meeting is not None:
            where = where.model_copy(update={"listen_fd": self._meeting.fileno()})
        self._log = spec_file.with_name(f"rank-{where.rank}-{_LOG}")
        with self._log.open("wb") as log:
            self._process = start_rank(
                str(spec_file), where, rank_environment(device, address, share), stderr=log
            )
        if self._meeting is not None:
            self._meeting.close()
            self._meeting = None

    def read(self, wait_s: float) -> tuple[bytes, int | None]:
        """Return output of the process, and its exit code once all output was read."""
        process = self._started()
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], wait_s)[0]:
            return b"", None
        chunk = os.read(process.stdout.fileno(), _READ_BYTES)
        return chunk, None if chunk else process.wait()

    def send(self, line: bytes) -> None:
        """Write a command to the process. One that has ended is not an error."""
        process = self._started()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line)
            process.stdin.flush()

    def files(self, folder: str) -> dict[str, int]:
        """Return the name and size of each file of a folder."""
        return {path.name: path.stat().st_size for path in Path(folder).iterdir() if path.is_file()}

    def read_file(self, path: str, offset: int, size: int) -> bytes:
        """Return a part of a file."""
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def discard(self, folder: str) -> None:
        """Delete a folder that the supervisor has read."""
        shutil.rmtree(folder, ignore_errors=True)

    def log_tail(self) -> bytes:
        """Return the end of the process's stderr, which by its own rule has no training text."""
        if self._log is None or not self._log.exists():
            return b""
        return self._log.read_bytes()[-_LOG_BYTES:]

    def end(self) -> None:
        """Kill the process."""
        process = self._process
        if process is None:
            return
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def clear(self) -> None:
        """Delete the node's folder, after all of its ranks have ended."""
        if self._folder is None or self._lock is None or self._cleaner is None:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)
        self._cleaner.close()
        _sweep(self._folder.parent)
        self._folder = self._lock = self._cleaner = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the rank was not started")
        return self._process


def versions() -> dict[str, str]:
    """Return the versions that must be the same on all machines of a run."""
    return {"finetuned-server": __version__, "torch": metadata.version("torch")}


def interface_of(address: str) -> str | None:
    """Return the network interface that has this address."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in addresses):
            return name
    return None


def rank_environment(device: str, address: str, share: int) -> dict[str, str]:
    """Return the environment of a rank. Ray has set its GPU (CUDA_VISIBLE_DEVICES)."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and not name.startswith(_NOT_FOR_RANKS)
    }
    # Without a choice, gloo takes the interface of the host's name, which is often the loopback.
    if interface := interface_of(address):
        env.setdefault("GLOO_SOCKET_IFNAME", interface)
        env.setdefault("NCCL_SOCKET_IFNAME", interface)
    if device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    else:
        # Ray sets it to the number of CPUs that the actor reserves, which is one.
        env["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // share, 1))
    return env | {"PYTHONUNBUFFERED": "1"}


def _folder_of(spec: str) -> Path:
    from service.training.contract.spec import TrainSpec

    return TrainSpec.model_validate_json(spec).output_dir.parent


def _clean_at_end(folder: Path) -> IO[bytes]:
    """Have the folder deleted when the returned pipe closes, at the latest with this process."""
    command = ["sh", "-c", _CLEANER, str(folder)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as shell:
        assert shell.stdin is not None
        return os.fdopen(os.dup(shell.stdin.fileno()), "wb")


def _sweep(parent: Path) -> None:
    """Delete the folders of actors that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / _LOCK_FILE).open("rb") as claim:
            if time.time() - os.fstat(claim.fileno()).st_mtime >= _MIN_AGE_S:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
