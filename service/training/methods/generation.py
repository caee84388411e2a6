"""Answers to prompts by the model that is being trained, where no engine serves it.

Each answer draws from a generator of its own, so that it does not depend on which others are
sampled at the same time: the noise that it draws is added to the logits, of which the highest wins
(the Gumbel-max trick).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psutil
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from service.training.contract.channel import StopFlag
from service.training.contract.failures import is_out_of_memory
from service.training.contract.samples import Answer, SampleRequest
from service.training.loop.rounds import Interrupted

# Of the memory that is free: the rest is for the logits and activations of one position each.
_CACHE_SHARE: Final = 0.5
_PAD: Final = 0  # masked, so any id works


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One answer that is to be sampled."""

    request: SampleRequest
    index: int

    @property
    def positions(self) -> int:
        return len(self.request.prompt_token_ids) + self.request.max_tokens


class Generator:
    """Samples answers with transformers' `generate`, in batches that fit into free memory.

    `ends` are the tokens that end an answer, and `decode` makes tokens into a text.
    """

    def __init__(
        self,
        model: Any,
        ends: Sequence[int],
        decode: Callable[[list[int]], str],
        flag: StopFlag,
    ) -> None:
        self._model = model
        self._ends = frozenset(ends)
        self._decode = decode
        self._flag = flag

    @torch.no_grad()
    def answer(self, requests: Sequence[SampleRequest]) -> list[Answer]:
        """Return all answers to the requests. Raises `Interrupted` after a stop command."""
        wanted = [_Wanted(request, n) for request in requests for n in range(request.n)]
        # Answers to prompts of similar length need little padding.
        wanted.sort(key=lambda one: -len(one.request.prompt_token_ids))
        was_training = self._model.training
        self._model.eval()
        try:
            return list(self._in_batches(wanted))
        finally:
            self._model.train(was_training)

    def _in_batches(self, wanted: Sequence[_Wanted]) -> Iterator[Answer]:
        at, most = 0, len(wanted)
        while at < len(wanted):
            batch = wanted[at : at + min(most, self._fitting(wanted[at].positions))]
            try:
                found = self._sample(batch)
            except Exception as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                most = len(batch) // 2
                continue
            yield from found
            at += len(batch)

    def _fitting(self, positions: int) -> int:
        """Number of answers whose keys and values fit into the free memory."""
        free = _free_bytes(self._model.device)
        return max(int(_CACHE_SHARE * free) // (positions * self._cache_bytes()), 1)

    def _cache_bytes(self) -> int:
        """Bytes that each position of an answer keeps: a key and a value in each layer."""
        config = self._model.config.get_text_config()
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        numbers = 2 * config.num_hidden_layers * kv_heads * width
        return int(numbers * self._model.dtype.itemsize)

    def _sample(self, batch: Sequence[_Wanted]) -> list[Answer]:
        device = self._model.device
        width = max(len(one.request.prompt_token_ids) for one in batch)
        ids = torch.full((len(batch), width), _PAD)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(batch):
            prompt = one.request.prompt_token_ids
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        output = self._model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=GenerationConfig(
                do_sample=False,  # `_Noise` draws
                max_new_tokens=max(one.request.max_tokens for one in batch),
                eos_token_id=sorted(self._ends) or None,
                pad_token_id=_PAD,
                repetition_penalty=1.0,
                use_cache=True,
            ),
            logits_processor=LogitsProcessorList([_Noise(batch)]),
            stopping_criteria=StoppingCriteriaList([_Stop(self._flag)]),
        )
        if self._flag.is_set():
            raise Interrupted
        return [
            self._answer(one, row)
            for one, row in zip(batch, output[:, width:].tolist(), strict=True)
        ]

    def _answer(self, one: _Wanted, sampled: list[int]) -> Answer:
        sampled = sampled[: one.request.max_tokens]
        end = next((at for at, token in enumerate(sampled) if token in self._ends), None)
        token_ids = sampled if end is None else sampled[: end + 1]
        return Answer(
            row=one.request.row,
            file=one.request.file,
            index=one.index,
            token_ids=token_ids,
            text=self._decode(token_ids),
            finish_reason="length" if end is None else "stop",
        )


class _Noise(LogitsProcessor):
    """Turns logits into a draw for each answer: the highest result is the sampled token."""

    def __init__(self, batch: Sequence[_Wanted]) -> None:
        self._temperatures = [one.request.temperature for one in batch]
        self._generators = [torch.Generator().manual_seed(_seed(one)) for one in batch]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        noise = torch.empty(scores.shape)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        temperatures = torch.tensor(self._temperatures).to(scores.device)
        return scores.float() / temperatures[:, None] - noise.log_().to(scores.device)


class _Stop(StoppingCriteria):
    def __init__(self, flag: StopFlag) -> None:
        self._flag = flag

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((len(input_ids),), self._flag.is_set(), device=input_ids.device)


def _seed(one: _Wanted) -> int:
    text = f"{one.request.seed}/{one.index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**63


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return int(psutil.virtual_memory().available)
