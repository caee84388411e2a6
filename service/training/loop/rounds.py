"""Rounds of samples: the trainer asks the worker for answers to prompts and for their rewards.

A round is a file of requests, a message, and a wait for the file of graded answers. While it waits,
a stop command is obeyed, and the end of stdin ends the process (`contract.channel`). The files are
below the output folder, and deleted after the round.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from service.training.contract.channel import Channel, StopFlag
from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import ReinforcementHyperparameters
from service.training.contract.inbox import Inbox
from service.training.contract.protocol import Purpose, SamplesCommand, SamplesWanted
from service.training.contract.samples import (
    Answer,
    SampleRequest,
    SamplesError,
    read_answers,
    write_lines,
)
from service.training.contract.spec import TrainSpec
from service.training.data.tokens import Prompt
from service.training.loop.pacing import Pacer
from service.training.parallel.ranks import Ranks

log: Final = logging.getLogger(__name__)

_LOOK_S: Final = 0.2  # between two looks at the stop flag
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
            # All evaluations draw alike, so that they differ by the model alone.
            seed=_seed(self._spec.seed, number if is_training else 0, prompt),
            temperature=chosen.temperature,
            max_tokens=chosen.max_completion_tokens,
        )

    def _wait(self, number: int, purpose: Purpose) -> SamplesCommand:
        """Wait for the worker. All ranks look at the flag and the inbox equally often."""
        while True:
            if self._flag.is_set():
                raise Interrupted
            found = self._inbox.wait(number, purpose, _LOOK_S)
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


def _seed(seed: int, number: int, prompt: Prompt) -> int:
    """The seed of a request, which differs by row and round."""
    text = f"{seed}/{number}/{prompt.file}/{prompt.row}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 2**31
