"""Adds to transformers' Trainer what all methods need: data, bookkeeping and checkpoints.

The loop, the optimizer, mixed precision and resuming come from TRL and transformers. Here, examples
arrive tokenized and labeled. The order is a function of the seed. A batch goes through the model in
parts that fit a token budget. The metrics of a step are means over its tokens or pairs. Validation
can be interrupted and can end the run. A checkpoint holds only the adapter and is sealed.
"""

from __future__ import annotations

import copy
import functools
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.child_process import StopFlag
from service.training.contract.failures import TrainingFailure
from service.training.contract.replay import StepRecord, read_steps, write_steps
from service.training.data.batches import (
    Collator,
    JoinedCollator,
    LabeledCollator,
    MismatchCollator,
    PackedCollator,
    PaddedCollator,
    PairCollator,
    RankCollator,
    collate_numbers,
    extent,
    to_dataset,
)
from service.training.data.layout import Rows, epoch_order
from service.training.data.tokenization import Example, LabeledSample, Pair, Prompt
from service.training.loop.checkpoints import Seal, are_finite, seal
from service.training.loop.float16 import LossScale, half_precision
from service.training.loop.metrics import Tally
from service.training.loop.plan import Plan, rate_factor, trainer_arguments
from service.training.loop.selection import Selection
from service.training.model.adapters import load_weights, save_adapter, start_from, sum_in_place
from service.training.model.head import use_frozen_head
from service.training.model.models import keep_adapter_in_fp32
from service.training.parallel.ranks import load_random_state, random_state, random_state_file

# Number of validation rows scored at a checkpoint mid-run; the last checkpoint scores all.
VALIDATION_ROWS: Final = 256


