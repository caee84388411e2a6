"""A run on several devices: one process each (a rank), started, spoken for and ended together.

The process that the worker started becomes their supervisor and imports no torch. It sends on
what rank 0 says, hands a stop command to all, and ends all when one of them ends in failure.
Ranks die with their supervisor as it dies with the worker: by the kernel's hand (Linux), and
by the end of stdin.
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
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict

from service.training.contract.channel import Channel, StopFlag
from service.training.contract.failures import TrainingFailure
from service.training.contract.protocol import (
    EXIT_FAILED,
    EXIT_STOPPED,
    EXIT_SUCCEEDED,
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
_POLL_S: Final = 0.2
# From the first rank's end to the end of all: time to tell why, since a rank whose peer is gone
# fails as well, with less to say. One that waits for a peer on CUDA does not notice at all.
_GRACE_S: Final = 5.0
_READ_BYTES: Final = 64 * 1024
_FINE: Final = (EXIT_SUCCEEDED, EXIT_STOPPED)
# Libraries that find these would share out the batches once more.
_FOREIGN: Final = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


class RankPlace(BaseModel):
    """What a rank is told as its second argument: its number, and where all meet: a port of
    the loopback device, on which rank 0 inherits the listening socket `listen_fd`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    port: int
    listen_fd: int | None = None


def supervise(spec: TrainSpec, spec_file: str, channel: Channel, flag: StopFlag) -> int:
    """Runs the ranks of `spec` and returns the exit code. Dies by the signal that killed one
    of them, so that the parent sees what it would see of a run in one process.

    Raises `TrainingFailure` where they cannot be started.
    """
    ranks: list[_Rank] = []
    try:
        _start(ranks, spec, spec_file)
        _watch(ranks, channel, flag)
    finally:
        for rank in ranks:
            rank.end()
    for rank in ranks:
        while rank.read(channel, flag):
            pass
    verdict = _judge(ranks)
    flag.finish()
    if isinstance(verdict, Failed):
        channel.send(verdict)
        return EXIT_FAILED
    if verdict < 0:
        log.error("A rank was killed by %s.", signal.Signals(-verdict).name)
        _die_by(-verdict)
    return verdict


@dataclass
class _Rank:
    index: int
    process: subprocess.Popen[bytes]
    code: int | None = None  # its own end, not the one that `end` brings
    failed: Failed | None = None
    _pending: bytes = field(default=b"", repr=False)

    @property
    def stdout(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read(self, channel: Channel, flag: StopFlag) -> bool:
        """Takes what lies in the pipe, or waits for it. Returns whether there may be more."""
        chunk = os.read(self.stdout, _READ_BYTES)
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            try:
                self._hear(parse_message(line), channel, flag)
            except ProtocolError as error:
                log.warning("Rank %d: %s", self.index, error)
        return bool(chunk)

    def _hear(self, message: Message, channel: Channel, flag: StopFlag) -> None:
        if isinstance(message, Failed):
            self.failed = message
        elif self.index == 0:
            if isinstance(message, Succeeded | Stopped):
                flag.finish()
            channel.send(message)

    def tell(self, line: bytes) -> None:
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
        # Bound here: no other process can take the port in between, and it is of no other
        # device than loopback, where torch would listen on all.
        meeting.bind((LOOPBACK, 0))
        meeting.listen(spec.gpus)
        port = meeting.getsockname()[1]
        for index in range(spec.gpus):
            listen_fd = meeting.fileno() if index == 0 else None
            place = RankPlace(rank=index, port=port, listen_fd=listen_fd)
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "service.training", spec_file, place.model_dump_json()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment(index, spec.gpus),
                    pass_fds=() if listen_fd is None else (listen_fd,),
                )
            except OSError as error:
                raise TrainingFailure(
                    "internal_error",
                    f"Process {index + 1} of {spec.gpus} cannot be started: {error.strerror}.",
                ) from error
            ranks.append(_Rank(index, process))


def environment(index: int, count: int) -> dict[str, str]:
    """That of a rank: ours, with one device of those that we may use, for it alone."""
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    visible = [d for d in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if d.strip()]
    if "CUDA_VISIBLE_DEVICES" not in env:
        visible = [str(device) for device in range(count)]
    env["CUDA_VISIBLE_DEVICES"] = visible[index] if index < len(visible) else ""
    env.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // count, 1)))
    if sys.platform == "linux":
        env |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return env


def _watch(ranks: list[_Rank], channel: Channel, flag: StopFlag) -> None:
    """Returns when rank 0 is done or any has failed, and the others had time to end too."""
    has_told = False
    give_up_at = float("inf")
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(rank.stdout, selectors.EVENT_READ, rank)
        while _are_running(ranks) and time.monotonic() < give_up_at:
            if flag.is_set() and not has_told:
                has_told = True
                for rank in ranks:
                    rank.tell(encode(StopCommand()))
            for key, _ in selector.select(_POLL_S):
                if not key.data.read(channel, flag):
                    selector.unregister(key.fileobj)
            is_over = ranks[0].code is not None or any(
                rank.code not in (None, *_FINE) for rank in ranks
            )
            if is_over:
                give_up_at = min(give_up_at, time.monotonic() + _GRACE_S)


def _are_running(ranks: list[_Rank]) -> bool:
    """Asks each; whether any still runs."""
    ended = [rank.has_ended() for rank in ranks]
    return not all(ended)


def _judge(ranks: list[_Rank]) -> Failed | int:
    """How the run ended: the code of rank 0 where that is fine, else the best known cause: a
    failure that was told and understood, the signal that killed one (negative), any other."""
    if (code := ranks[0].code) is not None and code in _FINE:
        return code
    told = [rank.failed for rank in ranks if rank.failed]
    if known := [failed for failed in told if failed.code != "internal_error"]:
        return known[0]
    if killed := [rank.code for rank in ranks if rank.code is not None and rank.code < 0]:
        return killed[0]
    if told:
        return told[0]
    codes = ", ".join(f"{rank.index}: {rank.code}" for rank in ranks if rank.code is not None)
    return Failed(
        code="internal_error",
        message=f"Processes of the run ended without a word (rank and exit code: {codes}).",
    )


def _die_by(number: int) -> None:
    with contextlib.suppress(OSError):  # SIGKILL has no handler
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
