"""Compiles vLLM's kernels for adapters for GPUs that need not be there.

    python -m service.inference.engine.kernels 7.5 8.0 8.9 9.0

Each compute capability gets the kernels that it would launch, with the arguments of a small batch,
down to machine code. So a kernel that Triton cannot compile for a GPU, or that needs more shared
memory than the GPU has, is found before the engine starts there. Nothing is launched, and neither a
GPU nor a C compiler is needed. Prints a JSON list of `Compiled`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

# Of a block of threads, in KiB, by compute capability (CUDA's programming guide).
_SHARED_KIB: Final = {
    (7, 5): 64, (8, 0): 163, (8, 6): 99, (8, 9): 99, (9, 0): 227, (10, 0): 227, (12, 0): 99
}  # fmt: skip
_BF16_SINCE: Final = (8, 0)
_RANK, _TOKENS, _SLICES, _HIDDEN = 16, (8, 512), 3, 1024


@dataclass(frozen=True)
class Compiled:
    """A kernel for a compute capability; `fault` says why it cannot run there."""

    kernel: str
    capability: str
    shared_bytes: int = 0
    code_bytes: int = 0
    fault: str | None = None


def compile_launches(capability: tuple[int, int], launches: Callable[[], None]) -> list[Compiled]:
    """Compile what `launches` would launch on such a GPU, and return each kernel."""
    found: list[Compiled] = []
    with _compiling_for(capability, found):
        launches()
    return found


@contextmanager
def _compiling_for(capability: tuple[int, int], found: list[Compiled]) -> Iterator[None]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    dotted = f"{capability[0]}.{capability[1]}"
    target = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    before = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        name = self.fn.__name__
        try:
            made = before(self, *args, grid=grid, warmup=True, **kwargs)
        except Exception as error:  # noqa: BLE001  # each of Triton's stages has its own
            words = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            found.append(Compiled(name, dotted, fault=f"{type(error).__name__}: {words}"))
            return None
        shared, most = made.metadata.shared, _SHARED_KIB.get(capability)
        fault = None
        if most is not None and shared > most * 1024:
            fault = f"needs {shared:,} bytes of shared memory, and the GPU has {most} KiB"
        found.append(Compiled(name, dotted, shared, len(made.asm["cubin"]), fault))
        return made

    driver.set_active(_Device(target))
    JITFunction.run = run
    try:
        with triton.knobs.cache.scope():
            yield
    finally:
        JITFunction.run = before
        driver._active = None  # noqa: SLF001


class _Device:
    """What Triton asks of a device before it launches a kernel there."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def get_current_target(self) -> Any:
        return self._target

    def get_current_device(self) -> int:
        return int(self._target.arch)  # compiled kernels are kept by device

    def get_current_stream(self, _: int) -> int:
        return 0


def launch_adapter_kernels(capability: tuple[int, int]) -> None:
    """Call vLLM's functions for adapters on few and on many tokens."""
    _show_triton_to_vllm()
    import torch
    from vllm.lora.ops.triton_ops.lora_expand_op import _lora_expand
    from vllm.lora.ops.triton_ops.lora_kernel_metadata import LoRAKernelMeta
    from vllm.lora.ops.triton_ops.lora_shrink_op import _lora_shrink

    dtype = torch.bfloat16 if capability >= _BF16_SINCE else torch.float16
    down = [torch.zeros(4, _RANK, _HIDDEN, dtype=dtype) for _ in range(_SLICES)]
    up = [torch.zeros(4, _HIDDEN, _RANK, dtype=dtype) for _ in range(_SLICES)]
    for tokens in _TOKENS:
        meta = LoRAKernelMeta.make(max_loras=4, max_num_tokens=tokens, device="cpu")
        meta.prepare_tensors(torch.arange(tokens) % 4)
        arguments = meta.meta_args(tokens, specialize_active_lora=False)
        narrow = torch.zeros(_SLICES, tokens, _RANK)
        inputs = torch.zeros(tokens, _HIDDEN, dtype=dtype)
        outputs = torch.zeros(tokens, _SLICES * _HIDDEN, dtype=dtype)
        _lora_shrink(inputs, down, narrow, *arguments, 1.0)
        _lora_expand(narrow, up, outputs, *arguments, add_inputs=True)


def _show_triton_to_vllm() -> None:
    """Let vLLM define its kernels, which it does only on a machine with a GPU."""
    import triton
    from triton import language

    seen = types.ModuleType("vllm.triton_utils")
    seen.HAS_TRITON, seen.triton, seen.tl = True, triton, language  # type: ignore[attr-defined]
    found = importlib.util.find_spec("vllm")
    assert found is not None
    seen.__path__ = [f"{place}/triton_utils" for place in found.submodule_search_locations or ()]
    sys.modules["vllm.triton_utils"] = seen


def main(capabilities: list[str]) -> None:
    """Compile for each capability, such as 8.9, and print what was found."""
    found: list[Compiled] = []
    for text in capabilities:
        major, _, minor = text.partition(".")
        capability = (int(major), int(minor))
        found += compile_launches(capability, lambda: launch_adapter_kernels(capability))  # noqa: B023
    print(json.dumps([asdict(one) for one in found]))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
