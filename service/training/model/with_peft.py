"""Scores a finished adapter as PEFT loads it, to compare with the scores of its training.

    python -m service.training.model.with_peft SPEC.json ADAPTER PROBES.json

Prints a JSON list with the log-probabilities of each probe's scored tokens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from pydantic import TypeAdapter

from service.training.contract.protocol import Probe
from service.training.contract.spec import TrainSpec
from service.training.loop.float16 import choose_dtype
from service.training.model.models import choose_device, load_base


@torch.no_grad()
def score(spec: TrainSpec, adapter: Path, probes: tuple[Probe, ...]) -> list[list[float]]:
    """Return the log-probabilities of each probe's scored tokens, one probe after the other."""
    device = choose_dtype(choose_device(spec.device), spec)
    model = PeftModel.from_pretrained(load_base(spec, device), str(adapter)).eval()
    found = []
    for probe in probes:
        tokens = torch.tensor([probe.tokens], device=device.type)
        scores = model(input_ids=tokens).logits[0].float().log_softmax(-1)
        found.append([float(scores[at - 1, probe.tokens[at]]) for at in probe.places])
    return found


if __name__ == "__main__":
    spec_file, adapter, probes_file = map(Path, sys.argv[1:])
    print(  # noqa: T201
        json.dumps(
            score(
                TrainSpec.model_validate_json(spec_file.read_bytes()),
                adapter,
                TypeAdapter(tuple[Probe, ...]).validate_json(probes_file.read_bytes()),
            )
        )
    )
