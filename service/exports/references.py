"""Asks the serving engine for the reference answers that an exported model must reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from service.core.tasks import gather
from service.evals.sampling import CHAT
from service.exporting import ChatMessage, Reference, ScoredTokens
from service.grading.examples import Example, Message, spread
from service.inference.background.calls import EngineCalls, SampleFailed
from service.verdict.forgetting import general_items

MAX_QUESTIONS: Final = 8
_ANSWER_TOKENS: Final = 64
_ROW_ANSWER_TOKENS: Final = 256
_MAX_PROMPT_CHARS: Final = 8000  # so that the proof of a small model takes seconds

Prompt = tuple[Message, ...]


class Question(NamedTuple):
    """A prompt, and the answer of the held-out row that it is from, if there is one."""

    prompt: Prompt
    answer: str = ""


class EngineUnavailable(Exception):
    """No engine answered within the time limit."""


def held_out_questions(examples: Sequence[Example]) -> list[Question]:
    """Return some rows of plain text, evenly spaced."""
    plain = [
        example
        for example in examples
        if not example.uses_tools
        and all(isinstance(message.get("content"), str) for message in example.prompt)
        and sum(len(message["content"]) for message in example.prompt) <= _MAX_PROMPT_CHARS
    ]
    return [
        # An engine may render the reasoning before an answer differently from the row.
        Question(example.prompt, "" if example.thought else example.answer)
        for example in spread(plain, MAX_QUESTIONS)
    ]


def general_questions(languages: Sequence[str]) -> list[Question]:
    """Return general prompts in the languages of a base model, or in English."""
    found = general_items(languages, 2) or general_items(["en"], MAX_QUESTIONS)
    return [Question(({"role": "user", "content": item.prompt},)) for item in found[:MAX_QUESTIONS]]


async def ask(calls: EngineCalls, model: str, questions: Sequence[Question]) -> list[Reference]:
    """Ask the engine for its greedy answers, and for the scores of the rows' own answers.

    Prompts that it rejects are left out. Raises EngineUnavailable, and ModelGone.
    """

    async def send(fields: dict[str, Any], max_tokens: int) -> dict[str, Any] | None:
        request = {
            **fields, "max_tokens": max_tokens, "temperature": 0, "return_token_ids": True
        }  # fmt: skip
        try:
            return (await calls.ask(model, CHAT, request, max_tokens)).body
        except SampleFailed as e:
            if e.is_away:
                raise EngineUnavailable(e.code) from e
            return None

    async def one(question: Question) -> Reference | None:
        messages = list(question.prompt)
        body = await send({"messages": messages, "logprobs": True}, _ANSWER_TOKENS)
        found = None if body is None else _reference(question.prompt, body)
        if found is None or not question.answer:
            return found
        answer = {"role": "assistant", "content": question.answer}
        scored = {"add_generation_prompt": False, "prompt_logprobs": 0}
        body = await send({"messages": [*messages, answer], **scored}, 1)
        row_answer = None if body is None else _row_answer(found.prompt_tokens, body)
        return found.model_copy(update={"row_answer": row_answer})

    return [found for found in await gather(one, questions) if found is not None]


def _row_answer(prompt: Sequence[int], body: dict[str, Any]) -> ScoredTokens | None:
    """Return the scores of a row's answer after its prompt; None if the answer lacks something."""
    tokens, scores = body.get("prompt_token_ids") or [], body.get("prompt_logprobs") or []
    start, end = len(prompt), min(len(prompt) + _ROW_ANSWER_TOKENS, len(tokens))
    if tuple(tokens[:start]) != tuple(prompt) or not start < end <= len(scores):
        return None
    return ScoredTokens(
        tokens=tuple(tokens[start:end]),
        logprobs=tuple(float(scores[at][str(tokens[at])]["logprob"]) for at in range(start, end)),
    )


def _reference(prompt: Prompt, body: dict[str, Any]) -> Reference | None:
    """Return the reference in an engine's answer; None if the answer lacks something."""
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    scores = (choice.get("logprobs") or {}).get("content") or []
    tokens, prompt_tokens = choice.get("token_ids") or [], body.get("prompt_token_ids") or []
    count = min(len(tokens), len(scores))
    if not count or not prompt_tokens:
        return None
    return Reference(
        messages=tuple(ChatMessage(role=m["role"], content=m["content"]) for m in prompt),
        prompt_tokens=tuple(prompt_tokens),
        answer=message.get("content") or "",
        tokens=tuple(tokens[:count]),
        logprobs=tuple(float(score["logprob"]) for score in scores[:count]),
    )
