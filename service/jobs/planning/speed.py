"""How fast trainings went, kept for estimates: tokens a second by device, model and kind."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from service.core.records import PREFIX
from service.core.redis import Client, reply, text
from service.fleet.workers import Capacity

_KEPT = 20
# Where nothing was measured: floating-point operations a second that a LoRA training gets
# out of the hardware, in orders of magnitude (a core: measured here; a GPU: a third of an
# A100's bf16 peak), and how far off that may be.
_CORE_FLOPS, _GPU_FLOPS = 2e11, 1e14
_CPU_CORES = 8
_FLOPS_A_WEIGHT = 6
_RECKONED_FACTOR = 4.0
_FEW_FACTOR = 1.5


@dataclass(frozen=True)
class Kind:
    """What speeds are comparable within."""

    device_name: str
    model: str
    method: str
    quantization: str

    @property
    def key(self) -> str:
        """The Redis list of its speeds."""
        parts = (self.device_name, self.model, self.method, self.quantization)
        return f"{PREFIX}:speeds:" + "|".join(part.replace("|", " ") for part in parts)


@dataclass(frozen=True)
class Speed:
    """Tokens a second: expected, and the bounds of what was seen; of how many jobs.

    With no job it is reckoned from the model's size, to an order of magnitude.
    """

    expected: float
    low: float
    high: float
    jobs: int


class Speeds:
    """The speeds of the last jobs of each kind."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def record(self, kind: Kind, tokens_per_second: float) -> None:
        """Keep a finished job's speed."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(kind.key, f"{tokens_per_second:.3f}")
            pipe.ltrim(kind.key, 0, _KEPT - 1)
            await pipe.execute()

    async def expected(self, kind: Kind, machine: Capacity, parameters: int) -> Speed:
        """What a job of that kind will do."""
        raw = await reply(self._redis.lrange(kind.key, 0, -1))
        seen = [float(text(value)) for value in raw]
        if not seen:
            return reckoned(machine, parameters)
        middle = median(seen)
        # Two jobs say little of how much a third may differ.
        slack = _FEW_FACTOR if len(seen) < 3 else 1.1
        return Speed(middle, min(seen) / slack, max(seen) * slack, len(seen))


def reckoned(machine: Capacity, parameters: int) -> Speed:
    """What a job will do where none has run yet."""
    flops = _GPU_FLOPS if machine.device == "cuda" else _CORE_FLOPS * _CPU_CORES
    tokens = flops / (_FLOPS_A_WEIGHT * max(parameters, 1))
    return Speed(tokens, tokens / _RECKONED_FACTOR, tokens * _RECKONED_FACTOR, 0)