class AdapterTrainer(Trainer):
    """Trains the adapter of a `PeftModel` on a `Plan`. Subclasses provide `compute_loss`.

    A subclass that also extends one of TRL's trainers names this class first, and returns TRL's
    configuration from `_arguments`. Raises `TrainingFailure` (loss_not_finite).
    """

    def __init__(
        self,
        model: Any,
        plan: Plan,
        tokenizer: PreTrainedTokenizerBase,
        flag: StopFlag,
    ) -> None:
        self.plan = plan
        self._adapted = model
        self._flag = flag
        self.tally = Tally()
        self.trained_tokens = 0
        self.selection = Selection()
        # Step of the newest checkpoint, which may be the one that the run resumed from.
        self.kept_step = 0
        self.saves_for_replay = False  # the checkpoint of this step is only for replays
        self.steps: dict[int, StepRecord] = {}
        self.gradient_norm = 0.0  # of the last step, before clipping
        self._batch_loss = torch.zeros(())
        self.extent = (0, 0)  # of the last part: positions, and length of its longest row or sample
        self._scale = LossScale() if plan.device.dtype == torch.float16 else None
        super().__init__(
            model=model,
            args=self._arguments(plan),
            data_collator=_make_collator(plan),
            train_dataset=to_dataset(plan.training),
            processing_class=tokenizer,
        )
        # A batch is one step, and compute_loss divides by the units of all the batch's parts.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        keep_adapter_in_fp32(model)
        start_from(model, plan.spec)
        if plan.ranks.size > 1:
            plan.ranks.copy_from_first(self._trained())
            # All ranks created the same adapter; from here on, each draws its own dropout.
            torch.manual_seed(plan.spec.seed + plan.ranks.index)
        use_frozen_head(model.get_base_model())
        sum_in_place(model)
        self._prepare_validation()

    def _arguments(self, plan: Plan) -> TrainingArguments:
        """Return the arguments of the Trainer that this class extends."""
        return TrainingArguments(**trainer_arguments(plan))

    def continue_from(self, sealed: Seal) -> None:
        """Set the state of the steps before the checkpoint that the run resumes from."""
        self.trained_tokens = sealed.trained_tokens
        self.kept_step = sealed.step
        if self.plan.spec.resume_from and self.plan.ranks.is_first:
            self.steps = read_steps(self.plan.spec.resume_from)

    def _prepare_validation(self) -> None:
        rows = sorted(self.plan.validation, key=lambda example: example.length)
        self._all_validation = to_dataset(rows, len(self.plan.training)) if rows else None
        self._some_validation = self._all_validation
        if self._all_validation and len(rows) > VALIDATION_ROWS and not self.plan.spec.selects:
            share = len(rows) / VALIDATION_ROWS
            self._some_validation = self._all_validation.select(
                [int(row * share) for row in range(VALIDATION_ROWS)]
            )

    def _trained(self) -> list[torch.nn.Parameter]:
        return [p for p in self._adapted.parameters() if p.requires_grad]

    @property
    def best_weights(self) -> Path:
        """File with the weights of the best evaluation, used with `keep_best`."""
        return self.plan.spec.output_dir / "best" / WEIGHTS

    def load_best(self) -> None:
        """Load the weights of the best evaluation, which the first rank has on its disk."""
        if self.plan.ranks.is_first:
            load_weights(self._adapted, self.best_weights)
        self.plan.ranks.copy_from_first(self._trained())

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _Order(self.plan)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer,
            functools.partial(rate_factor, total_steps=num_training_steps),
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: floating-point operations are not counted."""
        return 0

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Run forward and backward passes over one batch, part by part."""
        if self._scale is None:
            return self._forward_and_backward(model, inputs, 1.0)
        before = copy.copy(self.tally)
        while True:
            total = self._forward_and_backward(model, inputs, self._scale.factor)
            if self._scale.unscale(self._trained()):
                return total
            if self._scale.is_exhausted or not total.isfinite():
                raise self._not_finite()
            model.zero_grad()
            self.tally = copy.copy(before)

    def _forward_and_backward(self, model: Any, inputs: dict[str, Any], factor: float) -> Tensor:
        """Compute the gradients of a batch, multiplied by `factor`. Returns its loss."""
        total: Tensor | float = 0.0
        for part, units in self._parts(inputs):
            self.extent = extent(part)
            loss = super().training_step(model, part, num_items_in_batch=units / factor)
            total = total + loss / factor
        self.plan.ranks.sum_gradients(self._trained())
        self._batch_loss = torch.as_tensor(total, device=self.args.device)
        return self._batch_loss

    def mixed_precision(self) -> AbstractContextManager[None]:
        """Return the context in which the model computes, with its adapter in fp32.

        accelerate knows it for bfloat16. For float16 it would bring torch's GradScaler.
        """
        if self._scale is not None:
            return half_precision(self.plan.device)
        context: AbstractContextManager[None] = self.accelerator.autocast()
        return context

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> AbstractContextManager[None]:
        """Return the context of a forward pass in training; accelerate's is in the model."""
        return nullcontext() if self._scale is None else self.mixed_precision()

    def _parts(self, inputs: dict[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
        """Yield each part of a batch and the divisor of its loss.

        Filler parts, which even out this rank's share, get an infinite divisor and are not tallied.
        """
        for part in inputs["parts"]:
            yield part, inputs["units"]
        counted, self.tally = self.tally, Tally()
        try:
            for part in inputs.get("fillers", ()):
                yield part, math.inf
        finally:
            self.tally = counted

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        # The only time in a step that this process waits for the device.
        found = self.tally.read(torch.as_tensor(norm), self._batch_loss)
        if not all(map(math.isfinite, found)):
            # This runs before the optimizer's step: the weights are still intact, but no step
            # follows.
            raise self._not_finite()
        self.gradient_norm = found[0]
        return norm

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the validation rows: some of them mid-run, all at the end or if their loss decides.

        The callbacks receive `valid_*` and, if all rows were scored, `full_valid_*`. They receive
        no metrics if a stop command interrupted the evaluation.
        """
        is_last = self.state.global_step >= self.state.max_steps
        found = self._score(self._some_validation, "valid_")
        if self._flag.is_set():
            self.control.should_training_stop = True
        if found and self._some_validation is self._all_validation:
            found |= {f"full_{name}": value for name, value in found.items()}
        elif found and is_last:
            found |= self._score(self._all_validation, "full_valid_")
        self.select(found, self.state.global_step)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def select(self, found: dict[str, float], step: int) -> None:
        """Apply early stopping and best-adapter selection to an evaluation of all rows."""
        chosen, loss = self.plan.spec.hyperparameters, self.deciding_loss(found)
        if not chosen.selects or loss is None:
            return
        is_best = self.selection.observe(step, loss, chosen.early_stopping)
        if is_best and chosen.keep_best and self.plan.ranks.is_first:
            save_adapter(self._adapted, self.best_weights.parent)
        if self.selection.is_over:
            self.control.should_training_stop = True

    def deciding_loss(self, found: dict[str, float]) -> float | None:
        """Return the number by which evaluations are compared: the lower, the better."""
        return found.get("full_valid_loss")

    def probed(self) -> Sequence[Example]:
        """Return the examples of which some are scored with and without the finished adapter."""
        return self.plan.validation or self.plan.training

    def catch_up(self, step: int) -> None:
        """Redo the evaluation that a stop command cut short.

        Call this after loading the adapter from the checkpoint of `step`.
        """
        found = self._score(self._all_validation, "full_valid_")
        self.select(found, step)

    def validation_losses(self) -> tuple[float, float] | None:
        """Score all validation rows: the loss of the base model, and that with the adapter.

        None if there are no such rows, or a stop command interrupted this.
        """
        with self._adapted.disable_adapter():
            before = self._score(self._all_validation, "")
        after = self._score(self._all_validation, "")
        return (before["loss"], after["loss"]) if before and after else None

    def _score(self, rows: Any, prefix: str) -> dict[str, float]:
        if rows is None:
            return {}
        training, self.tally = self.tally, Tally()
        self._adapted.eval()
        try:
            # Trainer makes the forward pass do this only once training has begun, so not in
            # `catch_up`.
            with torch.no_grad(), self.mixed_precision():
                is_whole = self._tally_all(rows)
            self.tally.merge(self.plan.ranks.totals)
            if not math.isfinite(self.tally.loss_sum):
                raise self._not_finite()
            return self.tally.metrics(prefix) if is_whole else {}
        finally:
            self.tally = training

    def _tally_all(self, rows: Any) -> bool:
        """Tally all `rows`. Returns whether it finished without a stop command."""
        size = self.plan.spec.hyperparameters.batch_size
        for start in range(0, len(rows), size):
            batch = [rows[row] for row in range(start, min(start + size, len(rows)))]
            for part, _ in self._parts(self.data_collator(batch)):
                if self._flag.is_set():
                    return False
                self.extent = extent(part)
                self.compute_loss(self._adapted, self._prepare_inputs(part))
        return True

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step, ranks = self.state.global_step, self.plan.ranks
        if not are_finite(self._trained()):
            raise self._not_finite()
        folder = checkpoint_folder(self.plan.spec.output_dir, step)
        try:
            if ranks.is_first:
                # Bypass TRL's method, which writes a model card.
                Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001
                self._write_state(folder, step)
            # Only the first rank writes: the others may be on machines with other disks.
            states = ranks.collect(f"random-state/{step}", random_state())
            if ranks.is_first:
                for index, state in enumerate(states[1:], start=1):
                    random_state_file(folder, index).write_bytes(state)
                seal(folder, self.plan.run, step=step, trained_tokens=self.trained_tokens)
            if not self.saves_for_replay:
                self.kept_step = step
        except BaseException:
            # A partial checkpoint is useless, and its disk space may be needed after the failure.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write_state(self, folder: Path, step: int) -> None:
        """Add to a checkpoint what the Trainer does not know. Raises OSError."""
        write_steps(folder, self.steps)
        if self.plan.spec.selects:
            self.selection.write(folder, step, self.best_weights)
        if self._scale is not None:
            self._scale.write(folder)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None and self._scale is not None:
            self._scale.read(Path(checkpoint))
        if checkpoint is not None and not self.plan.ranks.is_first:
            load_random_state(random_state_file(Path(checkpoint), self.plan.ranks.index))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_adapter(self._adapted, Path(output_dir or self.plan.spec.output_dir))

    def _not_finite(self) -> TrainingFailure:
        rate = self.plan.spec.hyperparameters.learning_rate
        half = ""
        if self._scale is not None:
            half = (
                " This GPU computes in float16, whose range may be too small for this base model; "
                "GPUs of compute capability 8.0 or higher have bfloat16."
            )
        return TrainingFailure(
            "loss_not_finite",
            f"The loss or its gradient is not a finite number at step "
            f"{self.state.global_step + 1} of {self.plan.run.total_steps}. The step was not "
            f"saved. Lower the learning rate (it is {rate:g}; try {rate / 10:g}), and look for "
            f"broken rows in the training file.{half}",
            param="hyperparameters.learning_rate_multiplier",
        )


def checkpoint_folder(output_dir: str | os.PathLike[str], step: int) -> Path:
    """Return the folder in which the Trainer keeps the checkpoint of a step."""
    return Path(output_dir) / f"checkpoint-{step}"


def _make_collator(plan: Plan) -> Collator:
    if isinstance(plan.training[0], Prompt):
        return collate_numbers
    budget, ranks = plan.spec.budget(plan.device.type), plan.ranks
    whole: Collator = _choose_collator(plan)(budget)
    if ranks.size > 1:
        whole = RankCollator(whole, ranks.index, ranks.size)
    return (
        MismatchCollator(whole, plan.spec.hyperparameters.max_seq_length)
        if _has_labels(plan)
        else whole
    )


def _choose_collator(plan: Plan) -> Callable[[int], Collator]:
    kinds: dict[Rows, Callable[[int], Collator]]
    kinds = {"padded": PaddedCollator, "packed": PackedCollator, "joined": JoinedCollator}
    if _has_labels(plan):
        return LabeledCollator
    return PairCollator if isinstance(plan.training[0], Pair) else kinds[plan.rows]


def _has_labels(plan: Plan) -> bool:
    return isinstance(plan.training[0], LabeledSample)


class _Order(Sampler[int]):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lengths = [example.length for example in plan.training]
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._plan.examples_per_epoch

    def __iter__(self) -> Iterator[int]:
        spec = self._plan.spec
        order: Sequence[int] = epoch_order(
            self._lengths,
            batch_size=spec.hyperparameters.batch_size,
            seed=spec.seed,
            epoch=self._epoch,
            by_length=not self._plan.packing,
            drawn=self._plan.drawn(self._epoch),
        )
        return iter(order)
