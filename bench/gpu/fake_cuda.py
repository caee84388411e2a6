"""Runs training steps on fake CUDA tensors, and compares the bytes they hold with the estimate.

    python -m bench.gpu.fake_cuda [--only TEXT]

Fails if an estimate is below 90% or above 125% of the bytes.

Needs the CUDA build of torch and a C compiler, and no GPU. torch's `FakeTensorMode` computes the
device, dtype and shape of each tensor, and no value. So this finds operations that CUDA lacks,
mixed dtypes and devices, and the memory of a step, in models of real widths with a few layers. It
does not find wrong values, nor what only a device knows: the buffers of the libraries,
fragmentation, and the limits of kernels.

torch asks CUDA for the number of devices before it computes gradients. A library of a few functions
answers instead.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import traceback
import weakref
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

_ENVIRONMENT: Final = "FINETUNED_FAKE_CUDA"
# The properties are those of CUDA 13 up to the fields that torch reads.
_DRIVER: Final = """
#include <stddef.h>
#include <string.h>
struct properties {
    char name[280]; unsigned mask; size_t memory, shared; int registers, warp; size_t pitch;
    int threads, block[3], grid[3]; size_t constant; int major, minor;
};
int cudaGetDeviceProperties(struct properties *found, int device) {
    memset(found, 0, sizeof *found);
    found->memory = 80ULL << 30; found->warp = 32; found->major = MAJOR; found->minor = MINOR;
    return 0;
}
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { return 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *most) { *least = *most = 0; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0; *active = 0; return 0;
}
"""


# GPUs, by the dtype that a training has there: an H100, and a T4.
_CAPABILITIES: Final = {"bfloat16": (9, 0), "float16": (7, 5)}


def _run_with_drivers() -> int:
    """Run this program with a library in place of CUDA's driver, once for each GPU."""
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        for dtype, (major, minor) in _CAPABILITIES.items():
            library = f"{folder}/{dtype}/libcuda.so.1"
            Path(library).parent.mkdir()
            options = ["-shared", "-fPIC", f"-DMAJOR={major}", f"-DMINOR={minor}"]
            compiler = ["cc", *options, "-x", "c", "-", "-o", library]
            subprocess.run(compiler, input=_DRIVER, text=True, check=True)
            paths = f"{folder}/{dtype}:{os.environ.get('LD_LIBRARY_PATH', '')}"
            environment = {"LD_PRELOAD": library, "LD_LIBRARY_PATH": paths, _ENVIRONMENT: dtype}
            command = [sys.executable, "-m", "bench.gpu.fake_cuda", *sys.argv[1:]]
            code = max(code, abs(subprocess.call(command, env=os.environ | environment)))
    return code


if __name__ == "__main__" and _ENVIRONMENT not in os.environ:
    sys.exit(_run_with_drivers())

import torch  # noqa: E402
import torch._subclasses.fake_tensor as fake  # noqa: E402
import transformers  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

GIB: Final = 2**30
LAYERS: Final = 4
_SIZES: Final = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")


@dataclass(frozen=True)
class Model:
    """A model: the classes of transformers, and the values of its config.json."""

    architecture: str
    config: str
    sizes: tuple[int, int, int, int]
    vocab_size: int
    more: dict[str, Any] = field(default_factory=dict)

    def make_config(self) -> Any:
        """Return the config with a few layers."""
        given = dict(zip(_SIZES, self.sizes, strict=True))
        given |= {"vocab_size": self.vocab_size, "num_hidden_layers": LAYERS}
        given |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **self.more}
        return getattr(transformers, self.config)(**given)


def _of(name: str, *sizes: int, vocabulary: int, config: str = "", **more: Any) -> Model:
    return Model(f"{name}ForCausalLM", config or f"{name}Config", sizes, vocabulary, more)  # type: ignore[arg-type]


