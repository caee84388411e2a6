"""Computes an engine's adapter slots, ranks, context length and memory, each with a reason.

Pure functions of the settings, the machine and the base model. Settings take precedence; only the
rest is derived. The worker gets the trainer's part of a shared GPU from here, too, so that both
parts add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from service.config import GIB, MIB, Settings
from service.inference.engine.vllm_options import ONE_GPU, Parallel
from service.training.contract.hyperparameters import RANKS

# GPU fractions for engine and trainer together, and for an engine alone. The rest is for the
# driver, CUDA graphs and other programs.
_BOTH, ALONE = 0.90, 0.85
# Engine share next to a trainer: half of the total, or more if the base model needs it.
_MIN_SHARE, _MAX_SHARE = 0.45, 0.65
# In addition to its weights, an engine needs buffers, activations and a reasonable cache.
OVERHEAD, WORKING_BYTES, _CACHE_BYTES = 1.1, int(1.5 * GIB), 2 * GIB
# Adapter slots reduce the cache: they may use this part of the memory left by the weights.
_SLOTS_SHARE = 0.3
# On 2 CPU cores, 8 slots were no slower than 4 (76 and 65 tokens per second for requests to 4
# adapters, within the noise). What costs there is a rank above the adapters' own.
_MAX_SLOTS_GPU, _SLOTS_CPU = 16, 8
# Adapters in memory are read from disk only once. This is their part of the machine's memory.
_KEPT_SHARE, _MAX_KEPT, _KEPT_CPU = 0.1, 256, 32
_USUAL_RANK = 16
_LENGTH_STEP = 256
# A derived context shorter than this would cut off most chats, so memory is missing.
_MIN_LENGTH = 2048

Quantization = Literal["none", "fp8", "nf4"]
"""How an engine quantizes the weights that it loads; `none` leaves them as they are stored."""
_WORDS = {"none": "", "fp8": " in FP8", "nf4": " in NF4"}


class SizingError(Exception):
    """The engine cannot be sized as requested. `what` is wrong and `how` fixes it."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}: {how}")
        self.what = what
        self.how = how


@dataclass(frozen=True)
class BaseModelSizes:
    """Properties of a base model. None if its folder does not specify them."""

    id: str
    weights_bytes: int
    context_length: int
    kv_bytes_per_token: int | None = None
    adapter_bytes_per_rank: int | None = None
    kv_heads: int | None = None
    heads: int | None = None
    """Attention heads, whose number a division among GPUs must divide."""
    quantization: Quantization = "none"
    """How the engine quantizes the weights, to which `weights_bytes` applies."""


@dataclass(frozen=True)
class SizingInputs:
    """Inputs from which sizes are derived."""

    base: BaseModelSizes
    memory_bytes: int
    has_gpu: bool = False
    gpu_bytes: int | None = None
    """Memory of one GPU; None if unknown."""
    served_bytes: int = 0
    """Weights in all engines on this machine, including this one."""
    highest_rank: int = 0
    """Highest rank of the existing adapters."""
    parallel: Parallel = ONE_GPU
    """How vLLM divides the model among GPUs; `gpu_bytes` is per GPU."""
    alternatives: tuple[BaseModelSizes, ...] = ()
    """The base model in smaller weights, which an engine on a GPU loads if `base` does not fit."""


@dataclass(frozen=True)
class Sizes:
    """Sizes that the engine is started with. `max_loras` is 0 if it takes no adapters."""

    max_loras: int
    max_cpu_loras: int
    max_lora_rank: int
    max_model_len: int
    gpu_memory_utilization: float | None
    reasons: tuple[str, ...]
    base: BaseModelSizes
    """The base model that fits: that of the facts, or one of its alternatives."""
    quantization_reason: str | None = None
    """Why the weights are quantized; None if they are served as they are stored."""
    cache_tokens: int | None = None
    """Tokens of all running requests together that a GPU's cache holds; None if unknown."""


@dataclass(frozen=True)
class _Choice:
    value: int
    why: str


