"""Tests of engine sizes, computed from numbers only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.config import GIB, Settings
from service.inference.engine.sizing import (
    BaseModelSizes,
    SizingError,
    SizingInputs,
    engine_share,
    size,
    trainer_budget,
)

SMALL = BaseModelSizes(
    "small",
    weights_bytes=269_000_000,
    context_length=8192,
    kv_bytes_per_token=23_040,
    adapter_bytes_per_rank=610_560,
)
EIGHT_B = BaseModelSizes(
    "llama-8b",
    weights_bytes=16_060_000_000,
    context_length=131_072,
    kv_bytes_per_token=131_072,
    adapter_bytes_per_rank=5_242_880,
)
LAPTOP = SizingInputs(SMALL, memory_bytes=16 * GIB, served_bytes=SMALL.weights_bytes)


def gpu(gib: float, base: BaseModelSizes = EIGHT_B, **changes) -> SizingInputs:
    known = {"gpu_bytes": int(gib * GIB), "served_bytes": base.weights_bytes} | changes
    return SizingInputs(base, memory_bytes=128 * GIB, has_gpu=True, **known)


def test_on_a_cpu():
    sizes = size(Settings(), LAPTOP)
    assert (sizes.max_loras, sizes.max_cpu_loras, sizes.max_lora_rank) == (8, 32, 64)
    assert sizes.max_model_len == 8192
    assert sizes.gpu_memory_utilization is None
    assert any(r.startswith("max_loras 8: on a CPU with 16.0 GiB, 37 MiB") for r in sizes.reasons)


@pytest.mark.parametrize(
    ("gib", "slots", "length"), [(24, 2, 14_336), (40, 8, 110_848), (80, 16, 131_072)]
)
def test_a_larger_gpu_has_more_slots_and_a_longer_context(gib, slots, length):
    sizes = size(Settings(), gpu(gib))
    assert sizes.max_loras == slots
    assert sizes.max_model_len == pytest.approx(length, rel=0.1)
    assert sizes.max_cpu_loras >= sizes.max_loras
    assert f"max_loras {slots}: {gib}.0 GiB GPU, base 15.0 GiB" in "\n".join(sizes.reasons)


@pytest.mark.parametrize(
    ("gib", "sharing"),
    [
        *((gib, way) for gib in (40, 48, 80, 141) for way in ("separate", "share", "time-slice")),
        (24, "separate"),
        (24, "time-slice"),
    ],
)
def test_weights_slots_and_one_full_context_fit_the_engines_part(gib, sharing):
    facts = gpu(gib)
    sizes = size(Settings(gpu_sharing=sharing), facts)
    assert EIGHT_B.adapter_bytes_per_rank is not None
    assert EIGHT_B.kv_bytes_per_token is not None
    taken = (
        EIGHT_B.weights_bytes
        + sizes.max_loras * sizes.max_lora_rank * EIGHT_B.adapter_bytes_per_rank
        + sizes.max_model_len * EIGHT_B.kv_bytes_per_token
    )
    assert sizes.gpu_memory_utilization is not None
    assert facts.gpu_bytes is not None
    assert taken <= sizes.gpu_memory_utilization * facts.gpu_bytes


def test_what_is_set_wins():
    settings = Settings(
        max_loras=3,
        max_cpu_loras=7,
        max_lora_rank=9,
        max_model_len=1000,
        gpu_memory_utilization=0.33,
        gpu_sharing="share",
    )
    sizes = size(settings, gpu(24))
    assert (sizes.max_loras, sizes.max_cpu_loras, sizes.max_lora_rank) == (3, 7, 16)
    assert (sizes.max_model_len, sizes.gpu_memory_utilization) == (1000, 0.33)
    assert all(reason.endswith("as set") for reason in sizes.reasons)


def test_memory_slots_are_no_fewer_than_the_engines():
    assert size(Settings(max_loras=8, max_cpu_loras=4), LAPTOP).max_cpu_loras == 8


def test_ranks_are_those_that_jobs_may_ask_for_and_those_that_exist():
    assert size(Settings(), LAPTOP).max_lora_rank == Settings().lora_rank_limit == 64
    large = SizingInputs(SMALL, memory_bytes=16 * GIB, highest_rank=100)
    assert size(Settings(), large).max_lora_rank == 128
    assert size(Settings(max_lora_rank=16), large).max_lora_rank == 16
    with pytest.raises(SizingError, match="up to 512"):
        size(Settings(max_lora_rank=513), LAPTOP)


@pytest.mark.parametrize("gib", [16, 24, 48, 80])
def test_engine_and_trainer_share_a_gpu_and_add_up(gib):
    facts = gpu(gib)
    settings = Settings(gpu_sharing="share")
    budget = trainer_budget(settings, facts.gpu_bytes, [EIGHT_B.weights_bytes])
    share = engine_share(settings, facts)
    assert budget is not None
    assert facts.gpu_bytes is not None
    assert 0.85 <= share + budget / facts.gpu_bytes <= 0.901
    assert share >= 0.45


def test_several_engines_divide_the_engines_part():
    settings = Settings(gpu_sharing="share")
    both = SMALL.weights_bytes + EIGHT_B.weights_bytes
    shares = [engine_share(settings, gpu(80, b, served_bytes=both)) for b in (SMALL, EIGHT_B)]
    budget = trainer_budget(settings, 80 * GIB, [SMALL.weights_bytes, EIGHT_B.weights_bytes])
    assert budget is not None
    assert sum(shares) + budget / (80 * GIB) <= 0.901
    assert shares[1] > shares[0] > 0


def test_in_turns_each_has_nearly_all():
    settings = Settings(gpu_sharing="time-slice")
    assert engine_share(settings, gpu(24)) == 0.85
    assert trainer_budget(settings, 24 * GIB, [1]) == int(0.85 * 24 * GIB)


def test_a_trainer_on_its_own_gpu_or_with_a_limit_of_its_own():
    assert trainer_budget(Settings(), 24 * GIB, [1]) is None
    settings = Settings(gpu_sharing="share", trainer_memory_bytes=5 * GIB)
    assert trainer_budget(settings, 24 * GIB, [1]) == 5 * GIB
    fixed = Settings(gpu_sharing="share", gpu_memory_utilization=0.6)
    assert trainer_budget(fixed, 10 * GIB, [1]) == pytest.approx(3 * GIB, rel=0.01)


def test_what_is_not_known_is_said():
    bare = BaseModelSizes("odd", weights_bytes=1, context_length=4096)
    sizes = size(Settings(), SizingInputs(bare, memory_bytes=GIB))
    assert sizes.max_model_len == 4096
    assert "unknown" in " ".join(sizes.reasons)
    unknown_gpu = size(Settings(), SizingInputs(SMALL, memory_bytes=GIB, has_gpu=True))
    assert unknown_gpu.gpu_memory_utilization == 0.85
    assert "does not report its memory" in " ".join(unknown_gpu.reasons)


IN_FP8 = replace(EIGHT_B, quantization="fp8", weights_bytes=9_000_000_000)
IN_NF4 = replace(EIGHT_B, quantization="nf4", weights_bytes=5_700_000_000)
SMALLER = (IN_FP8, IN_NF4)


@pytest.mark.parametrize(
    ("gib", "quantization"), [(80, "none"), (24, "none"), (16, "fp8"), (12, "nf4")]
)
def test_weights_are_quantized_if_those_in_16_bits_do_not_fit(gib, quantization):
    sizes = size(Settings(), gpu(gib, alternatives=SMALLER))
    assert sizes.base.quantization == quantization
    assert sizes.max_model_len >= 2048
    if quantization == "none":
        assert sizes.quantization_reason is None
    else:
        assert sizes.quantization_reason == sizes.reasons[-1]
        assert f"weights in {quantization.upper()}" in sizes.reasons[-1]
        assert sizes.reasons[-1].endswith("the 15.0 GiB in 16 bits do not fit")


def test_the_choice_of_weights_leaves_the_part_of_the_gpu_as_it_is():
    shared = Settings(gpu_sharing="share")
    facts = gpu(24, alternatives=SMALLER)
    sizes = size(shared, facts)
    assert sizes.base.quantization == "fp8"
    assert sizes.gpu_memory_utilization == engine_share(shared, facts)


def test_a_set_context_needs_room_too():
    settings = Settings(max_model_len=100_000)
    assert size(settings, gpu(24)).base.quantization == "none"
    assert size(settings, gpu(24, alternatives=SMALLER)).base.quantization == "nf4"


def test_if_no_weights_fit_the_smallest_are_named():
    with pytest.raises(SizingError, match=r"base 5\.3 GiB in NF4"):
        size(Settings(), gpu(8, alternatives=SMALLER))


def test_weights_are_not_quantized_for_a_cpu():
    facts = replace(LAPTOP, alternatives=(replace(SMALL, quantization="nf4"),))
    assert size(Settings(), facts).base is SMALL


def test_set_weights_are_named():
    assert "weights in NF4, 5.3 GiB: as set" in size(Settings(), gpu(24, IN_NF4)).reasons