_WINDOWS: Final = ["sliding_attention"] * 3 + ["full_attention"]
MODELS: Final = {
    "Llama-3.1-8B": _of("Llama", 4096, 14336, 32, 8, vocabulary=128256),
    "Qwen2.5-7B": _of("Qwen2", 3584, 18944, 28, 4, vocabulary=152064),
    "Qwen3-8B": _of("Qwen3", 4096, 12288, 32, 8, vocabulary=151936, head_dim=128),
    "Mistral-7B-v0.3": _of("Mistral", 4096, 14336, 32, 8, vocabulary=32768, sliding_window=None),
    "gemma-2-9b": _of(
        "Gemma2", 3584, 14336, 16, 8, vocabulary=256000, head_dim=256, tie_word_embeddings=True
    ),
    "gemma-3-12b": _of(
        "Gemma3",
        3840,
        15360,
        16,
        8,
        vocabulary=262208,
        config="Gemma3TextConfig",
        head_dim=256,
        sliding_window=1024,
        layer_types=_WINDOWS,
        tie_word_embeddings=True,
    ),
    "OLMo-3-7B": _of(
        "Olmo3", 4096, 11008, 32, 32, vocabulary=100278, sliding_window=1024, layer_types=_WINDOWS
    ),
    "EXAONE-4.0-32B": _of(
        "Exaone4",
        5120,
        27392,
        40,
        8,
        vocabulary=102400,
        head_dim=128,
        sliding_window=1024,
        layer_types=_WINDOWS,
    ),
    "Phi-4": _of("Phi3", 5120, 17920, 40, 10, vocabulary=100352),
    "DeepSeek-V2-Lite": _of(
        "DeepseekV2",
        2048,
        10944,
        16,
        16,
        vocabulary=102400,
        moe_intermediate_size=1408,
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        first_k_dense_replace=1,
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
    ),
    "Qwen3-30B-A3B": _of(
        "Qwen3Moe",
        2048,
        6144,
        32,
        4,
        vocabulary=151936,
        head_dim=128,
        moe_intermediate_size=768,
        num_experts=128,
        num_experts_per_tok=8,
        norm_topk_prob=True,
    ),
    "Qwen3.5-9B": _of(
        "Qwen3_5",
        4096,
        12288,
        16,
        4,
        vocabulary=248320,
        config="Qwen3_5TextConfig",
        head_dim=256,
        layer_types=["linear_attention"] * 3 + ["full_attention"],
        linear_num_key_heads=16,
        linear_num_value_heads=32,
        linear_key_head_dim=128,
        linear_value_head_dim=128,
    ),
    "Nemotron-H-8B": _of(
        "NemotronH",
        4096,
        21504,
        32,
        8,
        vocabulary=131072,
        head_dim=128,
        layers_block_type=["linear_attention", "mlp", "linear_attention", "full_attention"],
    ),
    "granite-4.0-h-tiny": _of(
        "GraniteMoeHybrid",
        1536,
        512,
        12,
        4,
        vocabulary=100352,
        layer_types=["linear_attention"] * 3 + ["full_attention"],
        num_local_experts=64,
        num_experts_per_tok=6,
        shared_intermediate_size=1024,
        mamba_n_heads=48,
        mamba_d_head=64,
        mamba_d_state=128,
        mamba_n_groups=1,
        position_embedding_type="nope",
        tie_word_embeddings=True,
    ),
}


@dataclass(frozen=True)
class Case:
    """A run of one step."""

    model: str
    quantization: str
    dtype: str
    method: str
    packing: bool
    changes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = "packed" if self.packing else "padded"
        more = "".join(f" {name}={value}" for name, value in self.changes.items())
        return f"{self.model} {self.quantization} {self.dtype} {self.method} {rows}{more}"


class _Mode(fake.FakeTensorMode):  # type: ignore[no-untyped-call]
    avoid_device_init = True  # also of constants, although torch sees a GPU


class Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that exist, as torch's allocator rounds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def note(self, tensor: Any) -> None:
        """Count a tensor on the GPU."""
        if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cuda":
            return
        storage = tensor.untyped_storage()
        if (key := id(storage)) in self._known:
            return
        size = -(-storage.nbytes() // 512) * 512
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        torch.utils._pytree.tree_map(self.note, found)
        return found


@contextlib.contextmanager
def a_gpu(dtype: str) -> Iterator[None]:
    """Answer what torch asks about the GPU in Python."""
    capability = _CAPABILITIES[dtype]
    properties = SimpleNamespace(
        name="fake",
        major=capability[0],
        minor=capability[1],
        total_memory=80 * GIB,
        multi_processor_count=100,
        gcnArchName="",
    )
    answers = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "set_device": None,
        "get_device_capability": capability,
        "get_device_properties": properties,
        "get_device_name": "fake",
        "is_bf16_supported": dtype == "bfloat16",
        "mem_get_info": (80 * GIB, 80 * GIB),
        "memory_allocated": 0,
        "memory_reserved": 0,
        "manual_seed_all": None,
        "synchronize": None,
        "empty_cache": None,
    }
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, _a=answer, **__: _a))
        stack.enter_context(mock.patch.object(fake, "init_gpu_context", return_value=None))
        stack.enter_context(mock.patch.object(torch.cuda, "_lazy_init", return_value=None))
        # Modules with fake weights cannot move. They are made on the GPU.
        stack.enter_context(
            mock.patch.object(torch.nn.Module, "_apply", lambda self, *_, **__: self)
        )
        stack.enter_context(torch.device("cuda"))
        yield


def write_folder(model: Model, folder: Path) -> None:
    """Write the config and the headers of weights that have no values."""
    config = model.make_config()
    config.architectures = [model.architecture]
    config.save_pretrained(folder)
    with torch.device("meta"):
        empty = getattr(transformers, model.architecture)(config)
    tied = (
        set(getattr(empty, "_tied_weights_keys", None) or ()) if config.tie_word_embeddings else ()
    )
    header = {
        name: {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [0, 0]}
        for name, tensor in empty.state_dict().items()
        if name not in tied
    }
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)


def load(model: Model, folder: Path, case: Case, device: Any) -> Any:
    """Make the base model on the GPU as `load_base` does, without values."""
    from bitsandbytes.functional import name2qmap, quantize_4bit
    from bitsandbytes.nn import Linear4bit
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    from service.training.contract.adapter_config import is_expert
    from service.training.model.experts import dequantize_when_used
    from service.training.model.models import _nf4, _use_long_rope, attention_implementation

    config = transformers.AutoConfig.from_pretrained(folder)
    _use_long_rope(config)
    with fake.unset_fake_temporarily(), torch.device("meta"):
        base = getattr(transformers, model.architecture)._from_config(
            config, dtype=device.dtype, attn_implementation=attention_implementation(config)
        )
        base.requires_grad_(requires_grad=False)
        if case.quantization == "nf4":
            settings = _nf4(SimpleNamespace(sharding="ddp"), device)  # type: ignore[arg-type]
            replace_with_bnb_linear(base, ["lm_head"], settings)
    name2qmap["dynamic"] = torch.empty(256, device="cuda")
    experts = {}
    for path, module in base.named_modules():
        own = list(module.named_parameters(recurse=False))
        for name, weight in own:
            is_nf4 = isinstance(module, Linear4bit) and name == "weight"
            is_of_experts = case.quantization == "nf4" and is_expert(path) and weight.dim() == 3
            dtype = device.dtype if is_nf4 else weight.dtype
            value: Any = torch.empty(weight.shape, dtype=dtype, device="cuda")
            if is_nf4 or is_of_experts:
                value, state = quantize_4bit(value, compress_statistics=True, quant_type="nf4")
                value = torch.nn.Parameter(value, requires_grad=False)
            if is_of_experts:
                experts[f"{path}.{name}"] = state
            elif is_nf4:  # Params4bit cannot hold a fake tensor
                value.quant_state, value.bnb_quantized, value.module = state, True, module
                value.compress_statistics, value.quant_type, value.blocksize = True, "nf4", 64
                module.quant_state = state
            else:
                value = torch.nn.Parameter(value, requires_grad=False)
            module._parameters[name] = value
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    if experts:
        dequantize_when_used(base, experts)
    base.tie_weights()
    base.config.use_cache = False
    return base


