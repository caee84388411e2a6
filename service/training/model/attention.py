"""Keeps samples that share a row from attending to each other, and checks that they do not.

transformers uses a mask of row x row for this: SDPA then computes every pair of positions and
repeats keys and values for each query head. Here each sample instead gets its own causal attention,
so samples can be joined in a row of any width without padding: on a CPU one after the other, and on
GPUs that have it in one call of torch's attention for samples of different lengths.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations import sdpa_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from service.training.model.models import ComputeDevice

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # it has no promise of stability
    varlen_attn = None  # type: ignore[assignment]

_NAME: Final = "samples_apart"
# FlashAttention, which varlen_attn calls, needs them: compute capability, dtypes, width of a head.
_FLASH_CAPABILITY: Final = (8, 0)
_FLASH_DTYPES: Final = (torch.bfloat16, torch.float16)
_FLASH_WIDTH: Final = 256
_LAYERS: Final = {"full_attention", "sliding_attention"}
_SAME_GRADIENT: Final = 0.01  # of the largest value


def may_join(device: ComputeDevice) -> bool:
    """Whether samples can be joined on this device, if the model allows it too (`can_join`)."""
    return device.type == "cpu" or (varlen_attn is not None and _has_flash(device))


def _has_flash(device: ComputeDevice) -> bool:
    return device.dtype in _FLASH_DTYPES and torch.cuda.get_device_capability() >= _FLASH_CAPABILITY


def avoid_scores(device: ComputeDevice) -> None:
    """Keep torch from computing the scores of all pairs of positions on GPUs like the T4.

    Without FlashAttention, torch's attention in blocks needs as many heads of keys as of queries.
    transformers would leave their repetition to torch, which then computes all scores: a step of an
    8B model with rows of 1,024 tokens took half as much memory again.
    """
    if device.type == "cuda" and not _has_flash(device):
        sdpa_attention.use_gqa_in_sdpa = _repeats_keys


def _repeats_keys(*_: Any) -> bool:
    return False


def can_join(model: PreTrainedModel | PeftModel, longest: int) -> bool:
    """Whether samples of at most `longest` tokens can be joined in one row.

    This requires a model whose layers attend to the whole of such a sample or to a sliding window,
    and keep joined samples apart, and the device's attention for them. If so, the model is prepared
    for `cu_seq_lens_q`; otherwise it is unchanged.
    """
    config = model.config.get_text_config()
    is_plain = (
        (model.device.type == "cpu" or _is_for_flash(model, config))
        and config._attn_implementation == "sdpa"  # noqa: SLF001  # it has no public name
        and set(getattr(config, "layer_types", None) or _LAYERS) <= _LAYERS
        and getattr(config, "attention_chunk_size", None) is None
    )
    if not is_plain:
        return False
    windows: dict[int, int | None] = {}
    AttentionInterface.register(_NAME, functools.partial(_attend, windows=windows))
    model.set_attn_implementation(_NAME)
    is_apart = _keeps_joined_apart(model)
    AttentionInterface.register(_NAME, _attend)
    if is_apart and _are_all_windows(windows, config, longest):
        return True
    model.set_attn_implementation("sdpa")
    return False


def _are_all_windows(windows: dict[int, int | None], config: Any, longest: int) -> bool:
    """Whether the layers gave their attention the windows that the config names.

    A layer that leaves its window to the mask, which is not used here, would see whole samples.
    """
    window = getattr(config, "sliding_window", None)
    if window is None or window >= longest:
        return True
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    return windows == {
        layer: window if kind == "sliding_attention" else None for layer, kind in enumerate(kinds)
    }


def _is_for_flash(model: PreTrainedModel | PeftModel, config: Any) -> bool:
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (
        may_join(ComputeDevice(model.device.type, model.dtype))
        and width <= _FLASH_WIDTH
        and not getattr(config, "attention_dropout", 0.0)  # which varlen_attn lacks
    )


def _keeps_joined_apart(model: PreTrainedModel | PeftModel) -> bool:
    places = torch.tensor([0, 8, 16], dtype=torch.int32, device=model.device)
    try:
        return keeps_apart(model, cu_seq_lens_q=places, max_length_q=8)
    except RuntimeError:
        if model.device.type == "cpu":
            raise
        return False  # its attention has no kernel for this model


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    sliding_window: int | None = None,
    windows: dict[int, int | None] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention function for transformers, (1, heads, T, width) -> (1, T, heads, width).

    Sample i spans `cu_seq_lens_q[i]` to `[i + 1]`. Without `cu_seq_lens_q`, each row is one sample,
    and `attention_mask` is that of transformers. `max_length_q` is the length of the longest
    sample. A position sees itself and those before it, at most `sliding_window` in all. `windows`
    gets the window of each layer.
    """
    if windows is not None:
        windows[getattr(module, "layer_idx", -1)] = sliding_window
    if cu_seq_lens_q is not None and query.is_cuda:
        scaling = options.get("scaling")
        output = attend_at_once(
            query, key, value, cu_seq_lens_q, max_length_q, scaling, sliding_window
        )
        return output, None
    samples = [(query, key, value)]
    if cu_seq_lens_q is not None:
        lengths = cu_seq_lens_q.diff().tolist()
        parts = (torch.split(states, lengths, dim=2) for states in (query, key, value))
        samples, attention_mask = list(zip(*parts, strict=True)), None
    outputs = [
        sdpa_attention_forward(
            module, *one, _mask(one[0], attention_mask, sliding_window), **options
        )[0]
        for one in samples
    ]
    return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0], None


