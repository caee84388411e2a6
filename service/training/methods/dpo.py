"""Direct Preference Optimization: TRL's DPOTrainer on our pairs."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import logsigmoid
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from service.training.contract.hyperparameters import DpoHyperparameters
from service.training.loop.plan import Plan, trainer_arguments
from service.training.methods.reference import ReferenceTrainer


class PreferenceTrainer(ReferenceTrainer, DPOTrainer):
    """Trains with the sigmoid loss of the DPO paper (arXiv 2305.18290), without dropout."""

    def _arguments(self, plan: Plan) -> DPOConfig:
        chosen = plan.spec.hyperparameters
        assert isinstance(chosen, DpoHyperparameters)
        return DPOConfig(
            beta=chosen.beta, disable_dropout=True, max_length=None, **trainer_arguments(plan)
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute this part's share of the mean loss over the pairs of the whole batch.

        Also adds the part to the tally. TRL's own implementation for its default loss scores every
        position on a CPU, computes metrics that are never read, and weights the pairs of a short
        part more than others.
        """
        tokens, numbers = inputs.pop("token_count"), inputs.pop("numbers")
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        reference = self._reference_sums(inputs, numbers)
        gained = self.beta * (outputs.log_probs.sum(dim=1) - reference)
        better, worse = gained.chunk(2)
        margins = better - worse
        loss_sum: Tensor = -logsigmoid(margins).sum()
        # Accuracy covers only the preferred answers, which the model is to learn.
        chosen = len(better)
        self.tally.add(
            loss_sum=loss_sum,
            units=chosen,
            correct=outputs.is_top1[:chosen].sum(),
            judged=outputs.label_mask[:chosen].sum(),
            tokens=tokens,
            pairs=chosen,
            rewarded=(margins > 0).sum(),
            margin_sum=margins.sum(),
        )
        return loss_sum / (chosen if num_items_in_batch is None else num_items_in_batch)
