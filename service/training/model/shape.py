"""Reads the sizes and dtype of a base model from config.json and safetensors headers.

Needs no torch and reads no weights, so that plans and estimates can use it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from service.training.contract.adapter_config import (
    fixed_parts,
    is_expert,
    is_outside_text_decoder,
    path_in_layers,
    why_not_adaptable,
)
from service.training.model.base_folder import weight_files

_MAX_HEADER_BYTES: Final = 100 * 2**20
_EMBEDDINGS: Final = ("embed", "lm_head", "wte", "wpe", "output_layer")


class UnknownShape(ValueError):
    """The folder lacks required information; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer of the model, identified by its module name."""

    name: str
    inputs: int
    outputs: int

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Layers with a gated delta rule in place of attention, as in Qwen3-Next and Qwen3.5.

    `heads` counts those of the values. `key` and `value` are the widths of a head, and `mixed` that
    of the convolution before.
    """

    layers: int
    heads: int
    key: int
    value: int
    mixed: int


@dataclass(frozen=True, slots=True)
class Mamba:
    """Layers with a state space in place of attention, as in Nemotron-H and Granite 4.

    `head` is the width of a head, and `state` that of its state. The layers compute in chunks of
    positions, with `groups` of inputs and outputs of the state.
    """

    layers: int
    heads: int
    head: int
    state: int
    groups: int
    chunk: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Model sizes that determine memory use.

    `linears` excludes the embeddings, the output head, and experts, whose weights transformers
    joins into tensors that are not adapted. `parameters` counts all weights once, including tied
    ones, `ends` those of the embeddings and the output head, and `experts` those of the experts of
    each layer that has some. `intermediate` is the width of the MLP, or of all experts together
    that compute a token. `experts_per_token` is 0 without experts, `expert_width` is the width of
    each, and `fixed_parts` names the parts of layers that are not adapted. `heads_width` and
    `kv_width` are the output widths of the query and key projections. `eager_heads` is the number
    of heads whose scores are kept for each pair of positions, because their attention has a
    softcap, and `latent_heads` that of heads with keys and values from one latent vector.
    `attention_layers` and `mlp_layers` are the numbers of layers with these parts.
    `norm_width` is the width of all norms of a layer together. `model_type` is that of config.json.
    """

    parameters: int
    linears: tuple[Linear, ...]
    layers: int
    hidden: int
    intermediate: int
    heads_width: int
    kv_width: int
    kv_heads: int
    vocabulary: int
    eager_heads: int = 0
    latent_heads: int = 0
    linear_attention: LinearAttention | None = None
    mamba: Mamba | None = None
    attention_layers: int | None = None  # None: all
    mlp_layers: int | None = None  # None: all
    ends: int = 0
    experts: tuple[int, ...] = ()
    experts_per_token: int = 0
    expert_width: int = 0
    fixed_parts: frozenset[str] = frozenset()
    norm_width: int | None = None  # None: two norms
    model_type: str = ""

    @classmethod
    def read(cls, folder: Path) -> ModelShape:
        """Read the shape of a causal model with gated or plain MLPs from its folder.

        Raises `UnknownShape`.
        """
        whole = _config(folder)
        text = whole.get("text_config")
        config = text if isinstance(text, dict) else whole
        tensors: dict[str, tuple[int, ...]] = {}
        for file in weight_files(folder):
            tensors |= _shapes(file)
        experts = any(is_expert(name) for name in tensors)
        if not tensors:
            raise UnknownShape("the folder has no .safetensors file")
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            head = int(config.get("head_dim") or hidden // heads)
            kv_heads = int(config.get("num_key_value_heads") or heads)
            is_latent = bool(config.get("kv_lora_rank"))
            if is_latent:
                head = int(config["qk_nope_head_dim"]) + int(config["qk_rope_head_dim"])
                kv_heads = heads
            return cls(
                parameters=sum(math.prod(shape) for shape in tensors.values()),
                linears=_linears(tensors),
                layers=_layers(config),
                hidden=hidden,
                intermediate=_experts_width(config)
                if experts
                else int(config["intermediate_size"]),
                heads_width=heads * head,
                kv_width=kv_heads * head,
                kv_heads=kv_heads,
                vocabulary=int(config["vocab_size"]),
                eager_heads=heads if is_softcapped(config) else 0,
                latent_heads=heads if is_latent else 0,
                linear_attention=(linear := _linear_attention(config)),
                mamba=(mamba := _mamba(config)),
                attention_layers=_layers(config)
                - (linear.layers if linear else 0)
                - (mamba.layers if mamba else 0)
                - _layers_with(config, *_ONLY_MLP),
                mlp_layers=_layers_with(config, *_ONLY_MLP) or None,
                ends=sum(math.prod(shape) for name, shape in tensors.items() if _is_end(name)),
                experts=_experts(tensors),
                experts_per_token=_experts_per_token(config) if experts else 0,
                expert_width=_expert_width(config) if experts else 0,
                fixed_parts=fixed_parts(tensors, str(whole.get("model_type") or "")),
                norm_width=_norm_width(tensors, heads * head, kv_heads * head) // _layers(config),
                model_type=str(whole.get("model_type") or ""),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UnknownShape(f"config.json does not give {error}") from None

    def adapted(self, target_modules: str | tuple[str, ...]) -> tuple[Linear, ...]:
        """Return the layers that get an adapter."""
        layers = (
            layer
            for layer in self.linears
            if why_not_adaptable(layer.name, self.fixed_parts) is None
        )
        if isinstance(target_modules, str):
            return tuple(layers)
        ends = tuple(f".{name}" for name in target_modules)
        return tuple(layer for layer in layers if f".{layer.name}".endswith(ends))


# Nemotron-H's layers have one part each. Its older files write them as letters.
_ONLY_MLP: Final = ("mlp", "moe")
_LETTERS: Final = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def _layers(config: Mapping[str, Any]) -> int:
    """Return the number of layers, which some files only list, as those of Nemotron-H do."""
    return int(config.get("num_hidden_layers") or len(config["layers_block_type"]))


def _layers_with(config: Mapping[str, Any], *kinds: str) -> int:
    """Return the number of layers of these kinds, as config.json lists them."""
    letters = str(config.get("hybrid_override_pattern") or "")
    listed = config.get("layer_types") or config.get("layers_block_type")
    return sum(kind in kinds for kind in listed or map(_LETTERS.get, letters))


def _norm_width(tensors: Mapping[str, tuple[int, ...]], queries: int, keys: int) -> int:
    """Return the width of what the norms of all layers compute with in fp32.

    Without those of latent attention and of linear attention, which are counted there.
    """
    widths = {"q_norm": queries, "k_norm": keys}
    return sum(
        widths.get(name.split(".")[-2], math.prod(shape))
        for name, shape in tensors.items()
        if name.endswith("norm.weight")
        and ".layers." in name
        and not any(part in name for part in ("vision", ".linear_attn.", "_a_layernorm"))
    )


def _linear_attention(config: Mapping[str, Any]) -> LinearAttention | None:
    if not config.get("linear_num_value_heads"):
        return None
    layers = _layers(config)
    kinds = config.get("layer_types") or []
    full = kinds.count("full_attention") or layers // int(config.get("full_attention_interval", 4))
    heads, value = int(config["linear_num_value_heads"]), int(config["linear_value_head_dim"])
    key = int(config["linear_key_head_dim"])
    mixed = 2 * int(config["linear_num_key_heads"]) * key + heads * value
    return LinearAttention(layers - full, heads, key, value, mixed)


def _mamba(config: Mapping[str, Any]) -> Mamba | None:
    heads = _first(config, "mamba_num_heads", "mamba_n_heads")
    layers = _layers_with(config, "mamba", "linear_attention")
    if not heads or not layers:
        return None
    head = config.get("mamba_head_dim") or config.get("mamba_d_head") or "auto"
    if head == "auto":
        head = _first(config, "mamba_expand", "expand") * int(config["hidden_size"]) // heads
    return Mamba(
        layers=layers,
        heads=heads,
        head=int(head),
        state=_first(config, "ssm_state_size", "mamba_d_state"),
        groups=_first(config, "n_groups", "mamba_n_groups"),
        chunk=_first(config, "chunk_size", "mamba_chunk_size") or 256,
    )


def is_softcapped(config: Mapping[str, Any]) -> bool:
    """Whether the scores of attention are capped, according to the config of the decoder."""
    return bool(config.get("attn_logit_softcapping"))


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        raise UnknownShape("the folder has no readable config.json") from None
    if not isinstance(config, dict):
        raise UnknownShape("config.json is not an object")
    return config


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with file.open("rb") as source:
            (length,) = struct.unpack("<Q", source.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError("header too long")
            header: dict[str, Any] = json.loads(source.read(length))
        return {
            name: _unpacked(name, tuple(tensor["shape"]), tensor.get("dtype"))
            for name, tensor in header.items()
            if name != "__metadata__" and not _is_scale(name, tensor.get("dtype"))
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise UnknownShape(f"{file.name} is not a safetensors file") from None


def _linears(tensors: dict[str, tuple[int, ...]]) -> tuple[Linear, ...]:
    return tuple(
        Linear(name.removesuffix(".weight"), inputs=shape[1], outputs=shape[0])
        for name, shape in sorted(tensors.items())
        if name.endswith(".weight")
        and len(shape) == 2
        and not _is_end(name)
        and not is_expert(name)
        and not _is_router(name)
    )


def _experts(tensors: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the weights of the experts of each layer, which may be one tensor or many."""
    found: dict[str, int] = {}
    for name, shape in tensors.items():
        if is_expert(name) and not is_outside_text_decoder(name) and len(shape) > 1:
            layer = ".".join(path_in_layers(name).split(".")[:2])
            found[layer] = found.get(layer, 0) + math.prod(shape)
    return tuple(found.values())


