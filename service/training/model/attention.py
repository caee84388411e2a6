"""Samples that share a row must not see each other: how they are kept apart, and whether.

transformers' way is a mask of row x row, for which SDPA works out every pair of positions and
repeats keys and values for each query head. On a CPU each sample is a causal attention of its
own instead, so that samples can be joined in a row of any width, without padding.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

_NAME: Final = "samples_apart"
_LAYERS: Final = {"full_attention", "sliding_attention"}


def can_join(model: PreTrainedModel | PeftModel, longest: int) -> bool:
    """Whether samples of at most `longest` tokens may be joined: on a CPU, in a model whose
    layers all attend to the whole of such a sample and keep joined ones apart. Leaves the
    model ready for `cu_seq_lens_q`, or as it was."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    is_plain = (
        model.device.type == "cpu"
        and config._attn_implementation == "sdpa"  # noqa: SLF001  # it has no public name
        and set(getattr(config, "layer_types", None) or _LAYERS) <= _LAYERS
        and getattr(config, "attention_chunk_size", None) is None
        and (window is None or window >= longest)
    )
    if not is_plain:
        return False
    AttentionInterface.register(_NAME, _attend)
    model.set_attn_implementation(_NAME)
    if keeps_apart(model, cu_seq_lens_q=torch.tensor([0, 8, 16])):
        return True
    model.set_attn_implementation("sdpa")
    return False


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' attention, (1, heads, T, width) -> (1, T, heads, width); sample i lies at
    `cu_seq_lens_q[i]` to `[i + 1]`. Without them each row is one sample."""
    samples = [(query, key, value)]
    if cu_seq_lens_q is not None:
        lengths = cu_seq_lens_q.diff().tolist()
        parts = (torch.split(states, lengths, dim=2) for states in (query, key, value))
        samples, attention_mask = list(zip(*parts, strict=True)), None
    told = [sdpa_attention_forward(module, *one, attention_mask, **options)[0] for one in samples]
    return torch.cat(told, dim=1) if len(told) > 1 else told[0], None


@torch.no_grad()
def keeps_apart(model: Any, **joined: Tensor) -> bool:
    """Whether a sample is blind to its neighbour in the same row: changes the first of two
    samples of 8 tokens and compares what the model makes of the second. `joined` are what the
    model is told of their places, beside their positions."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    positions = torch.arange(8).repeat(1, 2).to(device)
    second = torch.arange(20, 28)
    answers = []
    for first in (torch.arange(1, 9), torch.arange(40, 48)):
        ids = torch.cat([first, second])[None].to(device)
        logits = model(input_ids=ids, position_ids=positions, use_cache=False, **joined).logits
        answers.append(logits[0, 8:].float())
    model.train(was_training)
    return torch.allclose(answers[0], answers[1], rtol=1e-3, atol=1e-3)
