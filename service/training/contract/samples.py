"""Reads and writes the files with which trainer and worker exchange prompts and graded answers.

The trainer writes a file of `SampleRequest`, one per prompt, and reads one of `Answer`, `n` for
each request. Both are JSONL in UTF-8. Their readers check everything, because the model learns from
the answers, and never quote a line in an error. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.training.contract.protocol import Purpose

_MAX_TOKENS: Final = 1_000_000
_MAX_LINE_BYTES: Final = 64 * 2**20


class SamplesError(ValueError):
    """A file of requests or answers is not valid. The text never includes a line."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RowRef(_Line):
    """A row of the run's training or validation file; `row` counts from 0."""

    row: int = Field(ge=0)
    file: Purpose


class SampleRequest(RowRef):
    """A prompt in tokens, and how to answer it `n` times.

    An answer has at most `max_tokens` tokens, which end with the token that ends the turn, if the
    model gave one. The seed is that of the whole request, whose answers should differ.
    """

    prompt_token_ids: list[int] = Field(min_length=1, max_length=_MAX_TOKENS)
    n: int = Field(ge=1, le=64)
    seed: int = Field(ge=0, lt=2**31)
    temperature: float = Field(ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(default=1.0, ge=1, le=1)
    max_tokens: int = Field(ge=1, le=_MAX_TOKENS)


class Answer(RowRef):
    """One answer to the request for a row, and its reward.

    `index` counts the answers of a request from 0. `token_ids` are the sampled tokens, including
    the one that ended the turn. `logprobs` are their log-probabilities in nats under the model that
    was sampled, at temperature 1 (null for one that is unknown); without them, the answers count as
    the trainer's own. A null `reward` means that the answer could not be graded: `grader_error`
    then says why, and the answer is ignored.
    """

    index: int = Field(ge=0)
    token_ids: list[int] = Field(max_length=_MAX_TOKENS)
    logprobs: list[float | None] | None = None
    text: str
    finish_reason: Literal["stop", "length"]
    reward: float | None = Field(default=None, allow_inf_nan=False)
    grader_error: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.logprobs is not None and len(self.logprobs) != len(self.token_ids):
            raise ValueError("logprobs and token_ids differ in length")
        return self


_L = TypeVar("_L", bound=_Line)


def write_lines(path: Path, lines: Iterable[_Line]) -> None:
    """Write requests or answers to a file, which appears complete or not at all.

    Raises OSError.
    """
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        for line in lines:
            file.write(line.model_dump_json().encode() + b"\n")
    partial.rename(path)


def read_requests(path: Path) -> list[SampleRequest]:
    """Read a file of requests. Raises SamplesError."""
    return list(_read(path, SampleRequest))


def read_ungraded(path: Path) -> list[Answer]:
    """Read a file of answers that the trainer wrote, to be graded. Raises SamplesError."""
    return list(_read(path, Answer))


def read_answers(
    path: Path, requests: Sequence[SampleRequest], vocabulary: int
) -> list[list[Answer]]:
    """Read the answers to each of the requests, in the order of their indices.

    `vocabulary` is the number of token ids. Raises SamplesError if an answer is missing, given
    twice or not asked for, if it is longer than it may be, or if it has a token that the model
    lacks.
    """
    asked = {(request.row, request.file): request for request in requests}
    found: dict[tuple[int, Purpose], dict[int, Answer]] = {place: {} for place in asked}
    for number, answer in enumerate(_read(path, Answer), start=1):
        place = answer.row, answer.file
        request = asked.get(place)
        if request is None or answer.index >= request.n:
            raise SamplesError(f"Line {number} answers a request that was not made.")
        if answer.index in found[place]:
            raise SamplesError(f"Line {number} repeats an answer.")
        if len(answer.token_ids) > request.max_tokens:
            raise SamplesError(
                f"Line {number} has {len(answer.token_ids)} tokens, and at most "
                f"{request.max_tokens} were asked for."
            )
        if any(not 0 <= token < vocabulary for token in answer.token_ids):
            raise SamplesError(f"Line {number} has a token that is not in the vocabulary.")
        found[place][answer.index] = answer
    missing = sum(request.n - len(found[place]) for place, request in asked.items())
    if missing:
        wanted = sum(request.n for request in requests)
        raise SamplesError(f"{missing} of {wanted} answers are missing.")
    return [
        [answers[index] for index in range(len(answers))]
        for answers in (found[request.row, request.file] for request in requests)
    ]


def _read(path: Path, kind: type[_L]) -> Iterator[_L]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE_BYTES):
                number += 1
                yield _parse(line, kind, number)
    except OSError as error:
        raise SamplesError(f"The file cannot be read: {error.strerror}.") from error


def _parse(line: bytes, kind: type[_L], number: int) -> _L:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        # Pydantic's error text quotes the input, and its location an unknown key.
        faults = "; ".join(
            f"{_location(fault['loc'], kind)}: {fault['type']}"
            for fault in error.errors(include_url=False, include_input=False)[:3]
        )
        raise SamplesError(f"Line {number} is malformed ({faults}).") from None


def _location(parts: Sequence[int | str], kind: type[_Line]) -> str:
    known = parts[:1] and parts[0] in kind.model_fields
    return ".".join(str(part) for part in parts) if known else "line"
