"""Settings of workers and trainings: leases, concurrency, GPUs, memory, and the Ray cluster."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from service.config.fields import GIB, NAME


class WorkerSettings(BaseModel):
    """Leases and concurrency of workers."""

    worker_name: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    worker_port: int = Field(default=9100, ge=0, le=65535)
    worker_host: str = "127.0.0.1"
    image: str | None = Field(
        default=None,
        max_length=512,
        description="Image that the process runs in, with its digest if it is known, for the "
        "passports of adapters. The chart sets it.",
    )

    lease_s: float = Field(
        default=30.0, gt=0, description="Time after which a job without lease renewal is lost."
    )
    reconcile_every_s: float = Field(default=5.0, gt=0)
    journal_every_s: float = Field(
        default=10.0,
        ge=0,
        description="How often a worker writes changes of Redis to the journal in storage, from "
        "which 'rebuild' restores it. 0: never.",
    )
    metrics_kept_days: int = Field(
        default=30,
        ge=0,
        description="How long the metrics of a job that has ended stay in its events. They are "
        "then only in its result file.",
    )
    max_attempts_without_progress: int = Field(default=3, ge=1)
    stop_grace_s: float = Field(
        default=120.0,
        gt=0,
        description="Time for a process that is asked to stop: for open requests and streams, and "
        "for a trainer to save a checkpoint, which a worker then has as long again to store.",
    )

    cpu_tasks: int = Field(default=2, ge=1, description="Number of concurrent CPU-queue tasks.")
    curation_timeout_s: float = Field(
        default=3600.0,
        gt=0,
        description="Time limit of one check, report, cleaning or import of a file.",
    )
    curation_memory_bytes: int = Field(
        default=8 * GIB, gt=0, description="Address space of a process that reads a user's file."
    )
    max_unpacked_bytes: int = Field(
        default=16 * GIB,
        gt=0,
        description="Maximum size of a file after it is unpacked or converted to JSON Lines.",
    )

    personal_data_model: Path | None = None
    personal_data_model_device: Literal["cpu", "cuda"] = "cpu"
    personal_data_model_timeout_s: float = Field(default=600.0, gt=0)

    eval_runs_at_once: int = Field(
        default=4,
        ge=1,
        description="Number of runs and evaluations of jobs that a worker executes concurrently.",
    )
    eval_requests_at_once: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Number of concurrent requests of a run, or of the evaluation of a job.",
    )
    eval_engine_patience_s: float = Field(
        default=3600.0,
        ge=0,
        description="How long a run, or the evaluation of a job, waits for an engine that is down.",
    )
    evaluation_rows: int = Field(
        default=1000,
        ge=0,
        le=1000,
        description="Most held-out rows on which a finished job is evaluated; 0 turns this off.",
    )
    evaluation_judge: str | None = Field(
        default=None,
        description="Base model that judges text answers in evaluations of jobs; by default, chrF "
        "compares them.",
    )
    evaluation_checkpoints: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Checkpoints of a finished job that are evaluated besides its final model.",
    )
    batches_at_once: int = Field(
        default=2, ge=1, description="Number of batches that a worker executes concurrently."
    )
    batch_requests_at_once: int = Field(
        default=64, ge=1, le=1024, description="Number of concurrent requests of a batch."
    )
    generation_requests_at_once: int = Field(
        default=16, ge=1, le=1024, description="Number of concurrent requests of a generation."
    )


_RAY_ADDRESS = re.compile(rf"(?:ray://)?{NAME}:[0-9]{{1,5}}", re.IGNORECASE)


class TrainerSettings(BaseModel):
    """GPUs and memory of trainings, and the Ray cluster that may run them."""

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
    trainer_rank_timeout_s: float = Field(
        default=3600.0,
        gt=0,
        description="How long a process of a training on several GPUs waits for the others (NCCL's "
        "timeout) before the attempt ends and the next one starts. Loading a model from a slow "
        "disk, and answers of an engine that is down, count.",
    )
    replay_windows: int = Field(
        default=15,
        ge=0,
        le=100,
        description="Number of parts of a training that 'finetuned-server replay' can compute "
        "again one by one. The state that is kept before each takes three times the bytes of an "
        "adapter. 0 keeps none.",
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
