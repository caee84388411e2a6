"""Lets the processes (ranks) of one run communicate, and shards the base model (FSDP).

Each rank computes its share of a batch, and the gradients of the adapter are summed over all ranks
before each optimizer step. All ranks therefore hold the same adapter at every step, and each can
make shared decisions on its own, provided that it uses figures that were summed as well. All ranks
must call these functions in the same order.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.nn import Parameter
from transformers.modeling_layers import GradientCheckpointingLayer

from service.training.contract.child_process import StopFlag
from service.training.contract.failures import TrainingFailure
from service.training.model.models import ComputeDevice
from service.training.parallel.launcher import RankSpec


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among the ranks of its run.

    By default it is the only rank and communicates with no other process. `waiting` is the context
    in which this rank waits for the others.
    """

    index: int = 0
    size: int = 1
    device: str = "cpu"
    store: Any = None
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the output that is written only once."""
        return self.index == 0

    def totals(self, values: Sequence[float]) -> list[float]:
        """Sum each value over all ranks."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        with self.waiting():
            dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def total(self, value: Tensor) -> Tensor:
        """Sum a tensor on the device over all ranks, without waiting for the device."""
        if self.size > 1:
            with self.waiting():
                dist.all_reduce(value)
        return value

    def least(self, value: int) -> int:
        """Return the lowest value of all ranks."""
        if self.size == 1:
            return value
        lowest = torch.tensor([value], dtype=torch.int64, device=self.device)
        with self.waiting():
            dist.all_reduce(lowest, op=dist.ReduceOp.MIN)
        return int(lowest.item())

    @contextmanager
    def load_in_turn(self) -> Iterator[None]:
        """Wait until the lower ranks of this machine have left this context.

        Each loads the whole base model before it keeps its share. The machine's memory needs to
        hold one copy then, and all cores work on it.
        """
        if self.store is None:
            yield
            return
        hosts = [self.store.get(f"host/{index}") for index in range(self.index + 1)]
        before = [index for index in range(self.index) if hosts[index] == hosts[self.index]]
        self.store.wait([f"loaded/{index}" for index in before[-1:]])
        threads = torch.get_num_threads()
        torch.set_num_threads(os.cpu_count() or threads)
        yield
        torch.set_num_threads(threads)
        self.store.set(f"loaded/{self.index}", "")

    def wait(self) -> None:
        """Wait until all ranks get here."""
        self.totals([0.0])

    def sum_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Replace each parameter's gradient with the sum over all ranks."""
        if self.size == 1:
            return
        trained = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with self.waiting():
            dist.all_reduce(flat)
        for parameter, gradient in zip(trained, _like(gradients, flat), strict=True):
            parameter.grad = gradient

    @torch.no_grad()
    def copy_from_first(self, parameters: Iterable[Parameter]) -> None:
        """Set each parameter to its value on the first rank."""
        if self.size == 1:
            return
        for parameter in parameters:
            dist.broadcast(parameter.data, src=0)

    def collect(self, name: str, data: bytes) -> list[bytes]:
        """Return the `data` of every rank on the first rank, and an empty list on the others.

        For small data that is not a tensor. The ranks may run on machines that share no disk.
        """
        if self.size == 1:
            return [data]
        if not self.is_first:
            self.store.set(f"{name}/{self.index}", data)
            return []
        others = [f"{name}/{index}" for index in range(1, self.size)]
        found = [data, *(bytes(self.store.get(key)) for key in others)]
        for key in others:
            self.store.delete_key(key)
        return found

    def agree_on(self, flag: StopFlag) -> StopFlag:
        """Return a flag that is set for all ranks at the same step."""
        return flag if self.size == 1 else _AgreedFlag(flag, self)


def _like(tensors: Sequence[Tensor], flat: Tensor) -> list[Tensor]:
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


class _AgreedFlag(StopFlag):
    def __init__(self, own: StopFlag, ranks: Ranks) -> None:
        super().__init__()
        self._own = own
        self._ranks = ranks

    def is_set(self) -> bool:
        """Whether any rank was asked to stop. Communicates with all of them."""
        (requested,) = self._ranks.totals([float(self._own.is_set())])
        return requested > 0


def join(at: RankSpec | None, count: int, device: ComputeDevice, patience: timedelta) -> Ranks:
    """Connect to the other ranks.

    `patience` is how long one waits for the slowest: they read the data and load the model at
    different speeds.

    Raises `TrainingFailure` (invalid_spec) if the machine has fewer devices than ranks, and torch's
    own errors.
    """
    if at is None:
        return Ranks()
    # Avoid torch's environment variables, which would make transformers shard the batches too.
    store = dist.TCPStore(  # type: ignore[attr-defined]
        at.host,
        at.port,
        count,
        is_master=at.rank == 0,
        master_listen_fd=at.listen_fd,
        timeout=patience,
    )
    store.set(f"host/{at.rank}", socket.gethostname())
    store.set(f"device/{at.rank}", device.type)
    devices = [store.get(f"device/{index}").decode() for index in range(count)]
    if len(set(devices)) > 1:
        raise TrainingFailure(
            "invalid_spec",
            f"The run asks for {count} GPUs, but its worker has {devices.count('cuda')}. Set gpus "
            f"to at most that number.",
            param="gpus",
        )
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=at.rank,
        world_size=count,
        timeout=patience,
        device_id=torch.device("cuda", 0) if device.type == "cuda" else None,
    )
    return Ranks(at.rank, count, device.type, store)


def random_state_file(checkpoint: Path, rank: int) -> Path:
    """Return the file in a checkpoint with the random state of a rank other than the first."""
    return checkpoint / f"rng_state_{rank}.pth"


def random_state() -> bytes:
    """Return the random state that dropout draws from in this process, as a file's content."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    content = io.BytesIO()
    torch.save(states, content)
    return content.getvalue()


def load_random_state(path: Path) -> None:
    """Restore a saved random state.

    Does nothing if the file is missing, as in a checkpoint from fewer ranks; the current random
    state serves equally well.
    """
    if not path.is_file():
        return
    states: dict[str, Tensor] = torch.load(path, weights_only=True)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def shard(model: PeftModel | Any, device: ComputeDevice, mesh: DeviceMesh) -> None:
    """Shard the frozen weights of `model` across the ranks of `mesh` and move it to `device`.

    Blocks are moved one at a time, so no device ever holds the whole model. Does not communicate.
    """
    move_scales(model, device.type)
    blocks = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    # Shard the root last: it takes what no block has (the embeddings, the head, the last norm).
    for module in [*blocks, model]:
        adapter = {p for p in module.parameters() if p.requires_grad}
        for parameter in adapter:
            parameter.data = parameter.data.to(device.type)
        # Reshard the root too. Otherwise it would stay whole after an evaluation, except on the
        # rank that then reads the state for a checkpoint, and the ranks would be inconsistent at
        # the next step.
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=adapter)


def move_scales(model: Any, device: str) -> None:
    """Move the scales of 4-bit weights to `device`. Each rank keeps all of them.

    bitsandbytes keeps them beside the weights, where FSDP does not see them.
    """
    for module in model.modules():
        if (state := getattr(module, "quant_state", None)) is not None:
            state.to(device)
