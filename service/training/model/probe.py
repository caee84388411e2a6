"""Token-level scores of a few rows by the finished model, to compare with the serving engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import torch
from torch import Tensor

from service.training.contract.protocol import Probe
from service.training.data.tokens import IGNORED, Example, Sample

_MAX_TOKENS: Final = 256
# Maximum number of prompt tokens kept before the scored part of a long row.
_MAX_PROMPT_TOKENS: Final = 128


@torch.no_grad()
def probe(model: Any, examples: Sequence[Example], rows: int) -> tuple[Probe, ...]:
    """Score supervised tokens of `rows` rows, with and without the adapter, in nats.

    The first short rows are used, then parts of the first long ones.
    """
    was_training = model.training
    model.eval()
    try:
        return tuple(_probe(model, sample) for sample in chosen(examples, rows))
    finally:
        model.train(was_training)


def chosen(examples: Sequence[Example], rows: int) -> Iterator[Sample]:
    """Samples to score: at most 256 tokens each, with at least one supervised token."""
    found = [s for example in examples for s in example.rows if s.supervised]
    short = (s for s in found if s.length <= _MAX_TOKENS)
    long = (_cut(s) for s in found if s.length > _MAX_TOKENS)
    return islice(chain(short, long), rows)


def _cut(sample: Sample) -> Sample:
    """Cut a long sample to the part in which its first answer begins.

    Engine and trainer read the same tokens, so it matters little if the part begins in the middle
    of a prompt.
    """
    first = next(at for at, label in enumerate(sample.labels) if label != IGNORED)
    start = max(first - _MAX_PROMPT_TOKENS, 0)
    part = slice(start, start + _MAX_TOKENS)
    labels = sample.labels[part]
    return Sample(
        input_ids=sample.input_ids[part],
        labels=labels,
        supervised=sum(label != IGNORED for label in labels),
    )


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
