"""Reports the Trainer's events as messages, and decides when to save and stop."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from service.training.contract.child_process import Channel, StopFlag
from service.training.contract.protocol import CheckpointSaved, StepDone, StepMetrics
from service.training.contract.replay import REPLAY_FOLDER, StepRecord
from service.training.data.layout import window_starts
from service.training.loop.metrics import Tally
from service.training.loop.pacing import Pacer
from service.training.methods.trainer import AdapterTrainer, checkpoint_folder


class RunCallback(TrainerCallback):
    """Sends `step` and `checkpoint` messages; saves at the given steps and on a stop command.

    Training also stops after the spec's `replay_until`, which is one of these steps. States for
    replays are saved without a message.

    The order within a step is: the optimizer's step, validation if it is due, the `step` message,
    then the checkpoint and its message.
    """

    def __init__(
        self,
        trainer: AdapterTrainer,
        channel: Channel,
        flag: StopFlag,
        save_at: frozenset[int],
        pacer: Pacer | None = None,
    ) -> None:
        self._trainer: Final = trainer
        self._channel: Final = channel
        self._flag: Final = flag
        self._save_at: Final = save_at
        spec = trainer.plan.spec
        self._kept: Final = window_starts(
            trainer.plan.run.total_steps, spec.n_checkpoints, spec.replay_windows
        )
        self._stop_at: Final = spec.replay_until
        self._pacer: Final = pacer
        self._learning_rate = 0.0
        self._last: StepMetrics | None = None

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        start = self._trainer.plan.spec.resume_from
        if self._kept and start is not None:
            self._keep_state(start, state.global_step, shutil.copytree)

    def on_step_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.tally = Tally()

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # The scheduler advances before the end of the step is reported.
        self._learning_rate = float(kwargs["optimizer"].param_groups[0]["lr"])

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        trainer = self._trainer
        trainer.tally.merge(trainer.plan.ranks.totals)
        trainer.tally.close()
        trainer.trained_tokens += trainer.tally.tokens
        is_due = state.global_step in self._save_at
        if self._flag.is_set() or state.global_step == self._stop_at:
            control.should_training_stop = True
        trainer.saves_for_replay = (
            not is_due and not self._flag.is_set() and state.global_step in self._kept
        )
        control.should_save = is_due or self._flag.is_set() or trainer.saves_for_replay
        trainer.steps[state.global_step] = StepRecord(
            trainer.tally.metrics("train_")["train_loss"], trainer.gradient_norm
        )
        control.should_evaluate = state.global_step in trainer.plan.evaluated_at and bool(
            trainer.plan.validation
        )
        if not control.should_evaluate:
            self._send_step(state, {})

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._send_step(state, kwargs["metrics"])

    def on_save(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._last is None:
            raise RuntimeError("a checkpoint comes after a step")
        step = state.global_step
        folder = checkpoint_folder(args.output_dir or "", step)
        if step in self._kept:
            keep = Path.rename if self._trainer.saves_for_replay else shutil.copytree
            self._keep_state(folder, step, keep)
        if self._trainer.saves_for_replay:
            self._trainer.saves_for_replay = False
            return
        self._channel.send(
            CheckpointSaved(
                step=step,
                path=str(folder),
                metrics=self._last,
            )
        )

    def _keep_state(
        self, checkpoint: Path, step: int, keep: Callable[[Path, Path], object]
    ) -> None:
        """Keep a checkpoint for replays: moved or copied by `keep`."""
        if not self._trainer.plan.ranks.is_first:
            return
        target = self._trainer.plan.spec.output_dir / REPLAY_FOLDER / str(step)
        shutil.rmtree(target, ignore_errors=True)  # of a run of this folder before
        target.parent.mkdir(parents=True, exist_ok=True)
        keep(checkpoint, target)

    def _send_step(self, state: TrainerState, validation: dict[str, float]) -> None:
        trainer = self._trainer
        tally = trainer.tally
        self._last = StepMetrics.model_validate(tally.metrics("train_") | validation)
        self._channel.send(
            StepDone(
                step=state.global_step,
                total_steps=state.max_steps,
                learning_rate=self._learning_rate,
                tokens_per_second=tally.tokens_per_second,
                trained_tokens=trainer.trained_tokens,
                rested_seconds=self._pacer.take_rested_s() if self._pacer else None,
                **self._last.model_dump(),
            )
        )