def _mask(query: Tensor, given: Tensor | None, window: int | None) -> Tensor | None:
    """Return the mask of a sample's positions, or None if each sees all before it."""
    length = query.shape[2]
    if given is not None or window is None or length <= window:
        return given
    seen = torch.ones(length, length, dtype=torch.bool, device=query.device)
    return seen.tril().triu(1 - window)[None, None]


def attend_at_once(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    longest: int,
    scaling: float | None,
    window: int | None = None,
) -> Tensor:
    """Attend within each sample of a joined row in one call, on CUDA.

    Shapes are those of `_attend`. `starts` has the start of each sample and the end of the last,
    in int32. Keys and values are not repeated for each query head.
    """
    assert varlen_attn is not None
    # Some models turn queries and keys in float32.
    half = value.dtype if value.dtype in _FLASH_DTYPES else torch.get_autocast_dtype("cuda")
    queries, keys, values = (s[0].transpose(0, 1).to(half) for s in (query, key, value))
    output = varlen_attn(
        queries,
        keys,
        values,
        starts,
        starts,
        longest,
        longest,
        scale=scaling,
        # The positions seen before and after each one: causal.
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(output, Tensor)
    return output[None]


@torch.enable_grad()
def keeps_apart(model: Any, **joined: Tensor | int) -> bool:
    """Whether a sample is unaffected by its neighbor in the same row, in both passes.

    Changes the first of two samples of 8 tokens. Compares the model's output for the second one,
    and the gradient of its loss with respect to the trained weights. `joined` holds the arguments
    that, besides the positions, show the model where the samples are.
    """
    was_training = model.training
    model.eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = next(model.parameters()).device
    positions = torch.arange(8).repeat(1, 2).to(device)
    second = torch.arange(20, 28)
    answers, gradients = [], []
    for first in (torch.arange(1, 9), torch.arange(40, 48)):
        ids = torch.cat([first, second])[None].to(device)
        logits = model(input_ids=ids, position_ids=positions, use_cache=False, **joined).logits
        answers.append(logits[0, 8:].float())
        if trained:
            loss = answers[-1].log_softmax(-1)[:, second].diagonal().sum()
            gradients.append(torch.autograd.grad(loss, trained, allow_unused=True))
    model.train(was_training)
    if not torch.allclose(answers[0], answers[1], rtol=1e-3, atol=1e-3):
        return False
    found = [(a, b) for a, b in zip(*gradients, strict=True) if a is not None] if trained else []
    # Their parts may be summed in another order.
    return all((a - b).abs().max() <= _SAME_GRADIENT * a.abs().max() for a, b in found)
