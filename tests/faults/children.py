"""Other processes as parts of this one: the reader of data sets, a trainer, and a model."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Self
from unittest import mock

from service.inference.background.calls import EngineCalls
from service.models.registry import ServableModel
from service.training.contract.protocol import (
    CheckpointSaved,
    Started,
    StepDone,
    StepMetrics,
    Stopped,
    Succeeded,
)
from tests.adapters import adapter

STEPS = 2
_SLOW_S = 0.2
Trained = tuple[list[tuple[str, int]], AbstractSet[str]]
"""The starts of trainers, and the jobs whose steps take long."""
_METRICS: Mapping[str, float] = {"train_loss": 1.0, "train_mean_token_accuracy": 0.5}


class InlineDatasetProcess:
    """Runs `service.datasets` when it is started, with the interface of a worker's `Child`."""

    def __init__(self, output: str, code: int) -> None:
        self._output, self._code = output, code

    @classmethod
    async def start(cls, argv: Sequence[str], *, env: Mapping[str, str], stderr: Path) -> Self:
        """Run the task of the spec."""
        from service.datasets import __main__ as desk

        output = io.StringIO()
        with contextlib.redirect_stdout(output), mock.patch("resource.setrlimit"):
            code = desk.main([argv[-1]])
        stderr.touch()
        return cls(output.getvalue(), code)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines that the task wrote."""
        for line in self._output.splitlines():
            yield line.encode()

    async def wait(self) -> int:
        """Return the exit code."""
        return self._code

    async def kill(self) -> None:
        """Do nothing: the task has ended."""


class ScriptedTrainer:
    """A trainer that computes nothing. It continues from its checkpoint, and stops when told to."""

    starts: list[tuple[str, int]] = []
    """The job and the attempt of each start."""
    slow: set[str] = set()
    """The jobs whose steps take long enough for the worker to see that it has to stop."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec, self._out = spec, Path(spec["output_dir"])
        self._told_to_stop = self._killed = False
        self._step = 0

    @classmethod
    def known(cls, jobs: AbstractSet[str]) -> Trained:
        """Return what is known of jobs."""
        return [start for start in cls.starts if start[0] in jobs], cls.slow & jobs

    @classmethod
    def know_only(cls, jobs: AbstractSet[str], trained: Trained) -> None:
        """Forget everything about jobs that has happened since."""
        starts, slow = trained
        cls.starts[:] = [*(start for start in cls.starts if start[0] not in jobs), *starts]
        cls.slow.difference_update(jobs - slow)
        cls.slow.update(slow)

    @classmethod
    async def start(cls, argv: Sequence[str], *, env: Mapping[str, str], stderr: Path) -> Self:
        """Start the training of the spec."""
        spec = json.loads(Path(argv[-1]).read_text("utf-8"))
        cls.starts.append((spec["job_id"], spec["attempt"]))
        return cls(spec)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the messages of the training."""
        resumed = self._spec["resume_from"]
        self._step = json.loads((Path(resumed) / "state.json").read_text()) if resumed else 0
        yield self._started()
        while self._step < STEPS:
            await asyncio.sleep(_SLOW_S if self._spec["job_id"] in self.slow else 0)
            if self._killed:
                return
            if self._told_to_stop:
                yield _line(Stopped(step=self._step, path=None))
                return
            self._step += 1
            yield _line(StepDone(**_METRICS, step=self._step, total_steps=STEPS, **_PROGRESS))
            yield self._saved()
        yield self._succeeded()

    def _started(self) -> bytes:
        return _line(
            Started(
                total_steps=STEPS,
                examples=4,
                validation_examples=0,
                supervised_tokens=10,
                device="cpu",
                dtype="float32",
                resumed_step=self._step,
                trainable_parameters=10,
            )
        )

    def _saved(self) -> bytes:
        folder = self._write_adapter(f"checkpoint-{self._step}")
        (folder / "state.json").write_text(json.dumps(self._step))
        # The loss on held-out rows is lowest with the lowest learning rate.
        chosen = self._spec["hyperparameters"]
        loss = 1000 * chosen["learning_rate"] if chosen["validation_share"] else None
        metrics = StepMetrics(**_METRICS, valid_loss=loss)
        return _line(CheckpointSaved(step=self._step, path=str(folder), metrics=metrics))

    def _succeeded(self) -> bytes:
        folder = self._write_adapter("adapter")
        return _line(Succeeded(adapter_path=str(folder), trained_tokens=30, final_step=STEPS))

    def _write_adapter(self, name: str) -> Path:
        folder = self._out / name
        folder.mkdir(parents=True)
        for file, content in adapter().items():
            (folder / file).write_bytes(content)
        return folder

    async def send(self, line: bytes) -> None:
        """Stop before the next step."""
        self._told_to_stop = True

    async def wait(self) -> int:
        """Return the exit code."""
        return -9 if self._killed else 0

    async def kill(self) -> None:
        """End the training."""
        self._killed = True


_POST = EngineCalls._post


async def answered(
    calls: EngineCalls, model: ServableModel, path: str, request: bytes
) -> dict[str, Any]:
    """Answer a request for rows as a model does. Other requests find no engine."""
    body = json.loads(request)
    if "response_format" not in body:
        return await _POST(calls, model, path, request)
    prompt = body["messages"][0]["content"]
    said: dict[str, Any] = {"verdict": "yes"}
    if body["response_format"]["json_schema"]["name"] == "rows":
        room = prompt.partition("Room ")[2].split()[0]
        said = {"rows": [{"question": f"What is in room {room}?", "answer": f"Map {room}."}]}
    message = {"role": "assistant", "content": json.dumps(said)}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return {"choices": [{"index": 0, "message": message}], "usage": usage}


_PROGRESS: Mapping[str, Any] = {
    "learning_rate": 1e-4,
    "tokens_per_second": 100.0,
    "trained_tokens": 10,
}


def _line(message: Any) -> bytes:
    return message.model_dump_json().encode()
