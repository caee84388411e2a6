"""Asks a judge for a label, for a score, or which of two answers is better.

`GraderTools` holds what graders need from outside: models that judge or embed, and a sandbox.

The judge answers in JSON that the engine enforces with `response_format`. Engines and judges that
ignore it are tolerated: the JSON may be in a code block or between other text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from service.grading.errors import ItemFailed
from service.grading.labels import normalize_label
from service.grading.results import parse_json
from service.grading.schemas import JudgeSamplingParams, LabelModelGrader, ScoreModelGrader

EMBEDDINGS: Final = "/v1/embeddings"
MAX_LABEL_TOKENS: Final = 256
MAX_SCORE_TOKENS: Final = 2_048
_THINKING: Final = re.compile(r"<think>.*?</think>", re.DOTALL)
_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d+)?")
# Short, since a small judge writes until it reaches a limit, and every item waits for that.
_STEPS: Final = {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 240}}
Message = dict[str, Any]


@dataclass(frozen=True)
class JudgeAnswer:
    """The answer of a judge. `total_tokens` counts prompt and answer."""

    text: str
    model: str
    total_tokens: int


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


def judge_failure(code: str | None, param: str | None, message: str) -> JudgeFailed:
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


async def label(
    grader: LabelModelGrader, messages: list[Message], judge: Judge
) -> tuple[str, JudgeAnswer]:
    """Ask the judge for one of the labels. Raises JudgeFailed."""
    choices = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in grader.labels)
    answer = await judge(
        grader.model,
        _add_instruction(messages, f'Answer with JSON: {{"result": label}}. Labels: {choices}.'),
        params={
            "temperature": 0,
            "max_completion_tokens": MAX_LABEL_TOKENS,
            "response_format": _format(result={"type": "string", "enum": grader.labels}),
        },
    )
    return _parse_label(answer.text, grader.labels), answer


async def score(
    grader: ScoreModelGrader, messages: list[Message], judge: Judge
) -> tuple[float, JudgeAnswer]:
    """Ask the judge for a number in the grader's range. Raises JudgeFailed."""
    low, high = grader.bounds
    instructed = _add_instruction(
        messages,
        f'Answer with JSON: {{"steps": [short reasons], "result": number from {low:g} to '
        f"{high:g}}}.",
    )
    answer = await _ask(
        grader,
        instructed,
        judge,
        _format(steps=_STEPS, result={"type": "number", "minimum": low, "maximum": high}),
    )
    value = _parse_number(answer.text)
    if not low <= value <= high:
        raise JudgeFailed(
            "model_grader_parse_error",
            f"The judge answered {value:g}, which is not from {low:g} to {high:g}.",
        )
    return value, answer


async def _ask(
    grader: ScoreModelGrader, messages: list[Message], judge: Judge, response_format: dict[str, Any]
) -> JudgeAnswer:
    """Ask with the grader's limit or ours. Ours may be too large for a small judge's context."""
    sampling = (grader.sampling_params or JudgeSamplingParams()).model_dump(exclude_none=True)
    limit = sampling.pop("max_completions_tokens", None)
    params = {"temperature": 0, **sampling, "response_format": response_format}
    try:
        return await judge(
            grader.model,
            messages,
            params={**params, "max_completion_tokens": limit or MAX_SCORE_TOKENS},
        )
    except NoRoom:
        if limit is not None:
            raise
        return await judge(grader.model, messages, params=params)


@dataclass(frozen=True)
class Preference:
    """The judge's preference between answers `a` and `b`. `tokens` counts both requests."""

    winner: Literal["a", "b", "tie"]
    tokens: int


async def pairwise(judge: Judge, model: str, prompt: str, a: str, b: str) -> Preference:
    """Ask which of two answers to a prompt is better, in both orders. Disagreement is a tie.

    Judges prefer an answer for its position, so that one order alone says little. Raises
    JudgeFailed.
    """
    first, first_tokens = await _better(judge, model, prompt, (a, b))
    second, second_tokens = await _better(judge, model, prompt, (b, a))
    winner: Literal["a", "b", "tie"] = "tie"
    if (first, second) == ("1", "2"):
        winner = "a"
    elif (first, second) == ("2", "1"):
        winner = "b"
    return Preference(winner, first_tokens + second_tokens)


async def _better(
    judge: Judge, model: str, prompt: str, answers: tuple[str, str]
) -> tuple[str, int]:
    choices = ["1", "2", "tie"]
    question = "\n\n".join(
        [
            f"[Question]\n{prompt}",
            *(f"[Answer {place}]\n{text}" for place, text in enumerate(answers, 1)),
            "Which answer is better? Judge correctness and helpfulness, not length or order.",
        ]
    )
    answer = await judge(
        model,
        _add_instruction(
            [{"role": "user", "content": question}],
            'Compare two answers. Answer with JSON: {"result": "1", "2" or "tie"}.',
        ),
        params={
            "temperature": 0,
            "max_completion_tokens": MAX_LABEL_TOKENS,
            "response_format": _format(result={"type": "string", "enum": choices}),
        },
    )
    return _parse_label(answer.text, choices), answer.total_tokens


def _format(**properties: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "verdict", "strict": True, "schema": schema},
    }


def _add_instruction(messages: list[Message], instruction: str) -> list[Message]:
    """Add an instruction to the system message, which chat templates expect first.

    Many templates know no `developer` role, and no conversation without a `user`.
    """
    copies = [
        {**message, "role": "system" if message["role"] == "developer" else message["role"]}
        for message in messages
    ]
    if not any(message["role"] == "user" for message in copies):
        copies[-1] = {**copies[-1], "role": "user"}
    if copies[0]["role"] == "system":
        first = {"role": "system", "content": f"{copies[0]['content']}\n\n{instruction}"}
        return [first, *copies[1:]]
    return [{"role": "system", "content": instruction}, *copies]


def _parse_label(text: str, labels: Sequence[str]) -> str:
    known = {normalize_label(choice): choice for choice in labels}
    result = _result(text)
    given = normalize_label(result if isinstance(result, str) else _answer(text))
    if given not in known:
        raise JudgeFailed(
            "model_grader_parse_error", "The judge's answer is not one of the labels."
        )
    return known[given]


def _parse_number(text: str) -> float:
    result = _result(text)
    if isinstance(result, str) or result is None:
        found = _NUMBER.fullmatch((result or _answer(text)).strip())
        result = float(found[0]) if found else None
    if isinstance(result, bool) or not isinstance(result, (int, float)):
        raise JudgeFailed("model_grader_parse_error", "The judge did not answer with a number.")
    try:
        value = float(result)
    except OverflowError:
        value = math.inf
    return value


def _result(text: str) -> Any:
    """Return the field `result` of the JSON in a judge's answer; None without one."""
    answer = _answer(text)
    start, end = answer.find("{"), answer.rfind("}")
    value = parse_json(answer[start : end + 1]) if 0 <= start < end else None
    return value.get("result") if isinstance(value, dict) else None


def _answer(text: str) -> str:
    """Return the answer without the model's reasoning."""
    return _THINKING.sub("", text).strip()
