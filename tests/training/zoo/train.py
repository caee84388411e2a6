"""Trainings of many models, one after the other, in one fork of the server of trainers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from service.training import Message, Succeeded, TrainSpec, parse_message
from service.training.__main__ import run_spec
from service.training.contract.child_process import Channel, StopFlag, Traffic
from tests.training.forked import in_fork
from tests.training.zoo.families import Family, make

RELOADED = "reloaded.json"

CodePath = Literal["own", "packed", "float32", "packed in float32"]
"""What the trainer chooses on this machine; rows with a mask, as on CUDA; no autocast; both."""


def make_all(families: Sequence[Family], tokenizer_from: Path, log: Path) -> None:
    """Make the tiny models that are missing. Imports nothing into this process."""
    in_fork(_make_all, families, tokenizer_from, log=log)


def train_all(specs: Sequence[TrainSpec], log: Path, path: CodePath) -> list[list[Message]]:
    """Train each spec as the trainer does, and return the messages of each."""
    in_fork(_train_all, [spec.model_dump_json() for spec in specs], path, log=log)
    return [messages(spec) for spec in specs]


def messages(spec: TrainSpec) -> list[Message]:
    """The messages of a training by `train_all`."""
    return [parse_message(line) for line in _file(spec).read_bytes().splitlines()]


def _file(spec: TrainSpec) -> Path:
    return spec.output_dir.with_suffix(".jsonl")


def _make_all(families: Sequence[Family], tokenizer_from: Path) -> None:
    for family in families:
        make(family, tokenizer_from)


def _train_all(specs: Sequence[str], path: CodePath) -> None:
    _force(path)
    for encoded in specs:
        spec = TrainSpec.model_validate_json(encoded)
        with _file(spec).open("wb") as out:
            _train(spec, Channel(out.fileno()))


def _force(path: CodePath) -> None:
    import torch

    from service.training.loop import run
    from service.training.model.models import ComputeDevice

    if path.startswith("packed"):
        vars(run)["can_join"] = lambda *_: False
    if path.endswith("float32"):
        vars(run)["choose_device"] = lambda *_: ComputeDevice("cpu", torch.float32)


def _train(spec: TrainSpec, channel: Channel) -> None:
    from service.training.contract.child_process import Inbox

    outcome = run_spec(spec, None, channel, StopFlag(), Traffic(), Inbox())
    channel.send(outcome)
    if isinstance(outcome, Succeeded):
        scores = _scores_after_reloading(spec, outcome)
        (spec.output_dir / RELOADED).write_text(json.dumps(scores))


def _scores_after_reloading(spec: TrainSpec, done: Succeeded) -> list[list[float]]:
    """Score the probes with the adapter as PEFT loads it from its files."""
    import torch
    from peft import PeftModel

    from service.training.model.models import choose_device, load_base

    base = load_base(spec, choose_device())
    model = PeftModel.from_pretrained(base, done.adapter_path).eval()
    found = []
    with torch.no_grad():
        for probe in done.probes:
            ids = torch.tensor([probe.tokens])
            scores = model(input_ids=ids).logits[0].float().log_softmax(-1)
            found.append([float(scores[at - 1, probe.tokens[at]]) for at in probe.places])
    return found
