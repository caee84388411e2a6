"""Sharding of the base model across the devices of a run (FSDP).

Each rank keeps its part of every weight and gathers the rest of a block only while it computes in
that block. Only the base model is sharded. The adapter, a few hundredths of its size, is kept in
full and in fp32 on each device, so its optimizer, checkpoints and files are the same as in any
other run.
"""

from __future__ import annotations

from typing import Any

from peft import PeftModel
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from service.training.model.models import Place
from service.training.parallel.ranks import Ranks


def shard(model: PeftModel | Any, place: Place, ranks: Ranks) -> None:
    """Shard the frozen weights of `model` across `ranks` and move it to the device of `place`.

    Blocks are moved one at a time, so no device ever holds the whole model.
    """
    mesh = init_device_mesh(place.device, (ranks.size,))
    move_scales(model, place.device)
    blocks = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    # Shard the root last: it takes what no block has (the embeddings, the head, the last norm).
    for module in [*blocks, model]:
        adapter = {p for p in module.parameters() if p.requires_grad}
        for parameter in adapter:
            parameter.data = parameter.data.to(place.device)
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
