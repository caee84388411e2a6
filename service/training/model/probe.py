"""Scores tokens of a few rows with the finished model, to compare with the serving engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import torch

from service.training.contract.protocol import Probe
from service.training.data.tokenization import IGNORED, Example, Sample

_MAX_TOKENS: Final = 256
# Maximum number of prompt tokens kept before the scored part of a long row.
_MAX_PROMPT_TOKENS: Final = 128


@torch.no_grad()
def probe(model: Any, examples: Sequence[Example], rows: int) -> tuple[Probe, ...]:
    """Score supervised tokens of `rows` rows, with and without the adapter, in nats.

    The first short rows are used, then parts of the first long ones. They are scored in one batch,
    because each forward pass converts all NF4 weights: 0.2 s on a CPU with the demo model.
    """
    samples = list(choose_samples(examples, rows))
    if not samples:
        return ()
    was_training = model.training
    model.eval()
    try:
        with model.disable_adapter():
            base = score_samples(model, samples)
        tuned = score_samples(model, samples)
    finally:
        model.train(was_training)
    return tuple(
        Probe(
            tokens=list(sample.input_ids),
            places=_scored_positions(sample),
            tuned=after,
            base=before,
        )
        for sample, after, before in zip(samples, tuned, base, strict=True)
    )


def choose_samples(examples: Sequence[Example], rows: int) -> Iterator[Sample]:
    """Yield the samples to score: at most 256 tokens each, with at least one supervised token."""
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


def _scored_positions(sample: Sample) -> list[int]:
    return [at for at, label in enumerate(sample.labels) if at > 0 and label != IGNORED]


@torch.no_grad()
def score_samples(model: Any, samples: Sequence[Sample]) -> list[list[float]]:
    """Return the log-probabilities of the supervised tokens, by sample, in nats.

    `model` has a frozen head (see `head`). Shorter samples are padded at the end.
    """
    shape = len(samples), max(sample.length for sample in samples)
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    for row, sample in enumerate(samples):
        ids[row, : sample.length] = torch.as_tensor(list(sample.input_ids))
        labels[row, : sample.length] = torch.as_tensor(list(sample.labels))
        mask[row, : sample.length] = 1
    device = next(model.parameters()).device
    outputs = model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        labels=labels.to(device),
        use_cache=False,
        fused_lm_head=True,
    )
    log_probs, scored = outputs.log_probs.float().cpu(), outputs.label_mask.cpu()
    return [found[where].tolist() for found, where in zip(log_probs, scored, strict=True)]
