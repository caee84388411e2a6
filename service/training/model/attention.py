"""Keep samples that share a row from attending to each other, and check that they do not.

transformers uses a mask of row x row for this: SDPA then computes every pair of positions and
repeats keys and values for each query head. On a CPU, each sample instead gets its own causal
attention, so samples can be joined in a row of any width without padding.
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
    """Whether samples of at most `longest` tokens can be joined in one row.

    This requires a CPU and a model whose layers all attend to the whole of such a sample and keep
    joined samples apart. If so, the model is prepared for `cu_seq_lens_q`; otherwise it is
    unchanged.
    """
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
    """Attention function for transformers, (1, heads, T, width) -> (1, T, heads, width).

    Sample i spans `cu_seq_lens_q[i]` to `[i + 1]`. Without `cu_seq_lens_q`, each row is one sample.
    """
    samples = [(query, key, value)]
    if cu_seq_lens_q is not None:
        lengths = cu_seq_lens_q.diff().tolist()
        parts = (torch.split(states, lengths, dim=2) for states in (query, key, value))
        samples, attention_mask = list(zip(*parts, strict=True)), None
    outputs = [
        sdpa_attention_forward(module, *one, attention_mask, **options)[0] for one in samples
    ]
    return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0], None


@torch.no_grad()
def keeps_apart(model: Any, **joined: Tensor) -> bool:
    """Whether a sample is unaffected by its neighbor in the same row.

    Changes the first of two samples of 8 tokens and compares the model's output for the second.
    `joined` holds the arguments that, besides the positions, show the model where the samples are.
    """
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
