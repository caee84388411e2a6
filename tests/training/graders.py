"""The worker's part of a reinforcement training: answers to prompts, and their rewards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from service.training import Message, SamplesCommand, SamplesWanted, encode
from service.training.contract.samples import (
    Answer,
    SampleRequest,
    read_requests,
    read_ungraded,
    write_lines,
)
from tests.training.conftest import Trainer

Reward = Callable[[Answer], float | None]
VOCABULARY = 4096
LIKED = VOCABULARY // 2


def share_of_liked(answer: Answer) -> float:
    """The share of tokens whose ids are in the lower half of the tiny model's vocabulary."""
    return sum(token < LIKED for token in answer.token_ids) / max(len(answer.token_ids), 1)


def sampled(wanted: SamplesWanted) -> Iterator[Answer]:
    """Answers that depend on the request alone, of random tokens and uneven lengths."""
    for request in read_requests(Path(wanted.requests_path)):
        for index in range(request.n):
            yield _random(request, index)


def _random(request: SampleRequest, index: int) -> Answer:
    chance = random.Random(f"{request.seed}/{index}")
    length = chance.randint(1, request.max_tokens)
    return Answer(
        row=request.row,
        file=request.file,
        index=index,
        token_ids=[chance.randrange(VOCABULARY) for _ in range(length)],
        text="",
        finish_reason="stop",
    )


def respond(trainer: Trainer, wanted: SamplesWanted, reward: Reward) -> None:
    """Grade the answers to a request, which are random ones unless the trainer gave them."""
    given = wanted.samples_path
    answers = read_ungraded(Path(given)) if given else sampled(wanted)
    path = Path(wanted.requests_path).with_name(f"graded-{wanted.purpose}.jsonl")
    write_lines(path, [a.model_copy(update={"reward": reward(a)}) for a in answers])
    send(trainer, SamplesCommand(round=wanted.round, purpose=wanted.purpose, path=str(path)))


def send(trainer: Trainer, command: SamplesCommand) -> None:
    """Send a command to the trainer's stdin."""
    assert trainer.process.stdin is not None
    trainer.process.stdin.write(encode(command))
    trainer.process.stdin.flush()


def serve(
    trainer: Trainer,
    reward: Reward = share_of_liked,
    until: Callable[[Message], bool] = lambda _: False,
) -> Message | None:
    """Grade what the trainer asks for until it ends, or up to a message, which is returned."""
    for message in trainer:
        if until(message):
            return message
        if isinstance(message, SamplesWanted):
            respond(trainer, message, reward)
    return None
