"""What decides the memory of a training, and not its result."""

from __future__ import annotations

from typing import NamedTuple

from service.training.contract.spec import Sharding


class MemorySettings(NamedTuple):
    """Memory settings of a training.

    `tokens_at_once` is the number of tokens in the model at a time, and `inputs_on_host` whether
    inputs of layers are in the machine's memory until their backward pass. `sharding` is None for
    one GPU.
    """

    tokens_at_once: int | None = None
    gradient_checkpointing: bool = False
    inputs_on_host: bool = False
    sharding: Sharding | None = None
