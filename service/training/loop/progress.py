"""Reports the Trainer's events as messages, and decides when to save and stop."""

from __future__ import annotations

import shutil
from typing import Any, Final

from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from service.training.contract.child_process import Channel, StopFlag
from service.training.contract.protocol import CheckpointSaved, StepDone, StepMetrics
from service.training.contract.replay import (
    REPLAY_FOLDER,
    StepRecord,
    parse_point,
    point_name,
    replay_points,
)
from service.training.loop.metrics import Tally
from service.training.loop.pacing import Pacer
from service.training.methods.trainer import AdapterTrainer, checkpoint_folder


class RunCallback(TrainerCallback):
    """Sends `step` and `checkpoint` messages; saves at the given steps and on a stop command.

    Training also stops after `pause_at`, which is one of these steps. States for replays are saved
    without a message.

    The order within a step is: the optimizer's step, validation if it is due, the `step` message,
    then the checkpoint and its message.
    """

    def __init__(
        self,
        trainer: AdapterTrainer,
        channel: Channel,
        flag: StopFlag,
        save_at: frozenset[int],
        pause_at: int | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        self._trainer: Final = trainer
        self._channel: Final = channel
        self._flag: Final = flag
        self._save_at: Final = save_at
        self._pause_at: Final = pause_at
        spec = trainer.plan.spec
        self._points: Final = replay_points(save_at) if spec.replay_points else {}
        self._pacer: Final = pacer
        self._learning_rate = 0.0
        self._last: StepMetrics | None = None

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
        if self._flag.is_set() or state.global_step == self._pause_at:
            control.should_training_stop = True
        trainer.saves_replay_point = (
            not is_due and not self._flag.is_set() and state.global_step in self._points
        )
        control.should_save = is_due or self._flag.is_set() or trainer.saves_replay_point
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
        if self._trainer.saves_replay_point:
            self._keep_point(state.global_step)
            return
        self._channel.send(
            CheckpointSaved(
                step=state.global_step,
                path=str(checkpoint_folder(args.output_dir or "", state.global_step)),
                metrics=self._last,
            )
        )

    def _keep_point(self, step: int) -> None:
        """Keep the checkpoint of a step for replays, and delete those that are too many."""
        self._trainer.saves_replay_point = False
        spec, ranks = self._trainer.plan.spec, self._trainer.plan.ranks
        if not ranks.is_first:
            return
        folder = spec.output_dir / REPLAY_FOLDER
        target = folder / point_name(step, self._points[step])
        shutil.rmtree(target, ignore_errors=True)  # of a run of this folder before
        target.parent.mkdir(exist_ok=True)
        checkpoint_folder(spec.output_dir, step).rename(target)
        ends = {parse_point(point.name)[1]: point for point in folder.iterdir()}
        # With `keep_best`, the adapter may be that of an earlier evaluation.
        best = self._trainer.selection.best_step
        for end in sorted(ends.keys() - {best})[: -spec.replay_points]:
            shutil.rmtree(ends[end])

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
