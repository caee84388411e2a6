"""The base model, divided among the devices of a run (FSDP).

Each rank keeps its part of every weight and gathers a block's others for as long as it
computes in it. Only the base is divided: the adapter, some hundredths of its size, lies whole
on each device and in fp32, so that its optimizer, its checkpoints and its files are those of
any other run.
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
    """Divides the frozen weights of `model` among `ranks` and brings it to the device of
    `place`, one block after the other, so that no device ever holds the whole."""
    mesh = init_device_mesh(place.device, (ranks.size,))
    blocks = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    # The root last: it takes what no block has (the embeddings, the head, the last norm).
    for module in [*blocks, model]:
        adapter = {p for p in module.parameters() if p.requires_grad}
        for parameter in adapter:
            parameter.data = parameter.data.to(place.device)
        # Also the root, which would stay whole after an evaluation, but not on the rank that
        # then reads the state for a checkpoint: the next step would find them at odds.
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=adapter)
