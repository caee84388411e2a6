"""Reinforcement fine-tuning by GRPO: learns from the model's own answers, which a grader scores.

For each batch of prompts, several answers to each are sampled and graded. An answer that is better
than the others to its prompt becomes more likely, and a worse one less likely (arXiv 2402.03300).
The loss is that of TRL's `GRPOTrainer` with its defaults, which averages over the tokens of the
whole batch (`loss_type` "dapo"). Each batch of answers is used for one step, so the model that
answered is the one that learns, and TRL's clipping of the ratio between the two never applies.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from trl.trainer.utils import disable_dropout_in_model

from service.training.contract.child_process import Channel, Inbox, StopFlag
from service.training.contract.hyperparameters import ReinforcementHyperparameters
from service.training.contract.protocol import Purpose
from service.training.contract.samples import Answer
from service.training.data.batches import AnswerCollator, RankCollator, to_sample
from service.training.data.tokenization import IGNORED, Prompt, Sample
from service.training.loop.metrics import advantages
from service.training.loop.pacing import Pacer
from service.training.loop.plan import Plan
from service.training.methods.reference import REFERENCE, ComparingTrainer
from service.training.methods.sampling import Generator, Interrupted, Rounds
from service.training.model.adapters import save_adapter

_EVAL_SAMPLES: Final = 64
# TRL's limit for the ratio between the model and the engine's version of it.
_LARGEST_RATIO: Final = 3.0


class ReinforcementTrainer(ComparingTrainer):
    """Trainer with TRL's loss of GRPO, without dropout. Call `connect` before training."""

    def __init__(
        self,
        model: Any,
        plan: Plan,
        tokenizer: PreTrainedTokenizerBase,
        flag: StopFlag,
    ) -> None:
        chosen = plan.spec.hyperparameters
        assert isinstance(chosen, ReinforcementHyperparameters)
        self._chosen: Final = chosen
        self._tokenizer = tokenizer
        self._rounds: Rounds | None = None
        disable_dropout_in_model(model)
        if chosen.beta > 0 and plan.spec.warm_start_path is not None:
            _add_reference(model)
        super().__init__(model, plan, tokenizer, flag)
        self._parts_of = AnswerCollator(plan.spec.budget(plan.device.type))
        self._validated = _spread(plan.validation, chosen.eval_samples)

    def connect(self, channel: Channel, inbox: Inbox, pacer: Pacer | None = None) -> None:
        """Set where samples are asked for, and where they arrive."""
        plan = self.plan
        vocabulary = self._adapted.get_input_embeddings().num_embeddings
        self._rounds = Rounds(plan.spec, channel, inbox, self._flag, plan.ranks, vocabulary, pacer)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Have a batch of prompts answered and graded, and learn from it.

        Raises `Interrupted` after a stop command, once the steps so far are in a checkpoint.
        """
        numbers = dict.fromkeys(inputs["numbers"])  # a mixture may draw a row twice
        prompts = [self.plan.training[number] for number in numbers]
        try:
            groups = self._ask(self.state.global_step + 1, "training", prompts)
        except Interrupted:
            self._keep()
            raise
        self._count(prompts, groups)
        for parameter in self._trained():
            # As in TRL, a batch from which nothing can be learned is a step with a gradient of 0.
            parameter.grad = torch.zeros_like(parameter)
        batch = self._batch(prompts, groups)
        return super().training_step(model, batch, num_items_in_batch)

    def _ask(self, number: int, purpose: Purpose, prompts: Sequence[Any]) -> list[list[Answer]]:
        if self._rounds is None:
            raise RuntimeError("connect() comes before training")
        if self.plan.spec.sampling == "trainer":
            generator = Generator(self._adapted, self._ends(), self._decode, self._flag)
            with self.mixed_precision():
                return self._rounds.ask(
                    number, purpose, prompts, adapter=None, answer=generator.answer
                )
        return self._rounds.ask(number, purpose, prompts, adapter=self._policy())

    def _policy(self) -> Path | None:
        """Return the folder of the current adapter; None if it does not change the base model."""
        assert self._rounds is not None
        step = self.state.global_step
        if step == 0 and self.plan.spec.warm_start_path is None:
            return None
        return self._rounds.policy(step, lambda folder: save_adapter(self._adapted, folder))

    def _ends(self) -> list[int]:
        found = self._adapted.generation_config.eos_token_id
        ends = found if isinstance(found, list) else [found]
        return [end for end in {*ends, self._tokenizer.eos_token_id} if end is not None]

    def _decode(self, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True)
        return text

    def _keep(self) -> None:
        """Save a checkpoint of the steps so far, unless there is one."""
        if self.state.global_step > self.kept_step:
            self._save_checkpoint(self.model, None)
            self.callback_handler.on_save(self.args, self.state, self.control)

    def _batch(self, prompts: Sequence[Prompt], groups: list[list[Answer]]) -> dict[str, Any]:
        """Return the answers that matter, in parts. `units` counts the tokens of graded answers."""
        samples, skipped = [], 0
        for prompt, answers in zip(prompts, groups, strict=True):
            gains = advantages([answer.reward for answer in answers])
            for answer, gain in zip(answers, gains, strict=True):
                if answer.reward is None or not answer.token_ids:
                    continue
                if gain == 0 and self._chosen.beta == 0:
                    skipped += len(answer.token_ids)  # its loss and its gradient are 0
                else:
                    samples.append(to_sample(prompt, answer, gain))
        if self.plan.ranks.is_first:
            self.tally.units += skipped
        if not samples:
            return {"parts": [], "units": 1}
        samples.sort(key=lambda sample: -len(sample["input_ids"]))
        ranks = self.plan.ranks
        whole = self._parts_of
        batch = (
            RankCollator(whole, ranks.index, ranks.size)(samples)
            if ranks.size > 1
            else whole(samples)
        )
        return {**batch, "units": batch["units"] + skipped}

    def _count(self, prompts: Sequence[Prompt], groups: list[list[Answer]]) -> None:
        if not self.plan.ranks.is_first:
            return
        self.tally.add_groups(
            rewards=[[answer.reward for answer in answers] for answers in groups],
            answer_tokens=sum(len(answer.token_ids) for answers in groups for answer in answers),
            prompt_tokens=sum(
                prompt.length * len(answers)
                for prompt, answers in zip(prompts, groups, strict=True)
            ),
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute this part's share of the mean loss over the tokens of the whole batch.

        Also adds the part to the tally.
        """
        inputs.pop("token_count")  # counted with all answers, also those that are not computed
        gains = inputs.pop("advantages")[:, None]
        sampled = inputs.pop("sampled_log_probs")[:, 1:]
        inputs["temperature"] = self._chosen.temperature
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        log_probs, mask = outputs.log_probs, outputs.label_mask
        ratio = torch.exp(log_probs - log_probs.detach())  # 1, with the gradient of the logarithm
        losses = -ratio * gains * self._engine_ratio(log_probs.detach(), sampled, mask)
        units = inputs["scored"].shape[1]
        if self._chosen.beta > 0:
            change = self._reference_log_probs(inputs) - log_probs
            divergence = (torch.exp(change) - change - 1) * ratio
            losses = losses + self._chosen.beta * divergence
            self.tally.add(compared=units, divergence_sum=(divergence * mask).sum())
        loss_sum: Tensor = (losses * mask).sum()
        self.tally.add(loss_sum=loss_sum, units=units, correct=outputs.is_top1.sum(), judged=units)
        return loss_sum / (units if num_items_in_batch is None else num_items_in_batch)

    def _engine_ratio(self, log_probs: Tensor, sampled: Tensor, mask: Tensor) -> Tensor:
        """Return each token's probability under this model relative to the engine that sampled it.

        The engine rounds differently, and may have the base model in other weights. As with TRL's
        "token_truncate", no ratio exceeds a limit.
        """
        if self._chosen.temperature != 1:
            return torch.ones_like(log_probs)  # the engine's are those of temperature 1
        change = torch.nan_to_num((log_probs - sampled) * mask, nan=0.0)
        return change.exp().clamp(max=_LARGEST_RATIO)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Have some validation rows answered and graded.

        The callbacks receive no metrics if a stop command interrupted this.
        """
        found = self._validate(self.state.global_step)
        if self._flag.is_set():
            self.control.should_training_stop = True
        self.select(found, self.state.global_step)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def catch_up(self, step: int) -> None:
        """Redo the evaluation that a stop command cut short, with the adapter of `step` loaded."""
        self.state.global_step = step
        self.select(self._validate(step), step)

    def deciding_loss(self, found: dict[str, float]) -> float | None:
        """Return the negative reward, so that the highest reward is the best evaluation."""
        reward = found.get("valid_reward_mean")
        return None if reward is None else -reward

    def _validate(self, step: int) -> dict[str, float]:
        try:
            groups = self._ask(step, "validation", self._validated)
        except Interrupted:
            return {}
        answers = [answer for group in groups for answer in group]
        rewards = [answer.reward for answer in answers if answer.reward is not None]
        tokens = sum(len(answer.token_ids) for answer in answers)
        return {
            "valid_reward_mean": sum(rewards) / len(rewards),
            "valid_mean_completion_tokens": tokens / len(answers),
        }

    def probed(self) -> Sequence[Sample]:
        """Prompts whose tokens are scored, because the rows have no answers."""
        prompts = self.plan.validation or self.plan.training
        return [_scored(prompt.rows[0]) for prompt in prompts]


def _spread(prompts: Sequence[Any], count: int | str) -> list[Any]:
    """Return at most `count` of the prompts, evenly spaced."""
    wanted = min(_EVAL_SAMPLES if count == "auto" else int(count), len(prompts))
    return [prompts[at * len(prompts) // wanted] for at in range(wanted)]


def _scored(sample: Sample) -> Sample:
    labels = copy.copy(sample.input_ids)
    labels[0] = IGNORED
    return Sample(sample.input_ids, labels, supervised=len(labels) - 1)


def _add_reference(model: Any) -> None:
    """Add a frozen copy of the adapter, which gets the weights that training starts from."""
    model.add_adapter(REFERENCE, model.peft_config["default"])
    model.set_adapter("default")
    for name, parameter in model.named_parameters():
        if f".{REFERENCE}." in name:
            parameter.requires_grad_(requires_grad=False)
