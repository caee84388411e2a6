"""Launches and supervises a run on several devices, with one process (rank) per device.

The process that the worker started becomes the supervisor and does not import torch. It forwards
the messages of rank 0, passes commands to all ranks, and ends all of them when one fails.
Ranks die with their supervisor just as it dies with the worker: through the kernel (on Linux) and
through the end of file on stdin.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Final, Literal

from pydantic import BaseModel, ConfigDict

from service.training.contract.child_process import Channel, Inbox, StopFlag, Traffic
from service.training.contract.failures import TrainingFailure
from service.training.contract.protocol import (
    EXIT_FAILED,
    EXIT_STOPPED,
    EXIT_SUCCEEDED,
    Command,
    Failed,
    Message,
    ProtocolError,
    StopCommand,
    Stopped,
    Succeeded,
    encode,
    parse_message,
)
from service.training.contract.spec import TrainSpec

log: Final = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
FOREIGN: Final = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""Libraries that see these variables would shard the batches a second time."""
_POLL_S: Final = 0.2
# Time from the first rank's exit until the rest are killed, so that the others can report the
# cause. A rank whose peer is gone fails too, with a less useful message, and one that waits for a
# peer on CUDA never notices.
_GRACE_S: Final = 5.0
_READ_BYTES: Final = 64 * 1024
_EXPECTED_CODES: Final = (EXIT_SUCCEEDED, EXIT_STOPPED)


class RankSpec(BaseModel):
    """Second argument of a rank: its number and the meeting point of all ranks.

    The meeting point is a port on rank 0's machine, and on its loopback device if all ranks run
    there. Rank 0 inherits its listening socket as `listen_fd`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    host: str = LOOPBACK
    port: int
    listen_fd: int | None = None


def supervise(
    spec: TrainSpec,
    spec_file: str,
    channel: Channel,
    flag: StopFlag,
    traffic: Traffic,
    inbox: Inbox,
) -> int:
    """Run the ranks of `spec` and return the exit code.

    If a signal killed a rank, this process dies by the same signal, so that the parent sees what it
    would see of a single-process run. Raises `TrainingFailure` if the ranks cannot be started.
    """
    ranks: list[_Rank] = []
    try:
        _start(ranks, spec, spec_file)
        _watch(ranks, channel, _Commands(flag, traffic, inbox))
    finally:
        for rank in ranks:
            rank.end()
    for rank in ranks:
        while rank.read(channel, flag):
            pass
    verdict = judge(ranks)
    flag.finish()
    if isinstance(verdict, Failed):
        channel.send(verdict)
        return EXIT_FAILED
    if verdict < 0:
        die_of_signal(-verdict)
    return verdict


@dataclass
class RankOutput:
    """The outcome of one rank: its failure, and its exit code if it ended on its own."""

    index: int
    code: int | None = None
    failed: Failed | None = None
    _pending: bytes = field(default=b"", repr=False)

    def take(self, chunk: bytes, deliver: Callable[[Message], None]) -> None:
        """Take a part of the rank's stdout. Complete messages of rank 0 are delivered."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            try:
                message = parse_message(line)
            except ProtocolError as error:
                log.warning("Rank %d: %s", self.index, error)
                continue
            if isinstance(message, Failed):
                self.failed = message
            elif self.index == 0:
                deliver(message)


