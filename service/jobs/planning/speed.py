"""Speeds of past trainings for estimates: tokens per second by device, model and kind."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX
from service.core.redis import Client, reply, text
from service.core.redis.transactions import write_once
from service.fleet.workers import Capacity
from service.jobs.records import JobRecord
from service.training.contract.methods import METHODS, MethodName

_KEPT = 20
_START_S = 20  # from the queue to the first step, mostly loading the model
# Fallback without measurements: the FLOPS that a LoRA training achieves, as an order of magnitude,
# and the possible error factor. The value per core was measured here; the value per GPU is a third
# of an A100's bf16 peak. A forward pass takes half of a step, because frozen weights need no
# gradient: of the tokens per second of supervised training on SmolLM2-135M (CPU), DPO reached 1/1.6
# and KTO 1/2.9.
_CORE_FLOPS, _GPU_FLOPS = 2e11, 1e14
_CPU_CORES = 8
_STEP_FLOPS_A_WEIGHT, _FORWARD_FLOPS_A_WEIGHT = 6, 3
_ASSUMED_FACTOR = 4.0
_FEW_FACTOR = 1.5


@dataclass(frozen=True)
class SpeedKey:
    """Kind of training; speeds of the same kind are comparable."""

    device_name: str
    model: str
    method: MethodName
    quantization: str

    @classmethod
    def for_job(cls, job: JobRecord, device_name: str) -> SpeedKey:
        """Return the kind of a job on a device."""
        return cls(device_name, job.model, job.method, job.hyperparameters.quantization)

    @property
    def key(self) -> str:
        """Key of the Redis list of speeds."""
        parts = (self.device_name, self.model, self.method, self.quantization)
        return f"{PREFIX}:speeds:" + "|".join(part.replace("|", " ") for part in parts)


@dataclass(frozen=True)
class Duration:
    """Duration of a training in seconds, and the number of past jobs that it is based on."""

    expected_s: int
    low_s: int
    high_s: int
    jobs: int


@dataclass(frozen=True)
class Speed:
    """Training speed in tokens per second: expected value, bounds, and number of past jobs.

    Without past jobs, it is an order-of-magnitude estimate from the model's size.
    """

    expected: float
    low: float
    high: float
    jobs: int

    def duration(self, tokens: int) -> Duration:
        """Return the duration of a training on this number of tokens, including its start."""
        return Duration(
            expected_s=_START_S + round(tokens / self.expected),
            low_s=round(tokens / self.high),
            high_s=_START_S + round(tokens / self.low),
            jobs=self.jobs,
        )


class Speeds:
    """Store of the speeds of the latest jobs of each kind."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def record(self, kind: SpeedKey, tokens_per_second: float) -> None:
        """Store the speed of a finished job, which is above 0."""

        def write(pipe: Pipeline) -> None:
            pipe.lpush(kind.key, f"{tokens_per_second:.3f}")
            pipe.ltrim(kind.key, 0, _KEPT - 1)

        await write_once(self._redis, write)

    async def expected(self, kind: SpeedKey, machine: Capacity, parameters: int) -> Speed:
        """Return the expected speed of a job of that kind."""
        raw = await reply(self._redis.lrange(kind.key, 0, -1))
        # Version 0.1 stored 0 for a training of one step.
        seen = [speed for value in raw if (speed := float(text(value))) > 0]
        if not seen:
            return assumed_speed(machine, parameters, kind.method)
        middle = median(seen)
        # With only one or two jobs, the spread is uncertain.
        slack = _FEW_FACTOR if len(seen) < 3 else 1.1
        return Speed(middle, min(seen) / slack, max(seen) * slack, len(seen))


def assumed_speed(machine: Capacity, parameters: int, method: MethodName) -> Speed:
    """Estimate the speed from the model's size when no similar job has run yet."""
    flops = _CORE_FLOPS * _CPU_CORES
    if machine.device == "cuda":
        flops = _GPU_FLOPS * machine.gpus_for(machine.gpus)
    extra = METHODS[method].extra_forward_passes * _FORWARD_FLOPS_A_WEIGHT
    tokens = flops / ((_STEP_FLOPS_A_WEIGHT + extra) * max(parameters, 1))
    return Speed(tokens, tokens / _ASSUMED_FACTOR, tokens * _ASSUMED_FACTOR, 0)
