"""Direct Preference Optimization: TRL's DPOTrainer on our pairs.

The reference is the same model with other adapter weights, never a second model: with the
adapter switched off, or, after a warm start, with TRL's frozen "ref" copy of what the run
started from.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.utils import use_adapter

from service.training.contract.channel import StopFlag
from service.training.loop.plan import Plan, trainer_arguments
from service.training.methods.trainer import AdapterTrainer

DEFAULT_BETA: Final = 0.1
_REFERENCE: Final = "ref"  # TRL's name


class PreferenceTrainer(AdapterTrainer, DPOTrainer):
    """The sigmoid loss of the DPO paper (arXiv 2305.18290), without dropout."""

    def __init__(
        self,
        model: Any,
        plan: Plan,
        tokenizer: PreTrainedTokenizerBase,
        flag: StopFlag,
        callbacks: list[TrainerCallback],
    ) -> None:
        beta = plan.spec.beta or DEFAULT_BETA
        super().__init__(
            model,
            plan,
            flag,
            args=DPOConfig(beta=beta, disable_dropout=True, **trainer_arguments(plan)),
            tokenizer=tokenizer,
            callbacks=callbacks,
        )
        if plan.spec.warm_start is None and _REFERENCE in model.peft_config:
            # A copy of a fresh adapter is the base model, which switching off gives for less.
            model.delete_adapter(_REFERENCE)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # tokenised already, with the very prompt that serving sends

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The share of this part in the mean loss over the pairs of the whole batch; counts
        what it saw.

        TRL's own, for its default loss, scores every position on a CPU, computes metrics that
        nobody reads, and weighs the pairs of a short part more than others.
        """
        tokens = int(inputs.pop("token_count"))
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        reference = self._reference_log_probs(inputs)
        gained = self.beta * (outputs.log_probs - reference).sum(dim=1)
        better, worse = gained.chunk(2)
        loss_sum: Tensor = -logsigmoid(better - worse).sum()
        # Accuracy is told of the answers that the model is to learn.
        chosen = len(better)
        self.tally.add(
            loss_sum=loss_sum.item(),
            units=chosen,
            correct=int(outputs.is_top1[:chosen].sum()),
            judged=int(outputs.label_mask[:chosen].sum()),
            tokens=tokens,
        )
        self.tally.add_rewards((better - worse).tolist())
        return loss_sum / (chosen if num_items_in_batch is None else num_items_in_batch)

    @torch.no_grad()
    def _reference_log_probs(self, inputs: dict[str, Any]) -> Tensor:
        adapted = self._adapted
        name = _REFERENCE if _REFERENCE in adapted.peft_config else None
        with (
            disable_gradient_checkpointing(adapted, self.args.gradient_checkpointing_kwargs),
            use_adapter(adapted, adapter_name=name),
        ):
            outputs = self.model(**inputs, use_cache=False, fused_lm_head=True)
        log_probs: Tensor = outputs.log_probs
        return log_probs