def _is_end(name: str) -> bool:
    return any(part.startswith(_EMBEDDINGS) for part in name.split("."))


def _is_router(name: str) -> bool:
    return not {"gate", "router"}.isdisjoint(name.split("."))


def _experts_per_token(config: dict[str, Any]) -> int:
    found = _first(
        config, "num_experts_per_tok", "experts_per_token", "moe_k", "moe_topk", "top_k_experts"
    )
    if not found:
        raise ValueError("the number of experts of a token")
    return found


def _expert_width(config: dict[str, Any]) -> int:
    return _first(config, "moe_intermediate_size", "intermediate_size")


def _experts_width(config: dict[str, Any]) -> int:
    width = _expert_width(config)
    shared = width * _first(
        config, "n_shared_experts", "moe_num_shared_experts", "num_shared_expert"
    )
    shared += _first(config, "shared_expert_intermediate_size")
    return _experts_per_token(config) * width + shared


def _first(config: Mapping[str, Any], *names: str) -> int:
    """Return the first of these numbers, the largest if layers differ; 0 if there is none."""
    value = next((config[name] for name in names if config.get(name)), 0)
    return max(map(int, value)) if isinstance(value, list) else int(value)


# MXFP4: blocks of 32 weights, two in a byte, and a byte of scale for each block.
def _unpacked(name: str, shape: tuple[int, ...], dtype: str | None) -> tuple[int, ...]:
    if dtype == "U8" and name.endswith("_blocks"):
        return (*shape[:-1], 2 * shape[-1])
    return shape


