"""Has answers sampled for reinforcement: by the worker, in rounds, or by the trainer itself.

A round is a file of requests, a message, and a wait for the file of graded answers. While it waits,
a stop command is obeyed, and the end of stdin ends the process. The files are below the output
folder, and deleted after the round.

If no engine serves the adapter, the model that is being trained answers. Each answer draws from a
generator of its own, so that it does not depend on what is sampled with it: noise is added to
the logits, and the token with the highest sum is the sample (the Gumbel-max trick).
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
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

from service.training.contract.child_process import Channel, Inbox, StopFlag
from service.training.contract.failures import TrainingFailure, is_out_of_memory
from service.training.contract.hyperparameters import ReinforcementHyperparameters
from service.training.contract.protocol import Purpose, SamplesCommand, SamplesWanted
from service.training.contract.samples import (
    Answer,
    SampleRequest,
    SamplesError,
    read_answers,
    write_lines,
)
from service.training.contract.spec import TrainSpec
from service.training.data.tokenization import Prompt
from service.training.loop.pacing import Pacer
from service.training.parallel.ranks import Ranks

log: Final = logging.getLogger(__name__)

_POLL_S: Final = 0.2  # between checks of the stop flag
# If more of the answers have no reward, something is wrong with the grader, and not with answers.
_MAX_UNGRADED: Final = 0.5


class Interrupted(Exception):
    """A stop command came while the training waited for samples, before anything was computed."""


class Rounds:
    """Asks for samples. With several ranks, the first one asks, and all read the answers."""

    def __init__(
        self,
        spec: TrainSpec,
        channel: Channel,
        inbox: Inbox,
        flag: StopFlag,
        ranks: Ranks,
        vocabulary: int,
        pacer: Pacer | None = None,
    ) -> None:
        self._spec = spec
        self._channel = channel
        self._inbox = inbox
        self._flag = flag
        self._ranks = ranks
        self._vocabulary = vocabulary
        self._pacer = pacer
        self._folder = spec.output_dir / "rounds"

    def policy(self, step: int, save: Callable[[Path], None]) -> Path:
        """Return the folder with the adapter after `step`, which `save` writes if it is new.

        The adapter of an older step is deleted.
        """
        path = self._folder / f"policy-{step}"
        if self._ranks.is_first and not path.exists():
            for old in self._folder.glob("policy-*"):
                shutil.rmtree(old, ignore_errors=True)
            save(path)
        return path

    def ask(
        self,
        number: int,
        purpose: Purpose,
        prompts: Sequence[Prompt],
        *,
        adapter: Path | None,
        answer: Callable[[Sequence[SampleRequest]], Iterable[Answer]] | None = None,
    ) -> list[list[Answer]]:
        """Return the graded answers to each prompt, of `adapter` or as `answer` gives them.

        `number` is that of the round. Raises `Interrupted` after a stop command, and
        `TrainingFailure` (grading_failed, internal_error).
        """
        if self._flag.is_set():
            raise Interrupted
        requests = [self._request(number, purpose, prompt) for prompt in prompts]
        files = [self._folder / f"{purpose}-{number}.{kind}.jsonl" for kind in ("asked", "given")]
        asked, given = files
        try:
            if self._ranks.is_first:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_lines(asked, requests)
                if answer is not None:
                    write_lines(given, list(answer(requests)))
                self._channel.send(
                    SamplesWanted(
                        round=number,
                        purpose=purpose,
                        adapter_path=str(adapter) if adapter else None,
                        requests_path=str(asked),
                        samples_path=str(given) if answer is not None else None,
                    )
                )
            # A paced training need not rest for the time in which it waited.
            with self._pacer.waiting() if self._pacer else nullcontext():
                found = self._wait(number, purpose)
            files.append(Path(found.path))
            return self._read(files[-1], requests, number)
        finally:
            self._ranks.wait()  # until all have read them
            if self._ranks.is_first:
                for file in files:
                    file.unlink(missing_ok=True)

    def _request(self, number: int, purpose: Purpose, prompt: Prompt) -> SampleRequest:
        chosen = self._spec.hyperparameters
        assert isinstance(chosen, ReinforcementHyperparameters)
        is_training = purpose == "training"
        return SampleRequest(
            row=prompt.row,
            file=prompt.file,
            prompt_token_ids=prompt.tokens.input_ids.tolist(),
            n=chosen.group_size if is_training else 1,
            # All evaluations draw the same noise, so that only the model differs.
            seed=_request_seed(self._spec.seed, number if is_training else 0, prompt),
            temperature=chosen.temperature,
            max_tokens=chosen.max_completion_tokens,
        )

    def _wait(self, number: int, purpose: Purpose) -> SamplesCommand:
        """Wait for the worker. All ranks look at the flag and the inbox equally often."""
        while True:
            if self._flag.is_set():
                raise Interrupted
            found = self._inbox.wait(number, purpose, _POLL_S)
            (count,) = self._ranks.totals([float(found is not None)])
            if found is not None and count == self._ranks.size:
                return found

    def _read(
        self, path: Path, requests: Sequence[SampleRequest], number: int
    ) -> list[list[Answer]]:
        try:
            groups = read_answers(path, requests, self._vocabulary)
        except SamplesError as error:
            log.error("samples of round %d: %s", number, error)
            raise TrainingFailure(
                "internal_error", f"The samples of step {number} are invalid. {error}"
            ) from error
        answers = [answer for group in groups for answer in group]
        failed = sum(answer.reward is None for answer in answers)
        if failed > _MAX_UNGRADED * len(answers):
            raise TrainingFailure(
                "grading_failed",
                f"{failed} of {len(answers)} answers at step {number} could not be graded, and "
                "nothing can be learned without rewards. Try the grader on some answers, and make "
                "it give a score to each.",
                param="method.reinforcement.grader",
            )
        return groups


def _request_seed(seed: int, number: int, prompt: Prompt) -> int:
    """Return the seed of a request, which differs by row and round."""
    text = f"{seed}/{number}/{prompt.file}/{prompt.row}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 2**31


# Of the memory that is free: the rest is for the logits and activations of one position each.
_CACHE_SHARE: Final = 0.5
_PAD: Final = 0  # masked, so any id works


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An answer to sample."""

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
            batch = wanted[at : at + min(most, self._fitting_answers(wanted[at].positions))]
            try:
                found = self._sample(batch)
            except Exception as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                most = len(batch) // 2
                continue
            yield from found
            at += len(batch)

    def _fitting_answers(self, positions: int) -> int:
        """Return the number of answers whose keys and values fit into the free memory."""
        free = _free_bytes(self._model.device)
        return max(int(_CACHE_SHARE * free) // (positions * self._cache_bytes()), 1)

    def _cache_bytes(self) -> int:
        """Return the bytes that each position of an answer keeps: keys and values of all layers."""
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
