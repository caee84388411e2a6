"""Tests of sizes for engines on several GPUs, and for engines with too little room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.config import GIB, Settings
from service.inference.engine.launch import EngineConfigError, Machine, engine_command
from service.inference.engine.sizing import BaseModelSizes, SizingError, SizingInputs, size
from service.inference.engine.vllm_options import OptionError, Parallel, parallel, with_options
from service.models.catalogue import BaseModelEntry

GPU = Machine(has_gpu=True, has_bf16=True, cores=tuple(range(64)))
QWEN = BaseModelSizes(
    "qwen3-32b",
    weights_bytes=65_524_246_528,
    context_length=40_960,
    kv_bytes_per_token=262_144,
    adapter_bytes_per_rank=16_777_216,
    kv_heads=8,
)
ENTRY = BaseModelEntry(id=QWEN.id, path=Path("/m/qwen"), license="mit", context_length=40_960)
A80 = SizingInputs(
    QWEN,
    memory_bytes=512 * GIB,
    has_gpu=True,
    gpu_bytes=80 * GIB,
    served_bytes=QWEN.weights_bytes,
)


def command(*extra: str, facts: SizingInputs = A80, **changes):
    settings = Settings(upstream_api_key=SecretStr("k"), **changes)
    return engine_command(settings, ENTRY, 8100, machine=GPU, facts=facts, extra=extra)


def test_a_model_on_two_gpus_has_its_whole_context_and_many_slots():
    sizes = command("--tensor-parallel-size=2").sizes
    assert sizes.max_model_len == 40_960
    assert sizes.max_loras >= 8
    assert "2 GPUs of 80.0 GiB, base 61.0 GiB split across them" in " ".join(sizes.reasons)


@pytest.mark.parametrize(("gib", "tensor"), [(80, 2), (48, 4), (80, 16)])
@pytest.mark.parametrize("sharing", ["separate", "share"])
def test_each_gpu_holds_its_part_of_weights_slots_and_one_full_context(gib, tensor, sharing):
    facts = replace(A80, gpu_bytes=gib * GIB, parallel=Parallel(tensor))
    sizes = size(Settings(gpu_sharing=sharing), facts)
    assert QWEN.adapter_bytes_per_rank is not None
    assert QWEN.kv_bytes_per_token is not None
    slot = sizes.max_lora_rank * QWEN.adapter_bytes_per_rank * (1 + 1 / tensor) / 2
    cache = sizes.max_model_len * QWEN.kv_bytes_per_token / min(tensor, 8)
    taken = QWEN.weights_bytes / tensor + sizes.max_loras * slot + cache
    assert sizes.gpu_memory_utilization is not None
    assert facts.gpu_bytes is not None
    assert taken <= sizes.gpu_memory_utilization * facts.gpu_bytes


def test_a_context_that_is_too_short_is_refused_with_what_to_do():
    with pytest.raises(EngineConfigError) as refused:
        command()
    told = str(refused.value)
    assert "qwen3-32b has room for a context of 0 tokens (80.0 GiB GPU, base 61.0 GiB" in told
    assert "--tensor-parallel-size" in told


def test_what_helps_depends_on_the_settings():
    with pytest.raises(SizingError, match="FINETUNED_GPU_SHARING=separate"):
        size(Settings(gpu_sharing="share"), A80)
    with pytest.raises(SizingError, match="raise FINETUNED_GPU_MEMORY_UTILIZATION"):
        size(Settings(gpu_memory_utilization=0.5), A80)
    on_cpu = replace(A80, has_gpu=False, base=replace(QWEN, kv_bytes_per_token=2**20))
    with pytest.raises(SizingError, match=r"FINETUNED_CPU_KV_CACHE_GIB .it is 1.* at most 1024"):
        size(Settings(), on_cpu)


@pytest.mark.parametrize("extra", [["--max-model-len=1024"], ["--max_model_len", "1k"]])
def test_a_context_that_is_asked_for_is_not_refused(extra):
    assert command(*extra).argv[-len(extra) :] == tuple(extra)
    assert command(max_model_len=1024).sizes.max_model_len == 1024


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ([], Parallel()),
        (["--tensor-parallel-size=2"], Parallel(2)),
        (["--tensor-parallel-size", "4", "--seed=1"], Parallel(4)),
        (["--tensor_parallel_size=4"], Parallel(4)),
        (["--seed", "1", "-tp", "2", "-pp=3"], Parallel(2, 3)),
        (["--tensor-parallel-size=2", "-tp", "8"], Parallel(8)),
    ],
)
def test_the_spellings_that_vllm_takes(extra, found):
    assert parallel(extra) == found


def test_options_win_over_settings():
    extra = ["--gpu-memory-utilization=0.5", "--max-loras=3", "--max-lora-rank", "8"]
    changed = with_options(Settings(max_loras=9), extra, 4096)
    assert (changed.gpu_memory_utilization, changed.max_loras, changed.max_lora_rank) == (0.5, 3, 8)


@pytest.mark.parametrize("value", ["two", "0", "-1"])
def test_an_option_without_a_number_is_refused_by_its_name(value):
    with pytest.raises(OptionError, match="tensor-parallel-size"):
        parallel([f"--tensor-parallel-size={value}"])
    with pytest.raises(EngineConfigError, match="max-loras"):
        command(f"--max-loras={value}")


def test_an_option_without_a_value_is_refused_by_its_name():
    with pytest.raises(OptionError, match="tensor-parallel-size"):
        parallel(["--tensor-parallel-size"])