def _is_scale(name: str, dtype: str | None) -> bool:
    return dtype == "U8" and name.endswith("_scales")


# 256 x 49k logits in fp32 are 50 MB: a block that stays allocated and suits most caches. A
# vocabulary of 256k gets fewer tokens, so that no block exceeds 256 MiB.
_MAX_TOKENS: Final = 256
_BLOCK_BYTES: Final = 256 * 2**20
_FP32: Final = 4


def logit_bytes(width: int) -> int:
    """Return the bytes per logit for weights of `width` bytes, which exist in fp32 too."""
    return _FP32 if width == _FP32 else _FP32 + width


def block_tokens(vocabulary: int, width: int) -> int:
    """Return the number of tokens per block."""
    return max(min(_BLOCK_BYTES // (vocabulary * logit_bytes(width)), _MAX_TOKENS), 1)


Dtype = Literal["bfloat16", "float16", "float32"]

# The activations of these models exceed the range of float16. vLLM refuses it for them, too, and
# uses float32 (vllm/config/model.py).
_UNSTABLE: Final = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
_BF16_CPU_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def dtype_of(device: str, model_type: object, *, has_bf16: bool) -> Dtype:
    """Return the dtype on a device: bfloat16 if it has that, and else what the model allows.

    Otherwise float16 on CUDA, and float32 on a CPU. (Hardware without instructions for bfloat16
    emulates it, which is slower.) `model_type` is that of config.json.
    """
    if has_bf16:
        return "bfloat16"
    return "float32" if device == "cpu" or model_type in _UNSTABLE else "float16"


def cpu_has_bf16() -> bool:
    """Return whether this machine's processor has instructions for bfloat16."""
    return not _BF16_CPU_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
