"""Estimates the memory and the number of steps of a run before anything is loaded.

Pure arithmetic, without torch. What a step keeps for its backward pass was determined from torch's
saved tensors for a Llama (RMSNorm in fp32, gated MLP, LoRA in fp32 under bf16 autocast): the terms
of `_kept_bytes` came within 0.5% of them on SmolLM2-135M. `bench/training/estimate.py`
compares the whole estimate with actual runs.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Final, Literal

from service.training.contract.hyperparameters import (
    Quantization,
    ReinforcementHyperparameters,
    Resolved,
)
from service.training.contract.methods import METHODS, MethodName, TrainingMethod
from service.training.contract.spec import Sharding
from service.training.model.shape import Dtype, Linear, ModelShape, block_tokens, logit_bytes

Device = Literal["cpu", "cuda"]

# In NF4, a weight has 4 bits. A scale of one byte belongs to 64 weights, 4 bytes to 256 scales, and
# the values of all codes to each layer.
_NF4_BYTES: Final = 0.5
_SCALE_BYTES: Final = 1 / 64 + 4 / (64 * 256)
_CODE_BYTES: Final = 4 * (16 + 256 + 1)
# Layers whose inputs are the same tensor.
_SHARING: Final = (
    frozenset({"q_proj", "k_proj", "v_proj"}),
    frozenset({"gate_proj", "up_proj"}),
)
# Its input is the output of the attention, which is kept anyway.
_AFTER_ATTENTION: Final = "o_proj"
# Layers whose inputs are on the GPU at a time if the host keeps them: the one that computes, and
# the next.
_INPUTS_ON_GPU: Final = 2
# Blocks that FSDP has whole at a time: the one that computes, and the next.
_GATHERED_BLOCKS: Final = 2
_FP32: Final = 4
_CHUNK: Final = 64  # positions of linear attention
# Memory that the process or device takes beyond tensors: buffers of the math libraries, and what
# the allocator keeps between tensors of odd sizes. Measured on a CPU, assumed for CUDA.
OVERHEAD_BYTES: Final = {"cpu": 150 * 2**20, "cuda": 600 * 2**20}
_OVERHEAD_SHARE: Final = 0.1  # of the activations


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes at the peak of a step, beyond what the process uses after its imports."""

    weights: int
    adapter: int
    optimizer: int
    gradients: int
    activations: int
    logits: int
    overhead: int

    @property
    def total(self) -> int:
        return sum(astuple(self))


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Number of optimizer steps, and of tokens that go through the model, excluding padding."""

    steps: int
    tokens: int


def estimate_run(chosen: Resolved, *, rows: int, tokens: int) -> RunEstimate:
    """Estimate the steps and tokens of a run.

    `rows` and `tokens` describe the training file (for preferences, including both answers, and for
    prompts, including all sampled ones).
    """
    share = chosen.validation_share
    aside = max(1, round(rows * share)) if share else 0
    kept = max(rows - aside, 0)
    return RunEstimate(
        steps=math.ceil(kept / chosen.batch_size) * chosen.n_epochs,
        tokens=round(tokens * kept / max(rows, 1)) * chosen.n_epochs,
    )


def estimate_memory(
    shape: ModelShape,
    chosen: Resolved,
    *,
    method: MethodName,
    longest: int,
    tokens_at_once: int,
    gradient_checkpointing: bool = False,
    kept_layers: int = 0,
    inputs_on_host: bool = False,
    device: Device = "cuda",
    dtype: Dtype = "bfloat16",
    gpus: int = 1,
    sharding: Sharding = "ddp",
) -> MemoryEstimate:
    """Estimate the memory of a run whose batches are as full as these numbers allow.

    `longest` is the length in tokens of the longest row that the model sees, with a sampled answer
    if there is one. The last `kept_layers` keep their activations despite `gradient_checkpointing`.
    With several `gpus`, this is the memory of each.
    """
    shards = gpus if sharding == "fsdp" else 1
    share = _share(chosen, gpus)
    width = _width(dtype)
    lora, packing, kind = chosen.lora.to_shape(), chosen.packing is True, METHODS[method]
    layers = shape.adapted(lora.target_modules)
    parameters = sum(lora.r * (layer.inputs + layer.outputs) for layer in layers)
    # GPUs with bfloat16 have the attention for joined rows.
    joined = packing and _joins(shape, device, dtype)
    positions = _positions(kind, share, tokens_at_once, longest, joined=joined)
    masked = longest if shape.eager_heads or (packing and not joined) else 0
    scores = longest * _score_bytes(shape, device, width)
    # Dropout makes an input for each layer.
    inputs = sum(layer.inputs for layer in (layers if lora.dropout else _distinct(layers)))
    kept = _kept_bytes(shape, layers, inputs, lora.r, width, masked=masked) + scores
    # Experts in NF4 keep their input only, and compute again before their backward pass.
    lasting = kept
    if chosen.quantization == "nf4" and shape.experts:
        lasting += (shape.hidden - _expert_values(shape)) * width
    if gradient_checkpointing:
        # Each layer keeps its input, and one at a time is recomputed, once the backward pass is
        # through with the last layers, which keep everything.
        inputs_kept = _INPUTS_ON_GPU if inputs_on_host else shape.layers - kept_layers
        largest = kept + _state_bytes(shape, width) * (1 - _share_with_state(shape))
        whole = max(largest, kept_layers * lasting) + kept
        activations = positions * (inputs_kept * shape.hidden * width + whole)
    else:
        # One layer's gradients exist in addition to all the kept activations.
        activations = positions * (shape.layers * lasting + kept)
    if width != _FP32:
        activations += parameters * width  # the copy of the adapter made by autocast
    scored = positions
    if kind.scores_mismatches:
        # A prompt with the answer of another sample, in a pass that keeps nothing for a backward
        # one: one layer's activations, with its input and its output.
        scored = max(positions, 2 * longest)
        activations = max(activations, scored * (2 * shape.hidden * width + kept))
    compares = kind.needs_reference
    if isinstance(chosen, ReinforcementHyperparameters):
        compares = chosen.beta > 0
    copies = 2 if compares and chosen.warm_start is not None else 1
    return MemoryEstimate(
        weights=round(_weight_bytes(shape, chosen.quantization, width, shards)),
        adapter=copies * parameters * _FP32,
        optimizer=2 * parameters * _FP32,
        gradients=parameters * _FP32,
        activations=round(activations),
        logits=_logits_bytes(shape, scored, width),
        overhead=OVERHEAD_BYTES[device] + round(_OVERHEAD_SHARE * activations),
    )


def host_bytes(
    shape: ModelShape,
    chosen: Resolved,
    *,
    method: MethodName,
    longest: int,
    tokens_at_once: int,
    dtype: Dtype,
    gpus: int,
) -> int:
    """Return the bytes of host memory for the inputs of layers, for all processes of a run."""
    joined = chosen.packing is True and _joins(shape, "cuda", dtype)
    share = _share(chosen, gpus)
    positions = _positions(METHODS[method], share, tokens_at_once, longest, joined=joined)
    one = positions * shape.hidden * _width(dtype)
    # torch rounds the size of pinned memory up to a power of two.
    return int(gpus * shape.layers * 2 ** math.ceil(math.log2(one)))


def loaded_bytes(shape: ModelShape, quantization: Quantization, dtype: Dtype = "bfloat16") -> int:
    """Return the bytes of the base model as it is loaded."""
    width = _width(dtype)
    whole = _weight_bytes(shape, quantization, width, shards=1)
    return round(whole - _dequantized_bytes(shape, quantization, width))


def _share(chosen: Resolved, gpus: int) -> int:
    """Return the number of samples of a batch on each GPU."""
    return math.ceil(chosen.batch_size * chosen.answers_per_row / gpus)


def _width(dtype: Dtype) -> int:
    return _FP32 if dtype == "float32" else 2


def _positions(
    method: TrainingMethod, batch_size: int, budget: int, longest: int, *, joined: bool
) -> int:
    if joined:
        return max(min(batch_size * longest, budget), longest)
    rows = method.rows_per_sample
    together = min(batch_size, max(budget // (rows * longest), 1))
    return rows * longest * together


def _weight_bytes(shape: ModelShape, quantization: Quantization, width: int, shards: int) -> float:
    packed = scales = 0.0
    rest = shape.parameters
    if quantization == "nf4":
        linear = sum(layer.inputs * layer.outputs for layer in shape.linears) + sum(shape.experts)
        packed, rest = linear * _NF4_BYTES, rest - linear
        stacks = 2 * len(shape.experts)  # of the projections up and down
        scales = linear * _SCALE_BYTES + (len(shape.linears) + stacks) * _CODE_BYTES
    weights = packed + rest * width
    if shards > 1:
        # FSDP does not shard the scales. The ends stay whole while the blocks compute.
        ends = shape.ends * width
        gathered = _GATHERED_BLOCKS * (weights - ends) / shape.layers
        weights = weights / shards + ends + gathered
    return weights + scales + _dequantized_bytes(shape, quantization, width)


def _dequantized_bytes(shape: ModelShape, quantization: Quantization, width: int) -> int:
    """Return the bytes of the weights that are computing, which are dequantized.

    These are a linear layer, or all experts of a layer.
    """
    if quantization == "none":
        return 0
    linears = (layer.inputs * layer.outputs for layer in shape.linears)
    return max([*linears, *shape.experts]) * width


def _distinct(layers: tuple[Linear, ...]) -> list[Linear]:
    """Return one layer for each kept input, which several layers may share."""
    found: dict[tuple[str, str | frozenset[str]], Linear] = {}
    for layer in layers:
        block, _, name = layer.name.rpartition(".")
        if name == _AFTER_ATTENTION:
            continue
        group = next((group for group in _SHARING if name in group), name)
        found.setdefault((block, group), layer)
    return list(found.values())


def _kept_bytes(
    shape: ModelShape,
    layers: tuple[Linear, ...],
    inputs: int,
    r: int,
    width: int,
    *,
    masked: int,
) -> float:
    """Return the bytes that one decoder layer keeps for its backward pass, per position.

    `inputs` is the width of all kept inputs of adapted layers. `masked` is the row length if an
    attention mask is used (packing on a GPU without bfloat16, eager attention), else 0.
    """
    norms = (shape.norm_width or 2 * shape.hidden) * _FP32
    inner = len(layers) / shape.layers * r * width
    # With a mask, keys and values are repeated for every query head.
    keys = shape.heads_width if masked else shape.kv_width
    # Latent attention turns queries and keys in fp32.
    one = _FP32 if shape.latent_heads else width
    attention: float = 2 * (shape.heads_width + keys) * one + masked * width
    if shape.attention_layers is not None:
        attention *= shape.attention_layers / shape.layers
    state = _state_bytes(shape, width) * _share_with_state(shape)
    beside_experts = shape.intermediate - shape.experts_per_token * shape.expert_width
    mlp: float = (3 * beside_experts + _expert_values(shape)) * width
    if shape.mlp_layers is not None:
        mlp *= shape.mlp_layers / shape.layers
    return norms + inputs / shape.layers * width + inner + attention + state + mlp


def _expert_values(shape: ModelShape) -> int:
    """Return the number of values that the experts of a token keep: outputs are weighted."""
    return shape.experts_per_token * (3 * shape.expert_width + shape.hidden)


def _joins(shape: ModelShape, device: Device, dtype: Dtype) -> bool:
    """Whether samples can be joined in a row, each with its own attention (see `can_join`)."""
    if shape.eager_heads or shape.linear_attention or shape.mamba:
        return False
    # FlashAttention takes no values that are narrower than the keys.
    return device == "cpu" or (dtype == "bfloat16" and not shape.latent_heads)


def _score_bytes(shape: ModelShape, device: Device, width: int) -> int:
    """Return the bytes that one layer keeps for each pair of positions.

    Eager attention keeps the scores after the softcap, and their softmax in fp32 and, if that is
    another width, in the width of the values. SDPA does not on GPUs, and on CPUs only if the widths
    of keys and values differ.
    """
    if shape.eager_heads:
        return shape.eager_heads * (width + _FP32 + (width if width != _FP32 else 0))
    return shape.latent_heads * _FP32 if device == "cpu" else 0


def _share_with_state(shape: ModelShape) -> float:
    """Return the share of the layers that have linear attention or Mamba."""
    found = shape.linear_attention or shape.mamba
    return found.layers / shape.layers if found else 0.0


def _state_bytes(shape: ModelShape, width: int) -> float:
    """Return the bytes per position that linear attention or Mamba keeps in a layer.

    transformers computes both in chunks, in fp32, with products in the width of autocast and a
    state for each chunk. The kernels that keep less are not installed: they are compiled when they
    first run.
    """
    if (linear := shape.linear_attention) is not None:
        key, value = linear.key, linear.value
        state = key * value / _CHUNK
        in_fp32 = 5 * value + 6 * key + 2 * _CHUNK + state
        products = 4 * value + 7 * key + 3 * _CHUNK + 2 * state
        return linear.heads * (in_fp32 * _FP32 + products * width) + 2 * linear.mixed * width
    if (mamba := shape.mamba) is not None:
        head, state = mamba.head, mamba.state
        in_fp32 = mamba.chunk + state + 5 * head
        products = 2 * mamba.chunk + 4 * state + 3 * head + 2 * head * state / mamba.chunk
        mixed = mamba.heads * (3 * head + 1) + 4 * mamba.groups * state
        return mamba.heads * (in_fp32 * _FP32 + products * width) + mixed * width
    return 0.0


def _logits_bytes(shape: ModelShape, positions: int, width: int) -> int:
    tokens = min(block_tokens(shape.vocabulary, width), positions)
    block = tokens * shape.vocabulary * logit_bytes(width)
    # The gradient of each token's log-probability is kept in fp32, with its hidden state.
    return block + positions * shape.hidden * (_FP32 + width)
