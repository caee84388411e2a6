"""What graders need from outside: models that judge or embed, and a sandbox for Python sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from service.grading.errors import ItemFailed


@dataclass(frozen=True)
class JudgeAnswer:
    """The answer of a judge. `total_tokens` counts prompt and answer."""

    text: str
    model: str
    total_tokens: int


EMBEDDINGS: Final = "/v1/embeddings"


class Embedded(msgspec.Struct, frozen=True):
    """Embeddings in the order of their texts, as `POST /v1/embeddings` returns them."""

    data: list[Embedding]
    usage: EmbeddingUsage


class Embedding(msgspec.Struct, frozen=True):
    """The embedding of one text."""

    embedding: list[float]


class EmbeddingUsage(msgspec.Struct, frozen=True):
    """The tokens of the texts."""

    total_tokens: int = 0


class JudgeFailed(ItemFailed):
    """The judge gave no usable answer: the engine failed, or the model refused."""

    def __init__(
        self,
        code: Literal[
            "model_grader_server_error", "model_grader_refusal_error", "model_grader_parse_error"
        ],
        message: str,
    ) -> None:
        super().__init__(code, message)


class NoRoom(JudgeFailed):
    """The question and the limit of the answer together exceed the judge's context length."""

    def __init__(self, message: str) -> None:
        super().__init__("model_grader_server_error", message)


def refused(code: str | None, param: str | None, message: str) -> JudgeFailed:
    """Return the error of a judge whose request was refused with an error of the OpenAI API."""
    is_limit = code == "invalid_value" and (param or "").startswith("max_")
    if is_limit or code == "context_length_exceeded":
        return NoRoom(message)
    return JudgeFailed("model_grader_server_error", message)


def parse_embeddings(answer: Any, texts: int) -> Embedded:
    """Return the embeddings of a response for the number of texts. Raises JudgeFailed."""
    try:
        embedded = msgspec.convert(answer, Embedded)
    except msgspec.ValidationError as error:
        raise JudgeFailed(
            "model_grader_server_error", "The engine's answer has no embeddings."
        ) from error
    if len(embedded.data) != texts:
        raise JudgeFailed("model_grader_server_error", "The engine's answer lacks embeddings.")
    return embedded


class Judge(Protocol):
    """A chat completion of a model of the project.

    `params` has further fields of the request, such as `response_format` and `temperature`. Raises
    JudgeFailed.
    """

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer: ...


class Embedder(Protocol):
    """The embeddings that a model of the project creates of texts. Raises JudgeFailed."""

    async def __call__(self, model: str, texts: Sequence[str]) -> Embedded: ...


class PythonRunner(Protocol):
    """A runner of Python sources that define `grade(sample, item)`. Raises ItemFailed."""

    async def grade(
        self, source: str, sample: dict[str, Any] | None, item: dict[str, Any]
    ) -> float: ...


@dataclass(frozen=True)
class GraderTools:
    """Everything that graders need besides the item and the sample."""

    judge: Judge
    sandbox: PythonRunner
    embed: Embedder | None = None