@dataclass
class _Rank(RankOutput):
    process: subprocess.Popen[bytes] = field(kw_only=True)

    @property
    def stdout(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read(self, channel: Channel, flag: StopFlag) -> bool:
        """Read what is in the pipe, or wait for data. Returns whether more may follow."""
        chunk = os.read(self.stdout, _READ_BYTES)

        def deliver(message: Message) -> None:
            if isinstance(message, Succeeded | Stopped):
                flag.finish()
            channel.send(message)

        self.take(chunk, deliver)
        return bool(chunk)

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def has_ended(self) -> bool:
        self.code = self.process.poll()
        return self.code is not None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def _start(ranks: list[_Rank], spec: TrainSpec, spec_file: str) -> None:
    with socket.socket() as meeting:
        # Bind here, so that no other process can take the port in the meantime, and only to
        # loopback, whereas torch would listen on all interfaces.
        meeting.bind((LOOPBACK, 0))
        meeting.listen(spec.gpus)
        port = meeting.getsockname()[1]
        for index in range(spec.gpus):
            listen_fd = meeting.fileno() if index == 0 else None
            place = RankSpec(rank=index, port=port, listen_fd=listen_fd)
            try:
                process = start_rank(spec_file, place, environment(index, spec.gpus))
            except OSError as error:
                raise TrainingFailure(
                    "internal_error",
                    f"Process {index + 1} of {spec.gpus} cannot be started: {error.strerror}.",
                ) from error
            ranks.append(_Rank(index, process=process))


def start_rank(
    spec_file: str,
    place: RankSpec,
    environment: dict[str, str],
    stderr: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start the process of one rank. Raises OSError."""
    return subprocess.Popen(
        [sys.executable, "-m", "service.training", spec_file, place.model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        pass_fds=() if place.listen_fd is None else (place.listen_fd,),
    )


def environment(index: int, count: int) -> dict[str, str]:
    """Return the environment of a rank: a copy of this process's, with one visible device."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    visible = [d for d in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if d.strip()]
    if "CUDA_VISIBLE_DEVICES" not in env:
        visible = [str(device) for device in range(count)]
    env["CUDA_VISIBLE_DEVICES"] = visible[index] if index < len(visible) else ""
    env.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // count, 1)))
    if sys.platform == "linux":
        env |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return env


class _Commands:
    """The commands to this process, which it passes on to the ranks."""

    def __init__(self, flag: StopFlag, traffic: Traffic, inbox: Inbox) -> None:
        self.flag = flag
        self._traffic = traffic
        self._inbox = inbox
        self._has_sent_stop = False
        self._reports = 0
        self._samples = 0

    def new(self) -> list[bytes]:
        """Return the commands that have not been passed on yet."""
        lines: list[Command] = []
        if self.flag.is_set() and not self._has_sent_stop:
            self._has_sent_stop = True
            lines.append(StopCommand())
        if self._traffic.count != self._reports and (newest := self._traffic.newest):
            self._reports = self._traffic.count
            lines.append(newest)
        if self._inbox.count != self._samples:
            self._samples = self._inbox.count
            lines += self._inbox.newest
        return [encode(line) for line in lines]


def _watch(ranks: list[_Rank], channel: Channel, commands: _Commands) -> None:
    """Return once rank 0 is done or any rank has failed, and the others had time to exit too."""
    give_up_at = float("inf")
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(rank.stdout, selectors.EVENT_READ, rank)
        while _are_running(ranks) and time.monotonic() < give_up_at:
            for line in commands.new():
                for rank in ranks:
                    rank.send(line)
            for key, _ in selector.select(_POLL_S):
                if not key.data.read(channel, commands.flag):
                    selector.unregister(key.fileobj)
            is_over = ranks[0].code is not None or any(
                rank.code not in (None, *_EXPECTED_CODES) for rank in ranks
            )
            if is_over:
                give_up_at = min(give_up_at, time.monotonic() + _GRACE_S)


def _are_running(ranks: list[_Rank]) -> bool:
    """Poll every rank and return whether any is still running."""
    ended = [rank.has_ended() for rank in ranks]
    return not all(ended)


def judge(ranks: Sequence[RankOutput]) -> Failed | int:
    """Return the outcome of the run: rank 0's exit code if it succeeded, else the best known cause.

    Causes in order of preference: a reported failure with a known code, the signal that killed a
    rank (as a negative number), an unknown failure, and that a rank lost the others, which follows
    from any of them.
    """
    if (code := ranks[0].code) is not None and code in _EXPECTED_CODES:
        return code
    failures = [rank.failed for rank in ranks if rank.failed]
    unclear = ("internal_error", "interrupted")
    if known := [failed for failed in failures if failed.code not in unclear]:
        return known[0]
    if killed := [rank.code for rank in ranks if rank.code is not None and rank.code < 0]:
        return killed[0]
    if failures:
        return min(failures, key=lambda failed: unclear.index(failed.code))
    codes = ", ".join(f"{rank.index}: {rank.code}" for rank in ranks if rank.code is not None)
    return Failed(
        code="internal_error",
        message=f"Processes of the run ended without an error message (rank and exit code: "
        f"{codes}).",
    )


def die_of_signal(number: int) -> None:
    """End this process by the signal that killed a rank, so that the parent sees the same."""
    log.error("A rank was killed by %s.", signal.Signals(number).name)
    with contextlib.suppress(OSError):  # SIGKILL has no handler
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


class Cluster(BaseModel):
    """Second argument of a trainer whose ranks run on a Ray cluster.

    `address` is what `ray.init` takes: `ray://HOST:10001`, or `HOST:6379` on a machine that is a
    node of the cluster. Each rank takes one GPU of the cluster, or one CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    device: Literal["cuda", "cpu"]
