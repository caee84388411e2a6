"""Base class for methods that compare the model with a reference.

The reference is the same model with different adapter weights, never a second model: the adapter is
switched off or, after a warm start, replaced by TRL's frozen "ref" copy of the initial adapter.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from service.training.contract.channel import StopFlag
from service.training.loop.plan import Plan
from service.training.methods.trainer import AdapterTrainer

_REFERENCE: Final = "ref"  # TRL's name


class ReferenceTrainer(AdapterTrainer):
    """Trainer that computes log-probabilities of the trained model and its reference.

    In a class statement, it must precede TRL's trainer among the bases.
    """

    def __init__(self, model: Any, plan: Plan, flag: StopFlag, **options: Any) -> None:
        super().__init__(model, plan, flag, **options)
        if plan.spec.warm_start_path is None and _REFERENCE in model.peft_config:
            # A fresh adapter equals the base model, and switching it off takes no memory.
            model.delete_adapter(_REFERENCE)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # already tokenized, with the same prompt that serving sends

    @torch.no_grad()
    def _log_probs(self, rows: dict[str, Any]) -> Tensor:
        """Log-probabilities of the tokens in `rows` under the trained model, without gradient."""
        with disable_gradient_checkpointing(self._adapted, self.args.gradient_checkpointing_kwargs):
            outputs = self.model(**rows, use_cache=False, fused_lm_head=True)
        log_probs: Tensor = outputs.log_probs
        return log_probs

    @torch.no_grad()
    def _reference_log_probs(self, rows: dict[str, Any]) -> Tensor:
        """Log-probabilities of the tokens in `rows` under the reference, without gradient."""
        adapted = self._adapted
        name = _REFERENCE if _REFERENCE in adapted.peft_config else None
        with use_adapter(adapted, adapter_name=name):
            return self._log_probs(rows)