def tokenizer() -> Any:
    """Return a tokenizer, which the trainers of TRL ask for."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = WordLevel({"a": 0, "b": 1}, unk_token="a")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), eos_token="a", pad_token="b"
    )


def samples_for(case: Case, count: int, length: int) -> tuple[Any, ...]:
    """Return rows of a length, of which the second half is learned."""
    from service.training.data.tokenization import IGNORED, LabeledSample, Pair, Prompt, Sample

    half = length // 2
    ids = array("i", (n % 1000 for n in range(length)))
    one = Sample(ids, array("i", [IGNORED] * half) + ids[half:], length - half)
    if case.method == "dpo":
        return (Pair(one, one),) * count
    if case.method == "kto":
        return tuple(LabeledSample(one, is_good=bool(n % 2)) for n in range(count))
    if case.method == "reinforcement":
        start = Sample(ids[:half], array("i", [IGNORED] * half), 0)
        return tuple(Prompt(start, row=n, file="training") for n in range(count))
    return (one,) * count


def batch_for(trainer: Any, case: Case, length: int) -> dict[str, Any]:
    """Return the batch of a step, in tensors with values on the host."""
    from service.training.contract.samples import Answer

    if case.method != "reinforcement":
        rows = trainer.train_dataset
        return trainer.data_collator([rows[n] for n in range(len(rows))])
    answers = [
        [
            Answer(
                row=prompt.row,
                file=prompt.file,
                index=index,
                token_ids=list(range(length - length // 2)),
                logprobs=None,
                text="",
                finish_reason="stop",
                reward=float(index),
            )
            for index in range(2)
        ]
        for prompt in trainer.plan.training
    ]
    return trainer._batch(trainer.plan.training, answers)


@contextlib.contextmanager
def without_values(packed_rows: bool) -> Iterator[None]:
    """Answer what depends on values: whether a row has several samples, and the metrics."""
    from service.training.loop.float16 import LossScale
    from service.training.loop.metrics import Tally
    from service.training.model import attention

    def find(position_ids: Any) -> Any:
        if not packed_rows:
            return None
        steps = torch.diff(position_ids, prepend=position_ids[:, :1] - 1, dim=-1)
        return (steps != 1).cumsum(-1)

    def read(self: Any, *others: Any) -> list[float]:
        self.on_device = {}
        return [0.0] * len(others)

    keeps_apart = attention.keeps_apart

    def compute_both(model: Any, **joined: Any) -> bool:
        keeps_apart(model, **joined)
        return True

    with (
        mock.patch.object(transformers.masking_utils, "find_packed_sequence_indices", find),
        mock.patch.object(Tally, "read", read),
        mock.patch.object(LossScale, "unscale", return_value=True),
        mock.patch.object(torch, "allclose", return_value=False),
        # Of experts on a T4: the number of tokens of each.
        mock.patch.object(fake.FakeTensor, "tolist", lambda self: [0] * self.numel()),
        mock.patch.object(attention, "keeps_apart", compute_both),
    ):
        yield


# How far an estimate may be from the bytes. It counts a layer more than there is, for gradients.
LOWEST, HIGHEST = -0.10, 0.25

LENGTH: Final = 1024
BATCH: Final = 8
TOKENS: Final = 4096


def run(case: Case, folder: Path) -> tuple[int, int]:
    """Compute a step. Returns the bytes at its peak, and their estimate without overhead."""
    from service.training.contract.child_process import StopFlag
    from service.training.loop.checkpoints import identify
    from service.training.loop.estimate import estimate_memory
    from service.training.loop.plan import Plan
    from service.training.loop.run import TRAINERS, _load_adapted
    from service.training.methods.trainer import AdapterTrainer
    from service.training.model import attention
    from service.training.model.models import ComputeDevice
    from service.training.model.shape import ModelShape
    from tests.training.specs import spec_of

    device = ComputeDevice("cuda", getattr(torch, case.dtype))
    given = {"job_id": "x", "base_model": "x", "base_model_path": folder, "training_file": folder}
    more = dict(case.changes)
    if case.method == "reinforcement":
        more |= {"group_size": 2, "max_completion_tokens": LENGTH // 2, "beta": 0.1}
    rows = BATCH // 2 if case.method == "reinforcement" else BATCH
    spec = spec_of(
        **given,
        output_dir=folder / "out",
        method=case.method,
        quantization=case.quantization,
        packing=case.packing,
        batch_size=rows,
        n_epochs=1,
        learning_rate=1e-4,
        lora={"r": 16},
        max_seq_length=LENGTH,
        tokens_at_once=TOKENS,
        **more,
    )
    shape = spec.hyperparameters.lora.to_shape()
    samples = samples_for(case, rows, LENGTH)
    held = Held()
    mode = _Mode(allow_non_fake_inputs=True)
    channel = SimpleNamespace(send=lambda _message: None)
    with a_gpu(case.dtype), contextlib.ExitStack() as computing:
        computing.enter_context(mode)
        computing.enter_context(held)
        with mock.patch("service.training.loop.run.load_base") as loading:
            loading.side_effect = lambda spec, device: load(
                MODELS[case.model], folder, case, device
            )
            model = _load_adapted(spec, device, shape, channel, None)  # type: ignore[arg-type]
        layout = "padded"
        if case.packing:
            with without_values(packed_rows=True):
                can_join = attention.can_join(model, LENGTH)
            layout = "joined" if can_join else "packed"
        run_of = identify(spec, lora=shape, packing=case.packing, data="x", total_steps=1)
        plan = Plan(spec, run_of, samples, (), layout, device)  # type: ignore[arg-type]
        trainer: Any = TRAINERS[spec.method](model, plan, tokenizer(), StopFlag())
        trainer.create_optimizer_and_scheduler(1)
        states = [torch.empty_like(p) for p in trainer._trained() for _ in range(2)]
        if spec.gradient_checkpointing:
            model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
        trainer.model = trainer.accelerator.prepare_model(trainer.model)
        computing.pop_all().close()
        with torch.device("cpu"):
            batch = torch.utils._pytree.tree_map_only(
                torch.Tensor, mode.from_tensor, batch_for(trainer, case, LENGTH)
            )
        with mode, held, without_values(packed_rows=layout == "packed"):
            held.peak = held.now
            for parameter in trainer._trained():  # from here on, as in later steps
                parameter.grad = None
            AdapterTrainer.training_step(trainer, trainer.model, batch)
            trainer._clip_grad_norm(trainer.model)
        del states
    kinds = {"sft": "supervised"}
    found = estimate_memory(
        ModelShape.read(folder),
        spec.hyperparameters,
        method=kinds.get(case.method, case.method),  # type: ignore[arg-type]
        longest=LENGTH,
        tokens_at_once=TOKENS,
        gradient_checkpointing=spec.gradient_checkpointing,
        kept_layers=spec.kept_layers,
        dtype=case.dtype,  # type: ignore[arg-type]
    )
    return held.peak, found.total - found.overhead


def cases() -> Iterator[Case]:
    """Yield all runs."""
    for name, quantization, (method, packing), dtype in itertools.product(
        MODELS,
        ("nf4", "none"),
        (("sft", False), ("sft", True), ("dpo", False), ("kto", False), ("reinforcement", False)),
        (os.environ[_ENVIRONMENT],),
    ):
        yield Case(name, quantization, dtype, method, packing)
    for changes in (
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "kept_layers": 2},
    ):
        yield Case("Llama-3.1-8B", "nf4", os.environ[_ENVIRONMENT], "sft", True, changes)


def main() -> int:
    """Run all cases, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="words that a case must have")
    parser.add_argument("--trace", action="store_true", help="print where a case failed")
    options = parser.parse_args()
    if torch.version.cuda is None:
        print(f"torch {torch.__version__} is built without CUDA; install PyPI's build of torch")
        return 2
    transformers.logging.set_verbosity_error()
    torch.autograd.set_multithreading_enabled(False)
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        folders: dict[str, Path] = {}
        for case in cases():
            if not set(options.only.split()) <= set(str(case).split()):
                continue
            if (folder := folders.get(case.model)) is None:
                folder = folders[case.model] = Path(temporary) / case.model
                folder.mkdir()
                write_folder(MODELS[case.model], folder)
            try:
                held, estimate = run(case, folder)
            except Exception as error:  # noqa: BLE001  # each is a finding
                failures += 1
                print(f"✗ {case}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                if options.trace:
                    traceback.print_exc()
                continue
            share = estimate / held - 1
            is_near = LOWEST <= share <= HIGHEST
            failures += not is_near
            mark = "✓" if is_near else "✗"
            print(f"{mark} {case}: {held / GIB:.2f} GiB, estimate {share:+.0%}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
