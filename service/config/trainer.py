"""Trainings: their GPUs and memory, and the Ray cluster that may run them."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from service.config.hosts import NAME

_RAY_ADDRESS = re.compile(rf"(?:ray://)?{NAME}:[0-9]{{1,5}}", re.IGNORECASE)


class TrainerSettings(BaseModel):
    """Trainings: their GPUs and memory, and the Ray cluster that may run them."""

    tokens_at_once: int | None = Field(
        default=None,
        ge=64,
        description="Maximum number of tokens in one pass of a trainer through the model. If "
        "unset, chosen for the device and its memory.",
    )
    trainer_gpus: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Number of this worker's GPUs that one training uses. If unset, all. With "
        "ray_address, the number of the cluster's GPUs.",
    )
    trainer_sharding: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto",
        description="Multi-GPU strategy. fsdp shards the base model; auto does so if it does not "
        "fit on one GPU.",
    )
    trainer_memory_bytes: int | None = Field(
        default=None,
        gt=0,
        description="Maximum memory of a trainer. If unset, the memory of its device.",
    )
    ray_address: str | None = Field(
        default=None,
        description="Ray cluster that runs this worker's trainings, as ray://HOST:10001. Needs "
        "trainer_gpus.",
    )
    ray_device: Literal["cuda", "cpu"] = Field(
        default="cuda",
        description="Whether the processes of a training take GPUs or CPUs of the Ray cluster.",
    )
    train_slo_ms: int = Field(
        default=0,
        ge=0,
        le=600_000,
        description="Latency budget of chats next to a training that shares their device "
        "(gpu_sharing share): the 95th percentile of the time until the first byte. Trainings "
        "pause to stay within it. 0 turns this off.",
    )

    @field_validator("ray_address")
    @classmethod
    def _address_of_ray(cls, value: str | None) -> str | None:
        if value is not None and not _RAY_ADDRESS.fullmatch(value):
            raise ValueError(
                "ray_address: write ray://HOST:PORT, or HOST:PORT on a node of the cluster"
            )
        return value

    @model_validator(mode="after")
    def _size_on_ray(self) -> Self:
        if self.ray_address is not None and self.trainer_gpus is None:
            raise ValueError(
                "ray_address needs trainer_gpus: the number of GPUs of the cluster that one "
                "training uses"
            )
        return self