def size(settings: Settings, facts: SizingInputs) -> Sizes:
    """Compute the sizes of an engine, and choose how it quantizes the weights.

    The engine's part of the GPU does not depend on that choice, so that other processes know it
    without making it. Raises SizingError for a rank that vLLM does not support, and if memory does
    not suffice for a usable context.
    """
    share = engine_share(settings, facts) if facts.has_gpu else None
    choices = [facts.base, *(facts.alternatives if facts.has_gpu else ())]
    for base in choices[:-1]:
        chosen = replace(facts, base=base)
        with suppress(SizingError):
            sizes = _sized(settings, chosen, share)
            if _has_room(settings, chosen, sizes):
                return _with_reason(sizes, facts)
    return _with_reason(_sized(settings, replace(facts, base=choices[-1]), share), facts)


def _has_room(settings: Settings, facts: SizingInputs, sizes: Sizes) -> bool:
    """Return whether the cache holds a context of a set length; a derived one always fits."""
    share, per_token = sizes.gpu_memory_utilization, _cache_bytes_per_token(facts)
    if settings.max_model_len is None or share is None:
        return True
    if facts.gpu_bytes is None or per_token is None:
        return True
    return _cache(facts, sizes.max_lora_rank, sizes.max_loras, share) >= (
        per_token * sizes.max_model_len
    )


def _with_reason(sizes: Sizes, facts: SizingInputs) -> Sizes:
    """Add why the weights are quantized."""
    chosen = sizes.base
    if chosen.quantization == "none":
        return sizes
    reason = f"weights{_WORDS[chosen.quantization]}, {_gib(chosen.weights_bytes)}: "
    if chosen is facts.base:
        reason += "as set"
    else:
        reason += f"the {_gib(facts.base.weights_bytes)} in 16 bits do not fit"
    return replace(sizes, reasons=(*sizes.reasons, reason), quantization_reason=reason)


def _sized(settings: Settings, facts: SizingInputs, share: float | None) -> Sizes:
    rank = _rank(settings, facts)
    slots = _slots(settings, facts, rank.value, share)
    kept = _kept(settings, facts, rank.value, slots.value)
    length = _length(settings, facts, rank.value, slots.value, share)
    reasons = [
        f"max_lora_rank {rank.value}: {rank.why}",
        f"max_loras {slots.value}: {slots.why}",
        f"max_cpu_loras {kept.value}: {kept.why}",
        f"context {length.value:,} tokens: {length.why}",
    ]
    if share is not None:
        reasons.append(f"gpu_memory_utilization {share:.2f}: {_why_share(settings, facts)}")
    per_token = _cache_bytes_per_token(facts)
    cache = None if share is None else _cache(facts, rank.value, slots.value, share)
    return Sizes(
        max_loras=slots.value,
        max_cpu_loras=kept.value,
        max_lora_rank=rank.value,
        max_model_len=length.value,
        gpu_memory_utilization=share,
        reasons=tuple(reasons),
        base=facts.base,
        cache_tokens=cache // per_token if cache and per_token else None,
    )


