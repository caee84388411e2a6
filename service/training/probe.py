"""What the finished model says to a few rows, token by token: for a comparison with the engine
that will serve it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from service.training.protocol import Probe
from service.training.tokens import IGNORED, Example, Sample

_MAX_TOKENS: Final = 256


@torch.no_grad()
def probe(model: Any, examples: Sequence[Example], rows: int) -> tuple[Probe, ...]:
    """Log-probabilities (nats) of the supervised tokens of the first `rows` short rows, with
    the adapter and without it."""
    was_training = model.training
    model.eval()
    try:
        return tuple(_probe(model, sample) for sample in _short(examples, rows))
    finally:
        model.train(was_training)


def _short(examples: Sequence[Example], rows: int) -> Iterator[Sample]:
    found = (sample for example in examples for sample in example.rows)
    fitting = (s for s in found if s.length <= _MAX_TOKENS and s.supervised)
    for _, sample in zip(range(rows), fitting, strict=False):
        yield sample


def _probe(model: Any, sample: Sample) -> Probe:
    device = next(model.parameters()).device
    ids = torch.as_tensor(list(sample.input_ids), device=device)[None]
    labels = torch.as_tensor(list(sample.labels), device=device)[None]
    with model.disable_adapter():
        base = _score(model, ids, labels)
    tuned = _score(model, ids, labels)
    places = (labels[0, 1:] != IGNORED).nonzero().flatten() + 1
    return Probe(
        tokens=ids[0].tolist(), places=places.tolist(), tuned=tuned.tolist(), base=base.tolist()
    )


def _score(model: Any, ids: Tensor, labels: Tensor) -> Tensor:
    outputs = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        labels=labels,
        use_cache=False,
        fused_lm_head=True,
    )
    scores: Tensor = outputs.log_probs[outputs.label_mask].float().cpu()
    return scores
