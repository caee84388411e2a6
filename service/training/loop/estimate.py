"""Estimate the memory and the number of steps of a run before anything is loaded.

Pure arithmetic, without torch. What a step keeps for its backward pass was determined from torch's
saved tensors for a Llama (RMSNorm in fp32, gated MLP, LoRA in fp32 under bf16 autocast): the terms
of `_kept_bytes` came within 0.5% of them on SmolLM2-135M. `bench/training/estimate.py`
compares the whole estimate with actual runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from service.training.contract.hyperparameters import Quantization, Resolved
from service.training.contract.methods import METHODS, MethodName, TrainingMethod
from service.training.model.head_blocks import block_tokens, logit_bytes
from service.training.model.shape import Linear, ModelShape

Device = Literal["cpu", "cuda"]
Dtype = Literal["bfloat16", "float32"]

# 4 bits, plus one byte of scale per 64 weights, plus 4 bytes per 256 of those scales.
_NF4_BYTES: Final = 0.5 + 1 / 64 + 4 / (64 * 256)
_FP32: Final = 4
# Memory that the process or device takes beyond tensors: buffers of the math libraries, and what
# the allocator keeps between tensors of odd sizes. Measured on a CPU, assumed for CUDA.
_OVERHEAD_BYTES: Final = {"cpu": 150 * 2**20, "cuda": 600 * 2**20}
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
        return (
            self.weights
            + self.adapter
            + self.optimizer
            + self.gradients
            + self.activations
            + self.logits
            + self.overhead
        )


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Number of optimizer steps, and of tokens that go through the model, excluding padding."""

    steps: int
    tokens: int


def estimate_run(chosen: Resolved, *, rows: int, tokens: int) -> RunEstimate:
    """Estimate the steps and tokens of a run.

    `rows` and `tokens` describe the training file (for preferences, including both answers).
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
    device: Device = "cuda",
    dtype: Dtype = "bfloat16",
) -> MemoryEstimate:
    """Estimate the memory of a run whose batches are as full as these numbers allow.

    `longest` is the length in tokens of the longest row that the model sees.
    """
    width = 2 if dtype == "bfloat16" else _FP32
    lora, packing, kind = chosen.lora.settled(), chosen.packing is True, METHODS[method]
    layers = shape.adapted(lora.target_modules)
    parameters = sum(lora.r * (layer.inputs + layer.outputs) for layer in layers)
    joined = packing and device == "cpu"
    positions = _positions(kind, chosen.batch_size, tokens_at_once, longest, joined=joined)
    masked = longest if packing and not joined else 0
    kept = _kept_bytes(shape, layers, lora.r, width, masked=masked)
    if gradient_checkpointing:
        # Each layer keeps its input, and one layer at a time is recomputed.
        activations = positions * (shape.layers * shape.hidden * width + 2 * kept)
    else:
        # One layer's gradients exist in addition to all the kept activations.
        activations = positions * (shape.layers + 1) * kept
    if width != _FP32:
        activations += parameters * width  # the copy of the adapter made by autocast
    scored = positions
    if kind.scores_mismatches:
        # A prompt with the answer of another sample, in a pass that keeps nothing for a backward
        # one: one layer's activations, with its input and its output.
        scored = max(positions, 2 * longest)
        activations = max(activations, scored * (2 * shape.hidden * width + kept))
    copies = 2 if kind.needs_reference and chosen.warm_start is not None else 1
    return MemoryEstimate(
        weights=round(_weight_bytes(shape, chosen.quantization, width)),
        adapter=copies * parameters * _FP32,
        optimizer=2 * parameters * _FP32,
        gradients=parameters * _FP32,
        activations=round(activations),
        logits=_logits_bytes(shape, scored, width),
        overhead=_OVERHEAD_BYTES[device] + round(_OVERHEAD_SHARE * activations),
    )


def _positions(
    method: TrainingMethod, batch_size: int, budget: int, longest: int, *, joined: bool
) -> int:
    if joined:
        return max(min(batch_size * longest, budget), longest)
    rows = method.rows_per_sample
    together = min(batch_size, max(budget // (rows * longest), 1))
    return rows * longest * together


def _weight_bytes(shape: ModelShape, quantization: Quantization, width: int) -> float:
    if quantization == "none":
        return shape.parameters * width
    packed = sum(layer.inputs * layer.outputs for layer in shape.linears)
    largest = max(layer.inputs * layer.outputs for layer in shape.linears)
    # The layer that is computing is dequantized.
    return packed * _NF4_BYTES + (shape.parameters - packed + largest) * width


def _kept_bytes(
    shape: ModelShape, layers: tuple[Linear, ...], r: int, width: int, *, masked: int
) -> float:
    """Bytes that one decoder layer keeps for its backward pass, per position.

    `masked` is the row length if an attention mask is used (packing on CUDA), else 0.
    """
    norms = 2 * shape.hidden * _FP32
    # Each adapted layer keeps its own input in bf16; in fp32, neighboring layers share theirs.
    shared = 1.0 if width != _FP32 else 0.6
    inputs = sum(layer.inputs for layer in layers) / shape.layers * width * shared
    inner = len(layers) / shape.layers * r * width
    # With a mask, keys and values are repeated for every query head.
    keys = shape.heads_width if masked else shape.kv_width
    attention = 2 * (shape.heads_width + keys) * width + masked * width
    mlp = 3 * shape.intermediate * width
    return norms + inputs + inner + attention + mlp


def _logits_bytes(shape: ModelShape, positions: int, width: int) -> int:
    tokens = min(block_tokens(shape.vocabulary, width), positions)
    block = tokens * shape.vocabulary * logit_bytes(width)
    # The gradient of each token's log-probability is kept in fp32, with its hidden state.
    return block + positions * shape.hidden * (_FP32 + width)