def engine_share(settings: Settings, facts: SizingInputs) -> float:
    """Return the fraction of each of its GPUs' memory that this engine may use."""
    if settings.gpu_memory_utilization is not None:
        return settings.gpu_memory_utilization
    if settings.gpu_sharing == "separate":
        return ALONE
    served = max(facts.served_bytes, facts.base.weights_bytes, 1)
    whole = _engines_share(settings, facts.gpu_bytes, served // facts.parallel.gpus)
    # Rounded down, so that several engines together do not exceed the total.
    return max(int(whole * facts.base.weights_bytes / served * 100) / 100, 0.01)


def _engines_share(settings: Settings, gpu_bytes: int | None, served_bytes: int) -> float:
    """Return the fraction of a GPU that all engines on it may use together."""
    if settings.gpu_sharing == "time-slice":
        return ALONE
    if gpu_bytes is None:
        return _MIN_SHARE
    need = (served_bytes * OVERHEAD + WORKING_BYTES + _CACHE_BYTES) / gpu_bytes
    return round(min(max(need, _MIN_SHARE), _MAX_SHARE), 2)


def trainer_budget(
    settings: Settings, gpu_bytes: int | None, served_bytes: Sequence[int]
) -> int | None:
    """Return the bytes of a GPU that a training may use; None for all of it.

    `served_bytes` are the weights of the base models whose engines share the GPU.
    """
    if settings.trainer_memory_bytes is not None:
        return settings.trainer_memory_bytes
    if gpu_bytes is None or not served_bytes or settings.gpu_sharing == "separate":
        return None
    if settings.gpu_sharing == "time-slice":
        return int(ALONE * gpu_bytes)
    if settings.gpu_memory_utilization is not None:
        engines = settings.gpu_memory_utilization * len(served_bytes)
    else:
        engines = _engines_share(settings, gpu_bytes, sum(served_bytes))
    return max(int((_BOTH - engines) * gpu_bytes), 1)


def served_rank(requested: int) -> int:
    """Return the next rank that vLLM supports. Raises SizingError."""
    for rank in RANKS:
        if rank >= requested:
            return rank
    raise SizingError(
        f"FINETUNED_MAX_LORA_RANK is {requested}",
        f"vLLM serves ranks up to {RANKS[-1]}, so lower it",
    )


def _rank(settings: Settings, facts: SizingInputs) -> _Choice:
    if settings.max_lora_rank is not None:
        return _Choice(served_rank(settings.max_lora_rank), "as set")
    limit = settings.lora_rank_limit
    if facts.highest_rank > limit:
        why = f"there is an adapter of rank {facts.highest_rank}"
        return _Choice(served_rank(facts.highest_rank), why)
    return _Choice(served_rank(limit), f"jobs may ask for ranks up to {limit}")


def _slots(settings: Settings, facts: SizingInputs, rank: int, share: float | None) -> _Choice:
    if settings.max_loras is not None:
        return _Choice(settings.max_loras, "as set")
    slot_bytes = _slot_bytes(facts, rank)
    if share is None:
        room = int(facts.memory_bytes * _KEPT_SHARE)
        most, where = _SLOTS_CPU, f"on a CPU with {_gib(facts.memory_bytes)}"
    elif facts.gpu_bytes is None:
        return _Choice(_SLOTS_CPU, "the GPU does not report its memory")
    else:
        room = int(_room(facts, share) * _SLOTS_SHARE)
        most, where = _MAX_SLOTS_GPU, _where(facts)
    if slot_bytes is None:
        return _Choice(min(most, 4), f"{where}; the base model's layers are unknown")
    fitting = max(1, min(most, room // slot_bytes))
    slots = 1 << (fitting.bit_length() - 1)
    return _Choice(slots, f"{where}, {_mib(slot_bytes)} per slot of rank {rank}")


def _kept(settings: Settings, facts: SizingInputs, rank: int, slots: int) -> _Choice:
    if settings.max_cpu_loras is not None:
        if settings.max_cpu_loras < slots:
            return _Choice(slots, f"{settings.max_cpu_loras} is set, and max_loras is larger")
        return _Choice(settings.max_cpu_loras, "as set")
    # Each GPU's vLLM process keeps complete adapters.
    adapter_bytes = _adapter_bytes(facts, rank, facts.parallel.gpus)
    most = _MAX_KEPT if facts.has_gpu else _KEPT_CPU
    if adapter_bytes is None:
        return _Choice(max(slots, _KEPT_CPU), "the base model's layers are unknown")
    room = int(facts.memory_bytes * _KEPT_SHARE)
    kept = max(slots, min(most, room // adapter_bytes))
    return _Choice(kept, f"{_mib(adapter_bytes)} each at most, {_gib(facts.memory_bytes)} memory")


def _length(
    settings: Settings, facts: SizingInputs, rank: int, slots: int, share: float | None
) -> _Choice:
    own = facts.base.context_length
    if settings.max_model_len is not None:
        capped = "the base model's own; the set value is larger"
        why = "as set" if settings.max_model_len <= own else capped
        return _Choice(min(settings.max_model_len, own), why)
    per_token = _cache_bytes_per_token(facts)
    if per_token is None or (share is not None and facts.gpu_bytes is None):
        return _Choice(own, "the base model's own")
    on_cpu = settings.cpu_kv_cache_gib * GIB
    cache = on_cpu if share is None else _cache(facts, rank, slots, share)
    fitting = max(cache, 0) // per_token // _LENGTH_STEP * _LENGTH_STEP
    if fitting >= own:
        return _Choice(own, f"the base model's own; a cache of {_gib(cache)} holds {fitting:,}")
    if fitting < _MIN_LENGTH:
        where = f"a cache of {_gib(cache)}"
        if share is not None:
            where = f"{_where(facts)}, {share:.0%} of the memory for this engine"
        what = (
            f"{facts.base.id} has room for a context of {fitting:,} tokens ({where}), fewer than "
            f"the {_MIN_LENGTH:,} that an engine needs"
        )
        raise SizingError(what, _how_to_have_context(settings, rank, slots, fitting, share))
    return _Choice(fitting, f"what a cache of {_gib(cache)} holds, of the model's {own:,}")


def _cache(facts: SizingInputs, rank: int, slots: int, share: float) -> int:
    """Return the bytes on each GPU that weights, working memory and adapters leave the cache."""
    return _room(facts, share) - slots * (_slot_bytes(facts, rank) or 0)


def _how_to_have_context(
    settings: Settings, rank: int, slots: int, fitting: int, share: float | None
) -> str:
    """Return what to change, with the most helpful option first."""
    if share is None:
        ways = [f"raise FINETUNED_CPU_KV_CACHE_GIB (it is {settings.cpu_kv_cache_gib})"]
    else:
        ways = ["split the model across more GPUs (--tensor-parallel-size)"]
        if settings.gpu_memory_utilization is not None:
            ways.append("raise FINETUNED_GPU_MEMORY_UTILIZATION")
        elif settings.gpu_sharing == "share":
            ways.append("give the engine a GPU of its own (FINETUNED_GPU_SHARING=separate)")
        else:
            ways.append(
                f"set FINETUNED_GPU_MEMORY_UTILIZATION above {share} if the GPU does nothing else"
            )
        if slots > 1:
            ways.append(f"lower FINETUNED_MAX_LORAS (it is {slots})")
        elif slots and rank > _USUAL_RANK:
            ways.append(f"lower FINETUNED_MAX_LORA_RANK (it is {rank})")
    if fitting:
        ways.append(f"set FINETUNED_MAX_MODEL_LEN to at most {fitting} if that is enough")
    return ", or ".join(ways)


def _why_share(settings: Settings, facts: SizingInputs) -> str:
    if settings.gpu_memory_utilization is not None:
        return "as set"
    if settings.gpu_sharing == "separate":
        return "the engine has the GPU to itself"
    if settings.gpu_sharing == "time-slice":
        return "the engine sleeps while a job trains"
    if facts.gpu_bytes is None:
        return "the GPU is shared with training jobs, and does not report its memory"
    budget = trainer_budget(settings, facts.gpu_bytes, [facts.served_bytes]) or 0
    return f"{_gib(facts.gpu_bytes)} GPU shared with training jobs, which may use {_gib(budget)}"


def _room(facts: SizingInputs, share: float) -> int:
    """Return the engine's GPU memory that weights and working memory leave free."""
    whole = int((facts.gpu_bytes or 0) * share)
    weights = facts.base.weights_bytes * OVERHEAD / facts.parallel.gpus
    return max(whole - int(weights) - WORKING_BYTES, 0)


def _cache_bytes_per_token(facts: SizingInputs) -> int | None:
    """Return the cache bytes per token on each GPU.

    A head of the cache is not divided: if there are more GPUs than heads, some hold copies.
    """
    whole, parallel = facts.base.kv_bytes_per_token, facts.parallel
    if whole is None:
        return None
    parts = min(parallel.tensor, facts.base.kv_heads or parallel.tensor)
    return math.ceil(whole / (parts * parallel.pipeline))


def _adapter_bytes(facts: SizingInputs, rank: int, copies: int = 1) -> int | None:
    per_rank = facts.base.adapter_bytes_per_rank
    return None if per_rank is None else per_rank * rank * copies


def _slot_bytes(facts: SizingInputs, rank: int) -> int | None:
    """Return the bytes of an adapter slot on each GPU.

    In each layer, vLLM divides one of an adapter's two matrices. So about half of an adapter is
    copied.
    """
    whole, parallel = _adapter_bytes(facts, rank), facts.parallel
    if whole is None:
        return None
    return math.ceil(whole * (1 + 1 / parallel.tensor) / 2 / parallel.pipeline)


def _where(facts: SizingInputs) -> str:
    gpu = _gib(facts.gpu_bytes or 0)
    base = f"{_gib(facts.base.weights_bytes)}{_WORDS[facts.base.quantization]}"
    if facts.parallel.gpus == 1:
        return f"{gpu} GPU, base {base}"
    return f"{facts.parallel.gpus} GPUs of {gpu}, base {base} split across them"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _mib(count: int) -> str:
    return f"{count / MIB:.0f} MiB"
