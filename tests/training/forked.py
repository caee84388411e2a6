"""Trainers as forks of a process that has imported the libraries.

Importing torch, transformers and TRL takes a trainer 4 to 7 s, which most tests do not need.
multiprocessing's fork server imports them once per pytest process. A fork then starts in about 0.1
s and runs the same `main` on its own pipes, with the same messages and exit codes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import psutil

from service.core.child import Child

Prepare = Callable[[], None]

_CONTEXT: Any = multiprocessing.get_context("forkserver")
# Importing this module preloads the fork server, and nothing else.
_CONTEXT.set_forkserver_preload(["tests.training.preload"])


class ForkedTrainer:
    """A forked trainer, with the part of the `subprocess.Popen` interface that tests use."""

    started = 0

    def __init__(self, spec_file: Path, log: Path, prepare: Prepare | None = None) -> None:
        """Start a trainer, in which `prepare` runs first."""
        ForkedTrainer.started += 1
        own_stdin, stdin = os.pipe()
        stdout, own_stdout = os.pipe()
        stderr = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        theirs = (own_stdin, own_stdout, stderr)
        self._process = _CONTEXT.Process(
            target=_train,
            args=(str(spec_file), [DupFd(descriptor) for descriptor in theirs], prepare),
        )
        self._process.start()
        for descriptor in theirs:
            os.close(descriptor)
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb")

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float | None) -> int:
        self._process.join(timeout_s)
        code = self._process.exitcode
        assert code is not None, f"the trainer is still running after {timeout_s} s"
        return int(code)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


class ForkedChild:
    """A forked trainer, with the part of asyncio's `Process` that a worker's `Child` uses."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader

    def __init__(self, trainer: ForkedTrainer) -> None:
        self._trainer = trainer
        self.pid = trainer.pid

    prepare: ClassVar[Prepare | None] = None

    @classmethod
    async def start(cls, argv: Sequence[str], *, env: Mapping[str, str], stderr: Path) -> Child:
        """Start a trainer as `Child.start` does. The fork keeps the server's environment."""
        *command, spec_file = argv
        assert command == [sys.executable, "-m", "service.training"]
        trainer = await asyncio.to_thread(ForkedTrainer, Path(spec_file), stderr, cls.prepare)
        process = cls(trainer)
        await process._connect()
        return Child(process)  # type: ignore[arg-type]

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self.stdout = asyncio.StreamReader()
        reader = asyncio.StreamReaderProtocol(self.stdout)
        await loop.connect_read_pipe(lambda: reader, self._trainer.stdout)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, self._trainer.stdin
        )
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)

    async def wait(self) -> int:
        code = await asyncio.to_thread(self._trainer.wait, None)
        self.stdin.close()
        return code


class ForkedRank:
    """A rank as a fork of its supervisor, with the part of `Popen` that the launcher uses."""

    def __init__(self, spec_file: str, place: Any, environment: dict[str, str]) -> None:
        own_stdin, stdin = os.pipe()
        stdout, own_stdout = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.clear()
            os.environ.update(environment)
            os.close(stdin)
            os.close(stdout)
            _run([spec_file, place.model_dump_json()], [own_stdin, own_stdout])
        os.close(own_stdin)
        os.close(own_stdout)
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb")

    def poll(self) -> int | None:
        return self.wait(os.WNOHANG)

    def wait(self, options: int = 0) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def loaded_bytes() -> int:
    """Memory of a forked trainer that has done nothing yet."""
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_send_resident_bytes, args=(sender,))
    process.start()
    found = int(receiver.recv())
    process.join()
    return found


def _send_resident_bytes(sender: Connection) -> None:
    sender.send(psutil.Process().memory_info().rss)


def _train(spec_file: str, descriptors: list[Any], prepare: Prepare | None) -> None:
    """Run a trainer in this fork of the server. Its ranks, if any, are forks too."""
    # multiprocessing ignores an ImportError of a preloaded module.
    assert "torch" in sys.modules, "The fork server did not import tests/training/preload.py."
    from service.training.parallel import launcher

    launcher.start_rank = ForkedRank  # type: ignore[assignment]
    if prepare is not None:
        prepare()
    os.setsid()  # a worker kills the group
    _run([spec_file], [descriptor.detach() for descriptor in descriptors])


def compute_in(dtype: str) -> None:
    """Compute with a dtype other than the CPU's own, in this trainer."""
    import torch

    from service.training.loop import run
    from service.training.model.models import ComputeDevice

    run.choose_device = lambda *_: ComputeDevice("cpu", getattr(torch, dtype))  # type: ignore[attr-defined]


def refuse_parts_above(positions: int) -> None:
    """Let the allocator fail for larger parts of a batch, in this trainer.

    With a limit of memory, it would depend on the processor which parts fit: its libraries choose
    algorithms that need more or less.
    """
    import torch
    from transformers import Trainer

    from service.training.data.batches import extent

    step = Trainer.training_step

    def training_step(self: Trainer, model: Any, part: dict[str, Any], **more: Any) -> Any:
        if extent(part)[0] > positions:
            torch.empty(2**50, dtype=torch.uint8)  # more than a process can address
        return step(self, model, part, **more)

    Trainer.training_step = training_step


def _run(arguments: list[str], descriptors: list[int]) -> NoReturn:
    """Run the trainer's `main` on these file descriptors, and exit with its code."""
    for wanted, descriptor in enumerate(descriptors):
        os.dup2(descriptor, wanted)
    from service.training.__main__ import main

    code = main(arguments)
    sys.stderr.flush()
    os._exit(code)


def in_fork(work: Callable[..., None], *arguments: Any, log: Path) -> None:
    """Run a function in a fork that has the trainer's libraries; what it prints goes to `log`."""
    stderr = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    process = _CONTEXT.Process(target=_work, args=(work, arguments, DupFd(stderr)))
    process.start()
    os.close(stderr)
    process.join()
    assert process.exitcode == 0, log.read_text()


def _work(work: Callable[..., None], arguments: tuple[Any, ...], log: Any) -> NoReturn:
    descriptor = log.detach()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = 0
    try:
        work(*arguments)
    except BaseException:  # noqa: BLE001  # end of the process: reported in its log
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)
