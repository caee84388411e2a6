"""Supervised fine-tuning: TRL's SFTTrainer on our samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from service.training.loop.plan import Plan, trainer_arguments
from service.training.methods.trainer import AdapterTrainer


class SupervisedTrainer(AdapterTrainer, SFTTrainer):
    """Trains with cross-entropy over the assistant's tokens."""

    def _arguments(self, plan: Plan) -> SFTConfig:
        return SFTConfig(
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            **trainer_arguments(plan),
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute this part's share of the mean loss over the supervised tokens of the whole batch.

        Also adds the part to the tally.
        """
        tokens, supervised = inputs.pop("token_count"), inputs["scored"].shape[1]
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        loss_sum: Tensor = -outputs.log_probs.sum()
        self.tally.add(
            loss_sum=loss_sum,
            units=supervised,
            correct=outputs.is_top1.sum(),
            judged=supervised,
            tokens=tokens,
        )
        return loss_sum / (supervised if num_items_in_batch is None else num_items_in_batch)
