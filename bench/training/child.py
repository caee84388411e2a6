"""Runs the trainer as a child process and records its messages and memory growth."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from service.training import (
    EXIT_SUCCEEDED,
    Message,
    Noted,
    Started,
    StepDone,
    Succeeded,
    TrainSpec,
    parse_message,
)

ROOT = Path(__file__).parent.parent.parent
M = TypeVar("M", bound=Message)


@dataclass
class Watched:
    """A finished training run. Times are seconds on the monotonic clock."""

    messages: list[tuple[float, Message]] = field(default_factory=list)

    def of(self, kind: type[M]) -> list[M]:
        return [message for _, message in self.messages if isinstance(message, kind)]

    @property
    def step_seconds(self) -> float:
        """Seconds from the start of the first step to the end of the last one."""
        began = next(at for at, message in self.messages if isinstance(message, Started))
        return max(at for at, message in self.messages if isinstance(message, StepDone)) - began

    @property
    def trained_tokens(self) -> int:
        return self.of(StepDone)[-1].trained_tokens

    @property
    def peak_bytes(self) -> int:
        return self.of(Succeeded)[0].peak_memory_bytes or 0

    @property
    def dtype(self) -> Literal["bfloat16", "float32"]:
        dtype = self.of(Started)[0].dtype
        assert dtype in ("bfloat16", "float32"), dtype
        return "bfloat16" if dtype == "bfloat16" else "float32"

    @property
    def notes(self) -> str:
        return " ".join(note.message for note in self.of(Noted))


def train(spec: TrainSpec) -> Watched:
    """Run the trainer to completion. Raises RuntimeError with its log if it fails."""
    spec.output_dir.mkdir(parents=True, exist_ok=True)
    spec_file, log = spec.output_dir / "spec.json", spec.output_dir / "trainer.log"
    spec_file.write_text(spec.model_dump_json())
    watched = Watched()
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.training", str(spec_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
        )
        assert process.stdout is not None
        for line in process.stdout:
            watched.messages.append((time.monotonic(), parse_message(line)))
        if process.wait() != EXIT_SUCCEEDED:
            raise RuntimeError(f"{watched.messages[-1:]}\n{log.read_text()[-3000:]}")
    return watched
