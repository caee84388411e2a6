"""The faster kernel for quantizing to 4 bits on CPUs has exactly the results of bitsandbytes'."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lazy import Lazy

KERNEL = "service.training.model.nf4_kernel"

functional = Lazy("bitsandbytes.functional")
kernel = Lazy(KERNEL)
torch = Lazy("torch")

pytestmark = pytest.mark.slow  # imports torch

Quantize = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="module")
def default() -> Quantize:
    """bitsandbytes' own kernel, which has no name, and may be replaced in this process."""
    found: dict[str, Quantize] = {}

    def record(operator: str, _device: str) -> Callable[[Quantize], Quantize]:
        return lambda function: found.setdefault(operator, function)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bitsandbytes._ops.register_kernel", record)
        spec = importlib.util.find_spec("bitsandbytes.backends.default.ops")
        assert spec
        assert spec.loader
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return found[kernel.OPERATOR]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small inputs consist of several pieces, in two threads, and are copied in several parts."""
    monkeypatch.setattr(f"{KERNEL}._PIECE", 512)
    monkeypatch.setattr(f"{KERNEL}._PIECES_PER_THREAD", 1)
    monkeypatch.setattr(f"{KERNEL}._SERIAL_COPY", 100)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)


def assert_same(
    default: Quantize,
    weights: Any,
    blocksize: int = 64,
    quant_type: str = "nf4",
    storage: Any = None,
) -> None:
    arguments = (blocksize, quant_type, storage or torch.uint8)
    packed, absmax = default(weights.clone(), *arguments)
    before = weights.clone()
    packed_here, absmax_here = kernel.quantize(weights, *arguments)
    assert (packed_here.shape, packed_here.dtype) == (packed.shape, packed.dtype)
    assert torch.equal(packed_here.view(torch.uint8), packed.view(torch.uint8))
    assert absmax_here.dtype == absmax.dtype == torch.float32
    assert absmax_here.shape == absmax.shape
    assert torch.allclose(absmax_here, absmax, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(weights.view(torch.uint8), before.view(torch.uint8))


def normal(*shape: int, dtype: str = "float32") -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.randn(*shape, generator=generator) * 0.02).to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("blocksize", [32, 64, 128, 256, 512, 1024, 2048, 4096])
def test_blocks_of_each_size(default: Quantize, blocksize: int, dtype: str):
    assert_same(default, normal(96, 4096 + 64, dtype=dtype), blocksize)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
@pytest.mark.parametrize("size", [0, 1, 2, 63, 64, 65, 511, 512, 513, 575, 1000, 1024, 4097, 9999])
def test_sizes_with_a_short_block(default: Quantize, size: int, quant_type: str):
    for blocksize in (32, 33, 64, 1024):
        assert_same(default, normal(size), blocksize, quant_type)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 1e-38, 1e38, "inf", "-inf", "nan"])
def test_blocks_with_extreme_values(default: Quantize, value: float | str):
    for size in (640, 650):  # the latter ends with a short block
        whole = torch.full((size,), float(value))
        assert_same(default, whole)
        one = normal(size)
        one[[70, -1]] = float(value)
        assert_same(default, one)


def test_values_on_and_next_to_the_boundaries(default: Quantize):
    values = functional.get_4bit_type("nf4", device="cpu")
    bounds = (values[:-1] + values[1:]) / 2
    below, above = (torch.nextafter(bounds, torch.tensor(to)) for to in (-2.0, 2.0))
    one = torch.tensor([1.0])  # the scale, hence nothing is rounded
    assert_same(default, torch.cat([values, bounds, below, above, one, -one]), 128)
    assert_same(default, torch.cat([values, bounds, below, above, one]).repeat(64), 64 * 62)


@pytest.mark.parametrize("seed", range(4))
def test_scaled_values_next_to_the_boundaries(default: Quantize, seed: int):
    values = functional.get_4bit_type("nf4", device="cpu")
    scale = torch.rand(1, generator=torch.Generator().manual_seed(seed)) + 0.5
    bounds = scale * (values[:-1] + values[1:]) / 2
    below, above = (torch.nextafter(bounds, torch.tensor(to)) for to in (-2.0, 2.0))
    block = torch.cat([bounds, below, above, scale])
    assert_same(default, block, len(block))
    assert_same(default, block, len(block) + 1)  # a short block


@pytest.mark.usefixtures("small_pieces")
def test_every_bfloat16(default: Quantize):
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    assert_same(default, bits.view(torch.bfloat16))
    shuffled = bits[torch.randperm(2**16, generator=torch.Generator().manual_seed(0))]
    assert_same(default, shuffled.view(torch.bfloat16))


@pytest.mark.parametrize("storage", ["bfloat16", "float32", "uint8"])
def test_storage_dtypes(default: Quantize, storage: str):
    assert_same(default, normal(64, 48), storage=getattr(torch, storage))


def test_weights_that_are_not_contiguous(default: Quantize):
    assert_same(default, normal(300, 200, dtype="bfloat16").T.contiguous())
    packed, absmax = kernel.quantize(normal(300, 200).T, 64, "nf4", torch.uint8)
    expected = default(normal(300, 200).T, 64, "nf4", torch.uint8)
    assert torch.equal(packed, expected[0])
    assert torch.equal(absmax, expected[1])


def test_bitsandbytes_calls_it(default: Quantize, monkeypatch: pytest.MonkeyPatch):
    kernel.use_fast_kernel()
    kernel.use_fast_kernel()
    calls: list[range] = []
    run = kernel._run

    def record(work: Callable[[int], None], pieces: range) -> None:
        calls.append(pieces)
        run(work, pieces)

    monkeypatch.setattr(f"{KERNEL}._run", record)
    weight = normal(96, 576, dtype="bfloat16")
    packed, state = functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    assert len(calls) == 1
    expected, absmax = default(weight, 64, "nf4", torch.uint8)
    assert torch.equal(packed, expected)
    scales, _ = functional.quantize_blockwise(absmax - absmax.mean(), blocksize=256)
    assert torch.equal(state.absmax, scales)  # quantized twice
    assert functional.dequantize_4bit(packed, state).shape == weight.shape


def test_bitsandbytes_has_no_kernel_of_its_own_for_cpus():
    spec = importlib.util.find_spec("bitsandbytes.backends.cpu.ops")
    assert spec
    assert spec.origin
    source = Path(spec.origin).read_text("utf-8")
    assert '"bitsandbytes::quantize_blockwise", "cpu"' in source
    assert f'"{kernel.OPERATOR}", "cpu"' not in source, "compare its speed, and its results"


def test_the_operator_has_the_arguments_that_the_kernel_expects():
    assert kernel.OPERATOR == "bitsandbytes::quantize_4bit"
    assert str(torch.ops.bitsandbytes.quantize_4bit.default._schema) == (
        "bitsandbytes::quantize_4bit(Tensor A, int blocksize, str quant_type, "
        "ScalarType quant_storage) -> (Tensor, Tensor)"
    )
