"""Scores a finished adapter as PEFT loads it, to compare with the scores of its training.

    python -m service.training.model.with_peft SPEC.json ADAPTER PROBES.json

Prints a JSON list with the log-probabilities of each probe's scored tokens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from service.training.__main__ import set_environment
from service.training.contract.protocol import Probe
from service.training.contract.spec import TrainSpec


def score(spec: TrainSpec, adapter: Path, probes: tuple[Probe, ...]) -> list[list[float]]:
    """Return the log-probabilities of each probe's scored tokens, one probe after the other."""
    set_environment(spec.output_dir)
    # These imports load torch, for which the environment must be set.
    import torch
    from peft import PeftModel

    from service.training.loop.float16 import choose_dtype
    from service.training.model.models import choose_device, load_base

    device = choose_dtype(choose_device(spec.device), spec)
    model = PeftModel.from_pretrained(load_base(spec, device), str(adapter)).eval()
    found = []
    for probe in probes:
        tokens = torch.tensor([probe.tokens], device=device.type)
        with torch.inference_mode():
            scores = model(input_ids=tokens).logits[0].float().log_softmax(-1)
        found.append([float(scores[at - 1, probe.tokens[at]]) for at in probe.places])
    return found


def main(spec_file: Path, adapter: Path, probes_file: Path) -> None:
    """Score what the files name, and print the scores."""
    spec = TrainSpec.model_validate_json(spec_file.read_bytes())
    probes = TypeAdapter(tuple[Probe, ...]).validate_json(probes_file.read_bytes())
    print(json.dumps(score(spec, adapter, probes)))  # noqa: T201


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
