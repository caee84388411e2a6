"""The demo model learns to be brief from rewards alone: `make proof NAME=reinforcement`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.training import Message, StepDone, TrainSpec
from service.training.contract.samples import Answer
from tests.training.conftest import Trainer
from tests.training.graders import serve
from tests.training.specs import spec_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        "FINETUNED_REINFORCEMENT" not in os.environ,
        reason="15 minutes: 'make proof NAME=reinforcement' runs it",
    ),
]

COUNTRIES = ("France", "Japan", "Kenya", "Peru", "Norway", "Egypt", "Canada", "Thailand")


def brevity(answer: Answer) -> float:
    """The reward: 1 for a word, and less for each further one; nothing for nothing."""
    words = len(answer.text.split())
    return 1 / words if words else 0.0


def test_the_demo_model_learns_to_be_brief(
    start: Callable[[TrainSpec], Trainer], demo_model_path: Path, tmp_path: Path
) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"What is the capital of {name}?"}], "item": {}}
        for name in COUNTRIES
    ]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = spec_of(
        job_id="ftjob-proof",
        base_model="demo",
        base_model_path=demo_model_path,
        training_file=file,
        output_dir=tmp_path / "out",
        seed=1,
        method="reinforcement",
        sampling="trainer",
        n_epochs=8,
        batch_size=4,
        group_size=8,
        max_completion_tokens=16,
        max_seq_length=128,
        learning_rate=3e-4,
        quantization="none",
        lora={"r": 16},
        n_checkpoints=1,
    )
    run = start(spec)
    serve(run, brevity, until=report)
    assert run.wait() == 0, run.log.read_text()
    rewards = [step.train_reward_mean for step in run.of(StepDone)]
    first, last = sum(rewards[:3]) / 3, sum(rewards[-3:]) / 3
    assert last > first + 0.2


def report(message: Message) -> bool:
    """Print a step. Never the end of the training."""
    if isinstance(message, StepDone):
        print(
            f"step {message.step}: mean reward {message.train_reward_mean:.2f}, "
            f"{message.train_mean_completion_tokens:.1f} tokens per answer",
            flush=True,
        )
    return False
