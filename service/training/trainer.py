"""TRL's SFTTrainer with our data, our loss bookkeeping and our checkpoints.

The loop, the optimizer, gradient accumulation, mixed precision and resuming are TRL's and
transformers'. What differs: samples come tokenised and labelled; the order is a function of
the seed; the loss and the accuracy of a step are means over its supervised tokens; validation
can be interrupted; a checkpoint holds the adapter alone and is sealed.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from service.training import head
from service.training.batches import Packed, Padded, to_dataset
from service.training.channel import StopFlag
from service.training.checkpoints import RunIdentity, are_finite, seal
from service.training.failures import TrainingFailure
from service.training.metrics import Tally
from service.training.models import Place, keep_adapter_in_fp32
from service.training.order import epoch_order, micro_batch_size
from service.training.schedule import rate_factor
from service.training.spec import TrainSpec
from service.training.tokens import Sample

# Validation rows at a checkpoint in the middle of the run; the last scores all.
VALIDATION_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, ready to begin: the samples and how they are laid out."""

    spec: TrainSpec
    run: RunIdentity
    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    packing: bool
    place: Place

    @property
    def lengths(self) -> list[int]:
        return [len(sample.input_ids) for sample in self.training]


def total_steps(spec: TrainSpec, samples: int) -> int:
    """Optimizer steps of the whole run."""
    return math.ceil(samples / spec.batch_size) * spec.n_epochs


class AdapterTrainer(SFTTrainer):
    """Trains the adapter of a `PeftModel` on a `Plan`. Raises `TrainingFailure` (nan_loss)."""

    def __init__(
        self,
        model: Any,
        plan: Plan,
        tokenizer: PreTrainedTokenizerBase,
        flag: StopFlag,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.plan = plan
        self._adapted = model
        self.tally = Tally()
        self.trained_tokens = 0
        self._flag = flag
        capacity = max(plan.spec.max_seq_length, 1)
        super().__init__(
            model=model,
            args=_arguments(plan),
            data_collator=Packed(capacity) if plan.packing else Padded(),
            train_dataset=to_dataset(plan.training),
            processing_class=tokenizer,
            callbacks=callbacks,
        )
        # compute_loss divides by the supervised tokens of the whole batch, accumulated or not.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        keep_adapter_in_fp32(model)
        base = model.get_base_model()
        if head.can_use_cpu_head(base):
            head.use_cpu_head(base)
        by_length = sorted(plan.validation, key=lambda sample: len(sample.input_ids))
        self._all_validation = to_dataset(by_length) if by_length else None
        self._some_validation = self._all_validation
        if self._all_validation and len(plan.validation) > VALIDATION_ROWS:
            share = len(by_length) / VALIDATION_ROWS
            self._some_validation = self._all_validation.select(
                [int(row * share) for row in range(VALIDATION_ROWS)]
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _Order(self.plan)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer,
            functools.partial(rate_factor, total_steps=num_training_steps),
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        loss: Tensor = super().training_step(*args, **kwargs)
        if not loss.isfinite():
            raise self._nan_loss()
        return loss

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The mean loss over the supervised tokens of the whole batch; counts what it saw.

        On CUDA TRL's fused head answers, on a CPU ours.
        """
        tokens = int(inputs.pop("token_count"))
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        loss_sum = -outputs.log_probs.sum()
        supervised = int(outputs.label_mask.sum())
        self.tally.add(
            loss_sum=loss_sum.item(),
            correct=int(outputs.is_top1.sum()),
            supervised=supervised,
            tokens=tokens,
        )
        loss: Tensor = loss_sum / (supervised if num_items_in_batch is None else num_items_in_batch)
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores the validation rows: some of them in mid-run, all at the end.

        The callbacks get `valid_*` and, where all rows were scored, `full_valid_*`; nothing
        where a stop command came in between.
        """
        is_last = self.state.global_step >= self.state.max_steps
        found = self._score(self._some_validation)
        if self._flag.is_set():
            self.control.should_training_stop = True
        if found and (is_last or self._some_validation is self._all_validation):
            every = self._score(self._all_validation) if is_last else found
            found |= {f"full_{name}": value for name, value in every.items()}
        self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    @torch.no_grad()
    def _score(self, rows: Any) -> dict[str, float]:
        if rows is None:
            return {}
        training, self.tally = self.tally, Tally()
        self._adapted.eval()
        try:
            size = self.args.per_device_train_batch_size
            for start in range(0, len(rows), size):
                if self._flag.is_set():
                    return {}
                batch = [rows[row] for row in range(start, min(start + size, len(rows)))]
                self.compute_loss(self._adapted, self._prepare_inputs(self.data_collator(batch)))
            return {
                "valid_loss": self.tally.loss,
                "valid_mean_token_accuracy": self.tally.accuracy,
            }
        finally:
            self.tally = training

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not are_finite([p for p in self._adapted.parameters() if p.requires_grad]):
            raise self._nan_loss()
        # Past TRL's own, which writes a model card.
        super(SFTTrainer, self)._save_checkpoint(model, trial)
        seal(
            checkpoint_folder(self.plan.spec.output_dir, self.state.global_step),
            self.plan.run,
            step=self.state.global_step,
            trained_tokens=self.trained_tokens,
        )

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_adapter(self._adapted, Path(output_dir or self.plan.spec.output_dir), state_dict)

    def _nan_loss(self) -> TrainingFailure:
        return TrainingFailure(
            "nan_loss",
            f"The loss is not a number any more at step {self.state.global_step + 1}. Lower the "
            "learning rate, and look for broken rows in the training file.",
            param="hyperparameters.learning_rate_multiplier",
        )


def save_adapter(model: Any, folder: Path, state_dict: Any = None) -> None:
    """Writes adapter_config.json and adapter_model.safetensors, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def checkpoint_folder(output_dir: str | os.PathLike[str], step: int) -> Path:
    """Where the Trainer keeps the checkpoint of a step."""
    return Path(output_dir) / f"checkpoint-{step}"


class _Order(Sampler[int]):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._plan.training)

    def __iter__(self) -> Iterator[int]:
        spec = self._plan.spec
        order: Sequence[int] = epoch_order(
            self._plan.lengths,
            batch_size=spec.batch_size,
            seed=spec.seed,
            epoch=self._epoch,
            by_length=not self._plan.packing,
        )
        return iter(order)


def _arguments(plan: Plan) -> SFTConfig:
    spec = plan.spec
    at_once = micro_batch_size(spec.batch_size, max(plan.lengths), spec.tokens_at_once)
    return SFTConfig(
        output_dir=str(spec.output_dir),
        seed=spec.seed,
        data_seed=spec.seed,
        num_train_epochs=spec.n_epochs,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=spec.batch_size // at_once,
        learning_rate=spec.learning_rate,
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=plan.place.dtype == torch.bfloat16,
        use_cpu=plan.place.device == "cpu",
        gradient_checkpointing=spec.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        # When to log, to evaluate and to save is the callback's business.
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        push_to_hub=False,
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=plan.place.device == "cuda",
    )
